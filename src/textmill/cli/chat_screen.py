"""What a conversation looks like on a terminal: the line that is typed, and the figures under an answer."""

from __future__ import annotations

import contextlib
import sys

from textmill.base import units
from textmill.base.errors import DataError
from textmill.cli.chat_answer import Answered
from textmill.cli.model_show import bar
from textmill.cli.token_picture import display_width

_QUOTES = '"""'
_GAUGE_WIDTH = 12
_GAUGE_FROM = 80


class Keyboard:
    """Reads messages; with line editing and the session's history where Python has readline."""

    def __init__(self) -> None:
        with contextlib.suppress(ImportError):
            import readline

            # What is pasted comes as one message, its line ends included.
            readline.parse_and_bind("set enable-bracketed-paste on")

    def read(self, prompt: str) -> str:
        """Read a message: a line, more lines after one that ends with a backslash, or all between two \"\"\".

        A slash that begins what stands between quotes is doubled: it is no command.

        Raises:
            EOFError: Ctrl-D on an empty line.
            KeyboardInterrupt: Ctrl-C.
            DataError: what was typed is not UTF-8.
        """
        line = _line(prompt)
        more = "." * len(prompt.rstrip()) + " "
        if line.lstrip().startswith(_QUOTES):
            return self._quoted(line.lstrip().removeprefix(_QUOTES), more)
        lines = [line]
        while lines[-1].endswith("\\"):
            lines[-1] = lines[-1][:-1]
            lines.append(_line(more))
        return "\n".join(lines).strip()

    def _quoted(self, first: str, more: str) -> str:
        lines = [first]
        while not lines[-1].rstrip().endswith(_QUOTES):
            lines.append(_line(more))
        lines[-1] = lines[-1].rstrip().removesuffix(_QUOTES)
        text = "\n".join(lines).strip("\n")
        return f"/{text}" if text.startswith("/") else text


def _line(prompt: str) -> str:
    if not sys.stdout.isatty():  # then input() would put the prompt among the answers
        sys.stderr.write(prompt)
        sys.stderr.flush()
        prompt = ""
    line = input(prompt)
    try:
        line.encode()
    except UnicodeEncodeError as error:
        raise DataError("what was typed is not UTF-8 text; set the terminal to UTF-8") from error
    return line


class WordWrap:
    """Breaks lines between words as text streams by; a word is held back until it is whole.

    Without a width, text goes through as it is.
    """

    def __init__(self, width: int | None) -> None:
        self._width = width
        self._column = 0
        self._word = ""

    def push(self, text: str) -> str:
        """Take a piece of text; return what can be shown now."""
        return text if self._width is None else "".join(self._take(character, self._width) for character in text)

    def finish(self) -> str:
        """Return what was held back."""
        return "" if self._width is None else self._place_word(self._width)

    def _take(self, character: str, width: int) -> str:
        if character not in " \n":
            self._word += character
            return self._place_word(width) if display_width(self._word) >= width else ""
        shown = self._place_word(width)
        if character == "\n" or self._column + 1 >= width:
            self._column = 0
            return shown + "\n"
        self._column += 1
        return shown + " "

    def _place_word(self, width: int) -> str:
        word, self._word = self._word, ""
        columns = display_width(word)
        breaks = self._column > 0 and self._column + columns > width
        self._column = columns if breaks else self._column + columns
        return f"\n{word}" if breaks else word


def figures(answered: Answered, width: int = _GAUGE_FROM) -> str:
    """The figures of an answer: its tokens and their speed, the wait for the first, and how full the context is.

    ``width`` is the columns there are; below 80 the context is numbers only.
    """
    speed = answered.tokens_per_s
    tokens = "1 token" if answered.num_tokens == 1 else f"{answered.num_tokens:,} tokens"
    parts = [
        tokens + (f", {speed:.0f} a second" if speed else ""),
        f"first after {units.seconds(answered.first_s)}",
    ]
    if answered.context is None:
        parts += [f"context {answered.num_used:,}"] if answered.num_prompt else []
    else:
        gauge = f"▕{bar(answered.num_used / answered.context, _GAUGE_WIDTH)}▏ " if width >= _GAUGE_FROM else ""
        parts.append(f"context {gauge}{answered.num_used:,} of {answered.context:,}")
    return f"[{' · '.join(parts)}]"
