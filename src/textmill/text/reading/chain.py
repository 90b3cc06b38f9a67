"""Reading a unit; or, where a file has to be read from its start, the chain of units that come of it, one by one."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from itertools import count

from textmill.text.reading.content import PIECE_BYTES, Content, DamagedContentError, open_content
from textmill.text.reading.csv_records import CsvRecords
from textmill.text.reading.files import STDLIB
from textmill.text.reading.json_lines import JsonLineRecords
from textmill.text.reading.line_stream import LineStream
from textmill.text.reading.parquet_records import read_parquet
from textmill.text.reading.records import Intake, OnBad, ReadCounts, RecordBatch, in_larger_batches
from textmill.text.reading.source import SourceInput
from textmill.text.reading.unchanged import while_unchanged
from textmill.text.reading.units import Span, Unit, UnitKey
from textmill.text.reading.whole_files import read_standard_library, read_whole_file


@dataclass(frozen=True, slots=True, eq=False)
class UnitReading:
    """A unit that is being read.

    Attributes:
        unit: which one; of a chain, with its own key.
        batches: its records, 4 to 8 MB of text at a time, read as they are asked for.
        counts: what was read so far; all of it once ``batches`` is at its end.
    """

    unit: Unit
    batches: Iterator[RecordBatch]
    counts: ReadCounts


def read_chain(
    unit: Unit,
    source: SourceInput,
    *,
    on_bad: OnBad,
    done: Collection[UnitKey] = frozenset(),
    num_threads: int = 1,
) -> Iterator[UnitReading]:
    """Read a unit, or all units of the chain that it begins, in the order of their keys.

    What comes does not depend on ``done``, nor on the number of threads. A reading is to be used up before the next one
    is asked for; what is left of it is read, and dropped.

    Args:
        unit: as ``cut_units`` gives it.
        source: what its files belong to.
        on_bad: is called for each bad record; what it raises ends the reading, and if it returns, reading goes on with
            the next record that can be read.
        done: keys of units that are not wanted. Those of a chain are unpacked, if another one follows.
        num_threads: threads that parse.

    Raises:
        DataError: a file cannot be opened or read, as opposed to what is in it; or it changed since it was found.
        MissingExtraError: a package of the extra "data" is needed.
    """
    if unit.is_chain:
        yield from _read_stretches(unit, source, on_bad, done, num_threads)
    elif unit.key not in done:
        intake = Intake(source, unit.files, on_bad, ReadCounts(), num_threads)
        yield from _give(unit, _read_spans(unit, intake), intake)


def _give(unit: Unit, batches: Iterator[RecordBatch], intake: Intake) -> Iterator[UnitReading]:
    reading = UnitReading(unit, while_unchanged(unit.files, in_larger_batches(batches)), intake.counts)
    yield reading
    for _ in reading.batches:
        pass


def _read_spans(unit: Unit, intake: Intake) -> Iterator[RecordBatch]:
    with contextlib.closing(intake.archive):
        for span in unit.spans:
            match unit.files[span.file].format:
                case "jsonl" | "csv":
                    yield from _read_lines(span, intake)
                case "parquet":
                    yield from read_parquet(span.file, span.begin, span.end, span.num_before, intake)
                case format_ if format_ == STDLIB:
                    yield from read_standard_library(span.file, intake)
                case _:
                    yield from read_whole_file(span.file, intake)


def _read_lines(span: Span, intake: Intake) -> Iterator[RecordBatch]:
    try:
        with _open_records(span, intake) as records:
            yield from records.read(span.end, intake)
            _tell_of_end(records, span.end, intake, span.file)
    except DamagedContentError as error:
        yield from _refuse_file(error, span.file, intake)


@contextlib.contextmanager
def _open_records(span: Span, intake: Intake) -> Iterator[JsonLineRecords | CsvRecords]:
    """Open a file at the first record that begins in a span."""
    file = intake.files[span.file]
    with open_content(file, intake.archive) as content:
        offset = _first_line(content, span)
        line = span.num_before + (2 if span.begin > 0 else 1)
        stream = LineStream(content, intake.source.max_document_bytes, offset=offset, line=line)
        yield CsvRecords(stream, span.file, intake) if file.format == "csv" else JsonLineRecords(stream, span.file)


def _first_line(content: Content, span: Span) -> int:
    """Go to the first line that begins in a span; returns its place, or the span's end where none does."""
    if span.begin == 0:
        return 0
    offset = span.begin - 1
    content.seek(offset)
    buffer = bytearray(PIECE_BYTES)
    while (span.end is None or offset < span.end) and (count := content.readinto(memoryview(buffer))):
        if (line_end := buffer.find(b"\n", 0, count)) >= 0:
            offset += line_end + 1
            break
        offset += count
    content.seek(offset)
    return offset


def _read_stretches(
    unit: Unit, source: SourceInput, on_bad: OnBad, done: Collection[UnitKey], num_threads: int
) -> Iterator[UnitReading]:
    def intake_of(told: OnBad) -> Intake:
        return Intake(source, unit.files, told, ReadCounts(), num_threads)

    unheard = intake_of(lambda bad: None)
    (span,) = unit.spans
    try:
        with contextlib.closing(unheard.archive), _open_records(span, unheard) as records:
            for stretch in count():
                end = (stretch + 1) * unit.stretch_bytes
                key = (unit.key[0], stretch)
                if key in done:
                    records.skip(end, unheard)
                else:
                    intake = intake_of(on_bad)
                    yield from _give(replace(unit, key=key), _read_stretch(records, end, intake), intake)
                if records.is_cut_off(end) or records.is_over():
                    return
    except DamagedContentError as error:
        if unit.key not in done:
            intake = intake_of(on_bad)
            yield from _give(unit, _refuse_file(error, 0, intake), intake)


def _read_stretch(records: JsonLineRecords | CsvRecords, end: int, intake: Intake) -> Iterator[RecordBatch]:
    yield from records.read(end, intake)
    _tell_of_end(records, end, intake, 0)


def _tell_of_end(records: JsonLineRecords | CsvRecords, end: int | None, intake: Intake, number: int) -> None:
    """Tell of damage that ended the reading; count a file without a byte, of which nothing else would tell."""
    if records.is_cut_off(end):
        offset, why = records.damage
        intake.refuse(intake.files[number], f"byte {offset}", f"and all that follows cannot be unpacked: {why}")
    elif records.has_no_byte():
        intake.counts.empty += 1


def _refuse_file(error: DamagedContentError, number: int, intake: Intake) -> Iterator[RecordBatch]:
    intake.refuse(intake.files[number], "byte 0", f"and all that follows cannot be unpacked: {error}")
    yield from ()
