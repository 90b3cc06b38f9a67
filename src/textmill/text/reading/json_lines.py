"""Records of ``.jsonl``: the native parser reads what it vouches for, Python the rest."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from textmill import _core
from textmill.text.reading.json_record import FieldPath, read_json_line
from textmill.text.reading.line_stream import LineBlock, LineStream
from textmill.text.reading.records import Intake, RecordBatch, RecordError, place_of, too_long
from textmill.text.text_batch import TextBatch


class JsonLineRecords:
    """The records of a file, read from a place in it up to one place and then to the next."""

    def __init__(self, stream: LineStream, number: int) -> None:
        self._stream, self._number = stream, number

    def is_over(self) -> bool:
        """Say whether no line is left, and that not because of damage."""
        return self._stream.is_over()

    def has_no_byte(self) -> bool:
        """Say whether the content is empty."""
        return self._stream.is_over() and self._stream.offset == 0

    def is_cut_off(self, end: int | None) -> bool:
        """Say whether damage ended the reading of lines that begin before ``end``."""
        return self._stream.is_cut_off(end)

    @property
    def damage(self) -> tuple[int, str]:
        """Up to which byte the content could be read, and why no further."""
        return self._stream.damage

    def read(self, end: int | None, intake: Intake) -> Iterator[RecordBatch]:
        """Read the records whose lines begin before byte ``end``."""
        while (block := self._stream.next_block(end)) is not None:
            if block.overlong_bytes:
                what = too_long("line", block.overlong_bytes, intake)
                intake.refuse(intake.files[self._number], place_of(block.line, block.offset), what)
                self._stream.pass_over(1)
            else:
                lines, columns, num_lines = _read_block(_without_mark(block), self._number, intake)
                self._stream.pass_over(num_lines)
                fields = dict(zip(intake.source.other_fields, columns[1:], strict=True))
                yield from intake.batch(self._number, columns[0], lines, fields)

    def skip(self, end: int, _intake: Intake) -> None:
        """Pass over the lines that begin before byte ``end``."""
        self._stream.skip_lines_before(end)


def _without_mark(block: LineBlock) -> LineBlock:
    """A block without the byte order mark with which a file may begin."""
    if block.offset > 0 or block.data[: len(BOM_UTF8)].tobytes() != BOM_UTF8:
        return block
    return replace(block, data=block.data[len(BOM_UTF8) :], offset=len(BOM_UTF8))


def _read_block(block: LineBlock, number: int, intake: Intake) -> tuple[NDArray[np.int64], list[TextBatch], int]:
    """Read a block; returns the numbers of the records' lines, the values of each field, and how many lines it has."""
    fields = [intake.source.text_field.split("."), *(name.split(".") for name in intake.source.other_fields.values())]
    distinct = [list(field) for field in dict.fromkeys(map(tuple, fields))]
    values, lines, refused, num_lines = _core.parse_json_lines(
        block.data,
        [[key.encode() for key in field] for field in distinct],
        intake.source.max_document_bytes,
        intake.num_threads,
    )
    columns = [TextBatch(*values[distinct.index(field)]) for field in fields]
    mended = list(_read_refused(block, refused, fields, number, intake))
    if mended:
        mended_lines = np.array([line for line, _ in mended], np.int64)
        places = np.searchsorted(lines, mended_lines)
        lines = np.insert(lines, places, mended_lines)
        columns = [
            _inserted(column, places, [values[i].encode() for _, values in mended]) for i, column in enumerate(columns)
        ]
    return lines + block.line, columns, num_lines


def _read_refused(
    block: LineBlock, refused: NDArray[np.int64], fields: Sequence[FieldPath], number: int, intake: Intake
) -> Iterator[tuple[int, list[str]]]:
    """Read the lines that the native parser did not: those that are records, by their numbers from 0."""
    file = intake.files[number]
    for line, begin, end in refused.tolist():
        place = place_of(block.line + line, block.offset + begin)
        if end - begin > intake.source.max_document_bytes:
            intake.refuse(file, place, too_long("line", end - begin, intake))
            continue
        try:
            values = read_json_line(block.data[begin:end].tobytes(), fields, file.location, block.offset + begin)
        except RecordError as error:
            intake.refuse(file, place_of(block.line + line, block.offset + begin + error.offset), error.what)
            continue
        if values is not None:
            yield line, values


def _inserted(batch: TextBatch, places: NDArray[np.int64], texts: list[bytes]) -> TextBatch:
    """Put texts into a batch, each before the text whose number stands in ``places``, int64[len(texts)], rising."""
    cuts = batch.offsets[places].tolist()
    pieces = []
    begin = 0
    for cut, text in zip(cuts, texts, strict=True):
        pieces += [batch.data[begin:cut], np.frombuffer(text, np.uint8)]
        begin = cut
    pieces.append(batch.data[begin:])
    lengths = np.insert(batch.lengths, places, [len(text) for text in texts])
    return TextBatch(np.concatenate(pieces), np.concatenate(([0], np.cumsum(lengths))))
