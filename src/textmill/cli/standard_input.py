"""A lone ``-`` among the arguments: read the text from standard input."""

from __future__ import annotations

import sys

from textmill.base.errors import DataError

# What "-" becomes before options are parsed. No argument of a process can hold a NUL, so no text is mistaken for it.
STANDARD_INPUT = "\0-"


def text_or_stdin(argument: str) -> str:
    """Return an argument, or what standard input holds where it is ``-``, less one line end at the end of it.

    Raises:
        DataError: standard input is not UTF-8.
    """
    if argument != STANDARD_INPUT:
        return argument
    try:
        return sys.stdin.buffer.read().decode("utf-8").removesuffix("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"standard input is not UTF-8 text: byte {error.start} cannot be decoded") from error
