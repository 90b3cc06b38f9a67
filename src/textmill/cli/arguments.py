"""Arguments that are more than their text: ``-``, whole numbers such as 32e3, and how the user called this program."""

from __future__ import annotations

import math
import os
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, Token

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
    return stdin_text().removesuffix("\n")


def stdin_text() -> str:
    """Read standard input to its end; a byte order mark at the start is no text. Raises ``DataError``: not UTF-8."""
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"standard input is not UTF-8 text: byte {error.start} cannot be decoded") from error


def bytes_or_stdin(argument: str) -> bytes:
    """Return the bytes of an argument, or of standard input where it is ``-``, less one line end at the end of it."""
    if argument == STANDARD_INPUT:
        return sys.stdin.buffer.read().removesuffix(b"\n")
    return os.fsencode(argument)


def plain(argument: str) -> str:
    """Return an option's value as it was typed: there ``-`` is a hyphen."""
    return "-" if argument == STANDARD_INPUT else argument


def in_options(message: str, arguments: Sequence[str]) -> str:
    """Put an error that speaks of Python's arguments into the options that were given: ``threads`` as ``--threads``."""
    given = {word[2:].partition("=")[0] for word in arguments if word.startswith("--")}

    def option(found: re.Match[str]) -> str:
        name = found[1].replace("_", "-")
        value = f" {found[2]}" if found[2] else ""
        return f"--{name}{value}" if name in given else found[0]

    written = re.sub(r'(?<![-\w.])(?<!\ban )(?<!\ba )(?:[a-z_]+\.)?([a-z_]+)(?:="(\w+)"|(?= is ))', option, message)
    return written if written == message else re.sub(r", or None\b[^,;.]*", "", written)


def program() -> str:
    """How the user can call this program again: ``textmill``, or its path where that is not on the search path."""
    called = Path(sys.argv[0])
    if shutil.which("textmill") or called.name != "textmill":
        return "textmill"
    return shlex.quote(str(called))


def _whole_number(_: type, tokens: Sequence[Token]) -> int:
    return _read_whole(tokens[0])


def _whole_numbers(_: type, tokens: Sequence[Token]) -> list[int]:
    return [_read_whole(token) for token in tokens]


def _read_whole(token: Token) -> int:
    """Read 32000, 32_000 or 32e3, as recipes do."""
    written = plain(token.value)
    try:
        return int(written)
    except ValueError:
        pass
    try:
        number = float(written)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or number != int(number):
        raise ValueError(f'"{written}" is no whole number, such as 32000 or 32e3')
    return int(number)


WholeNumber = Annotated[int, Parameter(converter=_whole_number)]
WholeNumbers = Annotated[list[int], Parameter(converter=_whole_numbers, negative="")]
