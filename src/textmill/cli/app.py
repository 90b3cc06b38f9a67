"""The commands, and what becomes of the errors they end with."""

from __future__ import annotations

import os
import sys
import traceback

from cyclopts import App, CycloptsError

from textmill import __version__
from textmill.base.errors import TextmillError
from textmill.cli.output import Output

_HELP = """Raw text in, a served language model out.

    textmill demo                                 text to a model that continues it, in minutes
    textmill demo --text FOLDER                   the same, from your own text
    textmill train tiny --minutes 10              train a recipe
    textmill generate runs/tiny "def main("       let a model go on from a prompt
    textmill tokenizer explain "naïve 🤖 don't"    see how text becomes tokens
"""
_EPILOGUE = """Exit codes: 0 ok, 1 the run failed, 2 usage or configuration, 3 bad input data, 130 interrupted,
143 terminated. `-vv` after any command shows where in the code an error came from."""

app = App(
    name="textmill",
    help=_HELP,
    help_epilogue=_EPILOGUE,
    help_format="markdown",
    version=__version__,
    suppress_keyboard_interrupt=False,
)
app.command("textmill.cli.demo:demo", name="demo")
app.command("textmill.cli.train:train", name="train")
app.command("textmill.cli.generate:generate", name="generate")
app.command("textmill.cli.doctor:doctor", name="doctor")
app.command("textmill.cli.tokenizer:tokenizer_app", name="tokenizer")


def run(arguments: list[str]) -> int:
    """Parse and run a command; returns its exit code. Errors go to stderr, tracebacks only with ``-vv``."""
    with_traceback = "-vv" in arguments
    arguments = [argument for argument in arguments if argument != "-vv"]
    output = Output()
    try:
        result = app(
            arguments,
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
        sys.stdout.flush()
    except CycloptsError as error:
        output.error(str(error))
        output.hint("textmill --help shows the commands; --help after a command shows its options")
        return 2
    except TextmillError as error:
        if with_traceback:
            traceback.print_exc()
        output.error(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        output.say("interrupted")
        return 130
    except BrokenPipeError:
        # Whoever read stdout is gone; point it elsewhere so that the interpreter's last flush is quiet too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001  the last net: a bug of ours is reported, not spilled
        if with_traceback:
            traceback.print_exc()
        output.error(f"{type(error).__name__}: {error}")
        output.hint("this is a bug in textmill; run the same command with -vv and report what it prints")
        return 1
    return result if isinstance(result, int) else 0
