"""What is typed with a slash in a chat: commands to the program, and not to the model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from textmill.base.errors import ConfigError, did_you_mean
from textmill.cli.chat_conversation import Conversation
from textmill.cli.chat_session import Session

HELP = """/help               this list
/reset              begin anew; the system message stays
/system TEXT        tell the model what it is; alone, show what it was told
/regenerate         another answer to the last message, or the first to one that has none
/save FILE          keep the conversation
/load FILE          go on with one that was kept
/stats              tokens, speed and cache so far
/exit               leave, as Ctrl-D does
//TEXT              a message that begins with a slash
\"\"\"                 begins and ends a message of several lines; so does \\ at a line's end
Ctrl-C              stops an answer; twice at the prompt leaves"""


def run_command(session: Session, line: str) -> bool:
    """Carry out a line that begins with a slash; returns whether the chat goes on.

    Raises:
        ConfigError: there is no such command, or it lacks its argument.
        DataError, StorageError: a file cannot be read or written.
    """
    name, _, argument = line[1:].partition(" ")
    if name not in _COMMANDS:
        known = did_you_mean(f"/{name}", [f"/{command}" for command in _COMMANDS])
        raise ConfigError(f'there is no command "/{name}"{known} /help lists them; // begins a message with a slash')
    return _COMMANDS[name](session, argument.strip()) is not False


def _help(session: Session, argument: str) -> None:
    session.out.say(HELP)


def _reset(session: Session, argument: str) -> None:
    session.conversation.reset()
    session.out.say("[a new conversation]")


def _system(session: Session, argument: str) -> None:
    conversation = session.conversation
    if argument:
        conversation.system = argument
        session.out.say("[the model is told so from here on]")
    else:
        session.show_text(conversation.system or "[nothing; the chat template may add its own]")


def _regenerate(session: Session, argument: str) -> None:
    session.tell(session.answer_again())


def _save(session: Session, argument: str) -> None:
    path = _path(argument, "/save")
    session.conversation.save(path)
    session.out.say(f"[{len(session.conversation.turns)} messages are in {path}]")


def _load(session: Session, argument: str) -> None:
    session.conversation = Conversation.load(_path(argument, "/load"))
    session.tell_loaded()


def _stats(session: Session, argument: str) -> None:
    for line in session.totals.lines():
        session.out.say(line)


def _exit(session: Session, argument: str) -> bool:
    return False


def _path(argument: str, command: str) -> Path:
    if not argument:
        raise ConfigError(f"{command} needs the name of a file: {command} talk.json")
    return Path(argument).expanduser()


_COMMANDS: dict[str, Callable[[Session, str], bool | None]] = {
    "help": _help,
    "reset": _reset,
    "system": _system,
    "regenerate": _regenerate,
    "save": _save,
    "load": _load,
    "stats": _stats,
    "exit": _exit,
}
