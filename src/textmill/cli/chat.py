"""``textmill chat``: a conversation with a model, here or behind an address."""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from textmill.base import units
from textmill.base.errors import ConfigError, DataError, TextmillError
from textmill.cli.arguments import plain, text_or_stdin
from textmill.cli.chat_answer import Answered, ContextFullError, answer
from textmill.cli.chat_commands import run_command
from textmill.cli.chat_conversation import Conversation
from textmill.cli.chat_screen import Keyboard
from textmill.cli.chat_session import Session
from textmill.cli.model_argument import find_model
from textmill.cli.model_options import DrawingOptions, LoadingOptions, load_model
from textmill.cli.output import Output, for_terminal
from textmill.cli.server_address import SCHEMES, ServerAddress

if TYPE_CHECKING:
    from textmill.cli.chat_session import Answerer

_DRAWING = DrawingOptions()
_LOADING = LoadingOptions()
_PROMPT = "> "
_SILENCE_S = 300.0
_SILENCE_MAX_S = 86400.0
# Where neither the user nor the model's files say how to draw: the temperature that SmolLM2's makers advise, as small
# models wander at higher ones, and a penalty without which it says one sentence over and over in long answers.
_DEFAULTS = {"temperature": 0.2, "top_p": 0.9, "repetition_penalty": 1.1, "max_tokens": 1024}


def chat(
    model: str,
    /,
    *,
    system: str | None = None,
    prompt: str | None = None,
    load: Path | None = None,
    model_name: Annotated[str | None, Parameter(name="--model")] = None,
    timeout: float | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
    drawing: DrawingOptions = _DRAWING,
    loading: LoadingOptions = _LOADING,
) -> int:
    """Talk to a model in the terminal.

    For example:
        textmill chat smollm2-135m-instruct
        textmill chat model.gguf --system "You answer in rhymes."
        textmill chat model.gguf --prompt "What is a mill?"
        textmill chat model.gguf --json < questions.txt
        textmill chat http://localhost:8000

    /help lists what can be typed beside messages; Ctrl-C stops an answer, Ctrl-D leaves. Where standard input is no
    terminal, each line of it is a message of one conversation, and empty lines are passed over.

    Parameters
    ----------
    model
        A model folder, a .gguf file, a run (its last checkpoint), a name from `textmill model get`, or the address of a
        server that speaks OpenAI's API; the key to it comes from TEXTMILL_API_KEY, or else OPENAI_API_KEY.
    system
        What the model is told before the first message.
    prompt
        Ask this only, and leave; - reads it from standard input, all of it.
    load
        Go on with a conversation that /save kept.
    model_name
        Which of a server's models to talk to, where it has several; http://localhost:8000#NAME says the same.
    timeout
        Give up a server that says nothing for so many seconds; 300 unless given.
    json
        Print each answer as a line of JSON.
    """
    out = Output()
    conversation = Conversation() if load is None else Conversation.load(load)
    if system is not None:
        conversation.system = plain(system)
    message = None if prompt is None else text_or_stdin(prompt)
    if message is not None and not message.strip():
        raise ConfigError("the message is empty; give --prompt a text")
    if model.startswith(SCHEMES):
        address = _address(model, loading, out)
        answerer, options, greeting = _at(address, model_name, timeout, drawing)
    else:
        for option, value in (("--model", model_name), ("--timeout", timeout)):
            if value is not None:
                raise ConfigError(f"{option} is for a server, and {model} is no address of one. Leave it out")
        answerer, options, greeting = _here(model, drawing, loading, out)
    session = Session(answerer, conversation, options, out, as_json=json)
    if message is not None:
        return _put(session, [message])
    if not sys.stdin.isatty():
        return _put(session, _lines_of_stdin())
    out.say(for_terminal(f"{greeting} /help shows what can be typed."))
    if load is not None:
        session.tell_loaded()
    return _converse(session)


