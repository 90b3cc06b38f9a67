"""Arguments that are more than their text: ``-`` for standard input, and how the user called this program."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

from textmill.base.errors import DataError

# What "-" becomes before options are parsed. No argument of a process can hold a NUL, so no text is mistaken for it.
STANDARD_INPUT = "\0-"


def text_or_stdin(argument: str) -> str:
    """Return an argument, or what standard input holds where it is ``-``, less one line end at the end of it.

    Raises:
        DataError: it is not UTF-8.
    """
    if argument != STANDARD_INPUT:
        if not argument.isascii() and any("\udc80" <= c <= "\udcff" for c in argument):
            raise DataError(f"the argument {argument!r} is not UTF-8 text; give it in UTF-8, or by standard input")
        return argument
    try:
        return sys.stdin.buffer.read().decode("utf-8").removesuffix("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"standard input is not UTF-8 text: byte {error.start} cannot be decoded") from error


def plain(argument: str) -> str:
    """Return an option's value as it was typed: there ``-`` is a hyphen."""
    return "-" if argument == STANDARD_INPUT else argument


def program() -> str:
    """How the user can call this program again: ``textmill``, or its path where that is not on the search path."""
    called = Path(sys.argv[0])
    if shutil.which("textmill") or called.name != "textmill":
        return "textmill"
    return shlex.quote(str(called))
