"""The lines of files of training records, as bytes and as text; those that are bad are told of with their place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from textmill.base.errors import DataError
from textmill.text.decontamination.json_files import check_is_json_lines
from textmill.text.decontamination.training_records import read_record, text_of_record
from textmill.text.reading.content import Content, DamagedContentError, OpenArchive, open_content
from textmill.text.reading.files import InputFile, version_of
from textmill.text.reading.line_stream import LineStream
from textmill.text.reading.records import BadRecord, OnBad, RecordError, above_limit, place_of
from textmill.text.reading.unchanged import while_unchanged

_Refuse = Callable[[str, str], None]
_LIMIT = "--max-document-mb on the command line"


@dataclass(frozen=True, slots=True)
class RecordLine:
    """A line that can be read.

    Attributes:
        data: its bytes, with its end.
        text: all text of its record; None where it is blank.
        id: ``FILE:LINE``.
        disk_bytes: how far reading is, over all files.
    """

    data: bytes
    text: str | None
    id: str
    disk_bytes: int


def read_record_lines(
    paths: Sequence[Path], fields: Sequence[str] | None, on_bad: OnBad, max_line_bytes: int
) -> Iterator[RecordLine]:
    """Read the lines of ``.jsonl`` files, packed or not.

    Args:
        paths: the files, in order.
        fields: of a record, as ``text_of_record`` takes them.
        on_bad: is called for each bad record, which is left out if it returns.
        max_line_bytes: a line with more is bad, and is never held.

    Raises:
        DataError: a path is no file of lines of JSON, or cannot be opened, or it changed while it was read.
    """
    before = 0
    for path in paths:
        file = _input_file(path)
        yield from while_unchanged([file], _lines_of(file, fields, on_bad, max_line_bytes, before))
        before += file.size


def _input_file(path: Path) -> InputFile:
    try:
        if path.exists() and not path.is_file():
            raise DataError(f"{path} is no file; give .jsonl files or globs, packed or not")
        version = version_of(path)
        check_is_json_lines(path)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    return InputFile(str(path), path.name, "jsonl", version[0], version)


def _lines_of(
    file: InputFile, fields: Sequence[str] | None, on_bad: OnBad, max_line_bytes: int, before: int
) -> Iterator[RecordLine]:
    def refuse(place: str, what: str) -> None:
        on_bad(BadRecord(file.location, place, what))

    try:
        with open_content(file, OpenArchive()) as content:
            for number, offset, data in _whole_lines(content, max_line_bytes, refuse):
                try:
                    text = text_of_record(read_record(data, file.path, offset), fields) if data.strip() else None
                except RecordError as error:
                    refuse(place_of(number, offset + error.offset), error.what)
                    continue
                yield RecordLine(data, text, f"{file.name}:{number}", before + content.disk_bytes)
    except DamagedContentError as error:
        refuse("byte 0", f"and all that follows cannot be unpacked: {error}")


def _whole_lines(content: Content, max_line_bytes: int, refuse: _Refuse) -> Iterator[tuple[int, int, bytes]]:
    """Yield the lines that can be read: their numbers, where they begin, and their bytes with their ends."""
    stream = LineStream(content, max_line_bytes)
    while (block := stream.next_block()) is not None:
        if block.overlong_bytes:
            refuse(
                place_of(block.line, block.offset), above_limit("line", block.overlong_bytes, max_line_bytes, _LIMIT)
            )
            stream.pass_over(1)
            continue
        *lines, rest = block.data.tobytes().split(b"\n")
        lines = [line + b"\n" for line in lines] + [rest] * bool(rest)
        offset = block.offset
        for number, line in enumerate(lines, start=block.line):
            if len(line) > max_line_bytes + 1:
                refuse(place_of(number, offset), above_limit("line", len(line) - 1, max_line_bytes, _LIMIT))
            else:
                yield number, offset, line
            offset += len(line)
        stream.pass_over(len(lines))
    if stream.is_cut_off(None):
        offset, why = stream.damage
        refuse(f"byte {offset}", f"and all that follows cannot be unpacked: {why}")
