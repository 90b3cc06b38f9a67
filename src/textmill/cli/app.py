"""The commands, and what becomes of the errors they end with."""

from __future__ import annotations

import functools
import os
import sys
import traceback
import warnings
from typing import TextIO

from cyclopts import App, CycloptsError, UnknownOptionError, UnusedCliTokensError

from textmill import __version__
from textmill.base.errors import StoppedError, TextmillError
from textmill.cli.arguments import STANDARD_INPUT, in_options, program
from textmill.cli.help_page import HelpPage
from textmill.cli.output import Output

_HELP = """Raw text in, a served language model out.

For example:
    textmill demo                              text to a model, in minutes
    textmill demo --text FOLDER                the same, from your own text
    textmill data prepare pipeline.toml        raw files to shards
    textmill train tiny --minutes 10           train a recipe
    textmill runs ls                           what became of runs
    textmill generate runs/tiny "def main("    a model goes on from a prompt
    textmill eval runs/tiny --data notes.txt   bits per byte, tasks, comparisons
    textmill model get smollm2-135m-instruct   fetch a real model
    textmill chat smollm2-135m-instruct        talk to it
    textmill serve smollm2-135m-instruct       let programs talk to it
    textmill studio                            see inside, in a browser
    textmill tokenizer explain runs/tiny "né"  see how text becomes tokens
"""
_EPILOGUE = """Exit codes: 0 ok, 1 the run failed, 2 usage or configuration, 3 bad input data,
130 interrupted, 143 terminated. With -vv an error shows where in the code it came from."""

app = App(
    name="textmill",
    help=_HELP,
    help_epilogue=_EPILOGUE,
    help_format="plaintext",
    help_formatter=HelpPage(),
    version=__version__,
    suppress_keyboard_interrupt=False,
)
# By name: only the module of the command that is asked for is imported.
_COMMANDS = {
    "demo": "demo:demo",
    "data": "data:data_app",
    "train": "train:train",
    "tune": "tune:tune_app",
    "runs": "runs:runs_app",
    "generate": "generate:generate",
    "chat": "chat:chat",
    "serve": "serve:serve",
    "studio": "studio:studio",
    "eval": "eval:eval_app",
    "model": "model:model_app",
    "tokenizer": "tokenizer:tokenizer_app",
    "doctor": "doctor:doctor",
}
for _name, _place in _COMMANDS.items():
    app.command(f"textmill.cli.{_place}", name=_name)


def run(arguments: list[str]) -> int:
    """Parse and run a command; returns its exit code. Errors go to stderr, tracebacks only with ``-vv``."""
    with_traceback = "-vv" in arguments
    arguments = [STANDARD_INPUT if word == "-" else word for word in arguments if word != "-vv"]
    output = Output()
    _import_listed(arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = functools.partial(_show_warning, output)
            result = app(
                arguments,
                exit_on_error=False,
                print_error=False,
                result_action="return_value",
            )
        if sys.stdout is not None:
            sys.stdout.flush()
    except CycloptsError as error:
        output.error(str(error))
        output.hint(_hint_for(error))
        return 2
    except StoppedError as error:  # somebody wanted it
        output.say(str(error).replace("with: textmill", f"with: {program()}"))
        return error.exit_code
    except TextmillError as error:
        if with_traceback:
            traceback.print_exc()
        output.error(in_options(str(error), arguments).replace("with: textmill", f"with: {program()}"))
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


def _import_listed(arguments: list[str]) -> None:
    """A page that lists commands takes their descriptions from them."""
    asked = [word for word in arguments if word not in ("--help", "-h")]
    if not asked:
        page = app
    elif len(asked) == 1 and asked[0] in _COMMANDS:
        page = app[asked[0]]
    else:
        return
    for name in page:
        page[name]


def _hint_for(error: CycloptsError) -> str:
    if isinstance(error, UnusedCliTokensError):
        return 'a text with spaces stands in quotes: "two words"'
    if isinstance(error, UnknownOptionError):
        return "--help after a command shows its options; behind -- a text may begin with a hyphen"
    return "textmill --help shows the commands; --help after a command shows its options"


def _show_warning(  # noqa: PLR0917  the arguments are those of warnings.showwarning
    output: Output,
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    output.warning(str(message))