def _here(
    model: str, drawing: DrawingOptions, loading: LoadingOptions, out: Output
) -> tuple[Answerer, dict[str, Any], str]:
    """Load a model; returns what answers, how it draws, and what to say of it."""
    path = find_model(model, out)
    lm = load_model(path, loading)
    if lm.tokenizer.chat_template is None:
        raise DataError(
            f"{model} has no chat template: it was not trained to answer, only to go on from a text. "
            "Use textmill generate, or tune it on conversations first"
        )
    size = units.count(lm.config.num_parameters)
    options = _DEFAULTS | _advised(path) | drawing.given()
    return functools.partial(answer, lm), options, f"{model}: {size} parameters, {lm.context:,} tokens of context."


def _address(url: str, loading: LoadingOptions, out: Output) -> ServerAddress:
    """Read the address of a server, which loads its models as it likes."""
    address = ServerAddress.parse(url)
    for field in dataclasses.fields(loading):
        if getattr(loading, field.name) != field.default:
            raise ConfigError(f"--{field.name} is for a model that is loaded here; {address.root} has loaded its own")
    if address.key is not None and not address.is_tls and not address.is_this_machine:
        out.warning(f"the key goes to {address.host} over plain HTTP, where others may read it")
    return address


def _at(
    address: ServerAddress, name: str | None, timeout: float | None, drawing: DrawingOptions
) -> tuple[Answerer, dict[str, Any], str]:
    """Ask a server for its model; how it draws is left to it, but for the options that are given."""
    from textmill.cli.chat_remote import RemoteModel, check_options

    silence_s = _SILENCE_S if timeout is None else timeout
    if not 0 < silence_s <= _SILENCE_MAX_S:
        raise ConfigError(f"--timeout is {silence_s:g}, and must be above 0 and at most {_SILENCE_MAX_S:g} seconds")
    options = drawing.given()
    check_options(options)
    model = RemoteModel(address, plain(name) if name else address.model, silence_s=silence_s)
    context = f": {model.context:,} tokens of context." if model.context else "."
    return model.answer, options, f"{model}{context}"


def _advised(path: Path) -> dict[str, Any]:
    """How the model's makers say to draw; what no request may ask for is an error that names their file."""
    from textmill.checkpoint.sampling_defaults import FILE_NAME, load_sampling_defaults
    from textmill.infer.request import Request

    advised = load_sampling_defaults(path)
    try:
        Request.of(**advised)
    except ConfigError as error:
        raise DataError(f"{path / FILE_NAME}: {error}") from error
    return advised


def _lines_of_stdin() -> Iterable[str]:
    for number, line in enumerate(sys.stdin.buffer, 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError as error:
            raise DataError(f"line {number} of standard input is not UTF-8 text") from error
        if text:
            yield text


def _put(session: Session, messages: Iterable[str]) -> int:
    """Put messages one after the other, the one that a loaded conversation ends with first.

    An answer that is interrupted ends the command.
    """
    if session.conversation.is_unanswered:
        _finish(session, session.answer())
    for message in messages:
        _finish(session, session.ask(message))
    return 0


def _finish(session: Session, answered: Answered) -> None:
    session.tell_if_cut_off(answered)
    if answered.finish_reason == "interrupted":
        raise KeyboardInterrupt


def _converse(session: Session) -> int:
    keyboard = Keyboard()
    was_interrupted = False
    while True:
        try:
            line = keyboard.read(_PROMPT)
            was_interrupted = False
            if line.startswith("/") and not line.startswith("//"):
                if not run_command(session, line):
                    return 0
            elif line:
                session.tell(session.ask(line[1:] if line.startswith("//") else line))
        except EOFError:
            session.out.say()
            return 0
        except KeyboardInterrupt:
            session.out.say()
            if was_interrupted:
                return 130
            was_interrupted = True
            session.out.say("[Ctrl-C again leaves, as Ctrl-D does]")
        except ContextFullError as error:
            session.out.error(f"{error}. /reset begins anew")
        except TextmillError as error:
            session.out.error(str(error))
