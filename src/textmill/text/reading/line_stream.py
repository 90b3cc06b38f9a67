"""Content as blocks of whole lines, in a buffer that grows only with the longest line."""

from __future__ import annotations

import mmap
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from textmill.text.reading.content import PIECE_BYTES, Content, DamagedContentError

BLOCK_BYTES = 8 << 20


@dataclass(frozen=True, slots=True, eq=False)
class LineBlock:
    """Lines one after the other.

    Attributes:
        data: uint8[num_bytes]: they themselves, valid until the next block is asked for; empty for a line that is too
            long to be held.
        offset: where the first one begins in the content.
        line: its number, from 1.
        overlong_bytes: how long it is without its end where it is too long, else 0.
    """

    data: NDArray[np.uint8]
    offset: int
    line: int
    overlong_bytes: int = 0


class LineStream:
    """Reads content line by line, from a place on; who asks for blocks says how many lines each had.

    Attributes:
        offset: where the next line begins in the content.
        line: its number, from 1.
        damage: where reading ended before the content's end: up to which byte it could be read, and why no further.
    """

    def __init__(self, content: Content, max_line_bytes: int, *, offset: int = 0, line: int = 1) -> None:
        self._content = content
        self._max_line_bytes = max_line_bytes
        # Memory that is not touched costs nothing: a line may fill it, most never do.
        capacity = max_line_bytes + 1 + BLOCK_BYTES + PIECE_BYTES
        self._buffer = mmap.mmap(-1, capacity, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._bytes = np.frombuffer(self._buffer, np.uint8)
        self._num_held = 0
        self._num_given = 0
        self._is_read = False
        self.offset, self.line = offset, line
        self.damage = (0, "")

    def is_empty(self) -> bool:
        """Say whether no line is left; reads on where that is not known."""
        self._take_given()
        self._fill(1)
        return self._num_held == 0

    def is_over(self) -> bool:
        """Say whether no line is left, and that not because of damage."""
        return self.is_empty() and not self.damage[1]

    def is_cut_off(self, end: int | None) -> bool:
        """Say whether damage ended the reading of lines that begin before ``end``."""
        return self.is_empty() and bool(self.damage[1]) and (end is None or self.offset < end)

    def next_block(self, end: int | None = None) -> LineBlock | None:
        """Return the next lines that begin before ``end``, about 8 MB of them; None where there are none.

        The last line of content that is damaged is not whole, and is left out.
        """
        self._take_given()
        if end is not None and self.offset >= end:
            return None
        self._fill(BLOCK_BYTES)
        searched = 0
        while not (size := self._whole_lines(end, searched)):
            if self._is_read and (self.damage[1] or self._num_held == 0):
                self._num_held = 0
                return None
            if self._is_read:
                size = self._num_held
                break
            if self._num_held > self._max_line_bytes:
                return self._overlong()
            searched = self._num_held
            self._fill(self._num_held + BLOCK_BYTES)
        self._num_given = size
        return LineBlock(self._bytes[:size], self.offset, self.line)

    def pass_over(self, num_lines: int) -> None:
        """Count the lines of the block that was given last."""
        self.line += num_lines

    def skip_lines_before(self, end: int) -> None:
        """Go to the first line that begins at ``end`` or later."""
        while (block := self.next_block(end)) is not None:
            self.pass_over(1 if block.overlong_bytes else count_lines(block.data))

    def _whole_lines(self, end: int | None, searched: int) -> int:
        """The bytes of the lines that are held whole and begin before ``end``; none end before ``searched``."""
        held = self._num_held
        last = held if end is None else min(held, end - 1 - self.offset)
        if last < held and (line_end := self._buffer.find(b"\n", max(last, searched), held)) >= 0:
            return line_end + 1
        return self._buffer.rfind(b"\n", searched, last) + 1 if last > searched else 0

    def _overlong(self) -> LineBlock:
        """Pass over a line that is too long, without keeping it."""
        offset, num_bytes, searched = self.offset, 0, 0
        while (line_end := self._buffer.find(b"\n", searched, self._num_held)) < 0:
            num_bytes += self._num_held
            self._drop(self._num_held)
            self._fill(BLOCK_BYTES)
            if self._num_held == 0:
                break
        num_bytes += max(line_end, 0)
        self._num_given = line_end + 1
        return LineBlock(self._bytes[:0], offset, self.line, num_bytes)

    def _take_given(self) -> None:
        self._drop(self._num_given)
        self._num_given = 0

    def _drop(self, num_bytes: int) -> None:
        if num_bytes:
            self._num_held -= num_bytes
            self._buffer.move(0, num_bytes, self._num_held)
            self.offset += num_bytes

    def _fill(self, wanted: int) -> None:
        """Read until so many bytes are held, or nothing is left."""
        while self._num_held < wanted and not self._is_read:
            room = max(wanted - self._num_held, PIECE_BYTES)
            try:
                count = self._content.readinto(self._bytes.data[self._num_held : self._num_held + room])
            except DamagedContentError as error:
                self.damage = (self.offset + self._num_held, str(error))
                count = 0
            self._is_read = count == 0
            self._num_held += count


def count_lines(data: NDArray[np.uint8]) -> int:
    """Count lines, the last of which may have no end."""
    return int(np.count_nonzero(data == ord("\n"))) + (len(data) > 0 and int(data[-1]) != ord("\n"))
