"""A file's lines as text, one by one, for a parser that does not say how far it has read."""

from __future__ import annotations

from collections.abc import Iterator

from textmill.text.readers import describe_not_utf8
from textmill.text.reading.line_stream import LineStream
from textmill.text.reading.records import Intake, RecordError, too_long


class DecodedLines:
    """Iterates over lines with their ends.

    Attributes:
        offset: where the next line begins in the content.
        line: its number, from 1.
        record_begin: where the record begins that lines are taken for: one of too many bytes is refused, however many
            lines it has.
    """

    def __init__(self, stream: LineStream, path: str, intake: Intake) -> None:
        self._stream, self._path, self._intake = stream, path, intake
        self._held: list[bytes] = []  # the last one first
        self.offset, self.line = stream.offset, stream.line
        self.record_begin = self.offset

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if not self._held:
            self._take_block()
        line = self._held.pop()
        offset = self.offset
        self.offset += len(line)
        self.line += 1
        num_bytes = self.record_bytes - line.endswith(b"\n")
        if num_bytes > self._intake.source.max_document_bytes:
            raise RecordError(too_long("row", num_bytes, self._intake))
        try:
            return line.decode("utf-8-sig" if offset == 0 else "utf-8")
        except UnicodeDecodeError as error:
            raise RecordError(describe_not_utf8(self._path, line[error.start :], offset + error.start)) from error

    @property
    def record_bytes(self) -> int:
        """The bytes of the lines that were taken for the record, with their ends."""
        return self.offset - self.record_begin

    def has_next_before(self, end: int | None) -> bool:
        """Say whether there is a line that begins before ``end``."""
        return (end is None or self.offset < end) and (bool(self._held) or not self._stream.is_empty())

    def is_over(self) -> bool:
        """Say whether no line is left, and that not because of damage."""
        return not self._held and self._stream.is_over()

    def is_cut_off(self, end: int | None) -> bool:
        """Say whether damage ended the reading of lines that begin before ``end``."""
        return not self._held and self._stream.is_cut_off(end)

    @property
    def damage(self) -> tuple[int, str]:
        """Up to which byte the content could be read, and why no further."""
        return self._stream.damage

    def _take_block(self) -> None:
        block = self._stream.next_block()
        if block is None:
            raise StopIteration
        if block.overlong_bytes:
            self._stream.pass_over(1)
            self._stream.is_empty()  # goes behind the line
            self.offset, self.line = self._stream.offset, self._stream.line
            raise RecordError(too_long("line", block.overlong_bytes, self._intake))
        *whole, last = block.data.tobytes().split(b"\n")
        self._held = [line + b"\n" for line in whole] + ([last] if last else [])
        self._stream.pass_over(len(self._held))
        self._held.reverse()
