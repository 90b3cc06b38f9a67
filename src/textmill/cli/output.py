"""The one place that writes: data to stdout, messages and progress to stderr.

Progress is a bar on a terminal and a line every few seconds elsewhere. ``NO_COLOR`` is respected.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from rich.console import Console
from rich.highlighter import NullHighlighter
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from textmill.base.errors import StorageError

LINE_EVERY_S = 5.0
# Nobody wonders before that whether anything goes on.
FIRST_LINE_S = 2.0
_WIDE = 120


def for_terminal(text: str) -> str:
    """Replace the control characters of untrusted text, which could steer a terminal; line ends and tabs stay."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


class Output:
    """Writes for people or for programs.

    Attributes:
        messages: stderr, where everything goes that is not the command's result.
    """

    def __init__(self) -> None:
        self.messages = Console(stderr=True, highlighter=NullHighlighter(), soft_wrap=True)

    @property
    def width(self) -> int:
        """Columns that a message may take before the terminal breaks it."""
        return max(20, self.messages.width)

    def data(self, text: str, end: str = "\n") -> None:
        """Write a piece of the result to stdout.

        Raises:
            StorageError: it is closed, or what it leads to is full.
        """
        if sys.stdout is None:
            raise StorageError("cannot write the result: standard output is closed")
        try:
            sys.stdout.write(text + end)
            sys.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            # What is left in the buffer must not fail again as the interpreter ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise StorageError(f"cannot write the result: {(error.strerror or str(error)).lower()}") from error

    @property
    def data_width(self) -> int:
        """Columns that a line of the result may take: those of the terminal, many where it goes elsewhere."""
        return max(40, shutil.get_terminal_size().columns) if sys.stdout.isatty() else _WIDE

    def styled(self, line: Text) -> None:
        """Write a line of the result, in colour only to a terminal."""
        if sys.stdout.isatty():
            Console(highlighter=NullHighlighter(), soft_wrap=True).print(line)
        else:
            self.data(line.plain)

    def text(self, text: str) -> None:
        """Write a piece of text that a model made: as it is into a pipe, without control characters to a terminal."""
        self.data(for_terminal(text) if sys.stdout.isatty() else text, end="")

    def json(self, value: Any) -> None:
        """Write the result as JSON."""
        self.data(json.dumps(value, indent=2, ensure_ascii=False))

    def say(self, message: str = "") -> None:
        """Tell the user something; square brackets are text."""
        self.messages.print(message, markup=False)

    def paragraph(self, message: str) -> None:
        """Tell the user something long: a terminal gets lines that end between words."""
        if self.messages.is_terminal:
            message = textwrap.fill(
                message, self.width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
            )
        self.say(message)

    def heading(self, message: str) -> None:
        """Tell the user what comes next."""
        self.messages.print(Text(message, style="bold"))

    def hint(self, message: str) -> None:
        """Name the next step."""
        self.messages.print(Text(message, style="cyan"))

    def error(self, message: str) -> None:
        """Tell what went wrong."""
        self.messages.print(Text.assemble(("error: ", "bold red"), message))

    def warning(self, message: str) -> None:
        """Tell what is amiss and not fatal."""
        self.messages.print(Text.assemble(("warning: ", "yellow"), message))

    @contextmanager
    def bar(self, what: str, total: int | None) -> Iterator[Bar]:
        """Show how far something is while the block runs."""
        bar = TerminalBar(self, what, total) if self.messages.is_terminal else LineBar(self, what, total)
        try:
            yield bar
        finally:
            bar.close()

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Say what goes on where the block, which cannot tell how far it is, takes more than a moment."""
        if self.messages.is_terminal:
            with self.bar(what, None):
                yield
            return
        timer = threading.Timer(FIRST_LINE_S, self.say, (f"  {what}",))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


class Bar:
    """How far a piece of work is.

    Attributes:
        shows_time_left: whether it tells by itself how long the rest will take.
    """

    shows_time_left: ClassVar[bool] = False

    def update(self, done: int, note: str = "") -> None:
        """Say how much is done, and a few figures to show beside it."""
        raise NotImplementedError

    def begin(self, what: str) -> None:
        """Go on to work of unknown length."""
        raise NotImplementedError

    def close(self) -> None:
        """Take the bar away."""
        raise NotImplementedError


class TerminalBar(Bar):
    """A bar that is drawn over itself."""

    shows_time_left: ClassVar[bool] = True

    def __init__(self, output: Output, what: str, total: int | None) -> None:
        self._progress = Progress(
            TextColumn("  {task.description}", markup=False, table_column=Column(no_wrap=True)),
            BarColumn(bar_width=None),
            _Percent(table_column=Column(no_wrap=True, min_width=5)),
            TextColumn("{task.fields[note]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
            TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True, min_width=5)),
            console=output.messages,
            transient=True,
            expand=True,
        )
        self._task = self._progress.add_task(what, total=total, note="")
        self._progress.start()

    def update(self, done: int, note: str = "") -> None:
        """Redraw the bar."""
        self._progress.update(self._task, completed=done, note=note)

    def begin(self, what: str) -> None:
        """Let the bar pulse, with the time since now beside it."""
        self._progress.remove_task(self._task)
        self._task = self._progress.add_task(what, total=None, note="")

    def close(self) -> None:
        """Take the bar off the screen."""
        self._progress.stop()


class LineBar(Bar):
    """A line every few seconds, for logs and pipes; the first comes sooner."""

    def __init__(self, output: Output, what: str, total: int | None) -> None:
        self._output, self._what, self._total = output, what, total
        self._next = time.monotonic() + FIRST_LINE_S

    def update(self, done: int, note: str = "") -> None:
        """Write a line if the last one is some seconds old."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + LINE_EVERY_S
        share = f" {100 * done / self._total:3.0f} %" if self._total else ""
        self._output.say(f"  {self._what}{share}  {note}".rstrip())

    def begin(self, what: str) -> None:
        """Write a line at once: no other may come."""
        self._what, self._total = what, None
        self._output.say(f"  {what}")

    def close(self) -> None:
        """Nothing is left to take away."""


class _Percent(ProgressColumn):
    def render(self, task: Task) -> Text:
        """Draw the share that is done, or the time that has passed where the total is unknown."""
        return Text(f"{task.percentage:3.0f} %" if task.total else f"{task.elapsed or 0:.0f} s")
