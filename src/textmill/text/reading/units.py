"""Units of work: pieces of the input of about the same size, cut the same whoever is to read them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice
from typing import Any

import numpy as np

from textmill.base.errors import DataError
from textmill.text.reading.files import InputFile
from textmill.text.reading.parquet_records import row_groups

UNIT_BYTES = 64 << 20
_BYTES_OF_A_FILE = 4096  # what opening a file costs, as bytes that could be read meanwhile
_UNPACKED_RATIO = 8  # about how many bytes come out of one, where only the packed size is known
_COUNTED_BYTES = 1 << 20

UnitKey = tuple[int, int]
# Like the built-in map: calls a function for each item, anywhere, and gives results in order.
Each = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a file, or all of it.

    Attributes:
        file: which of the unit's files.
        begin: of a part: a byte of .jsonl, a row group of .parquet.
        end: behind its last one; None is the end of the file.
        num_before: rows before ``begin``; of lines, those that end before the byte in front of it.
    """

    file: int
    begin: int = 0
    end: int | None = None
    num_before: int = 0


@dataclass(frozen=True, slots=True)
class Unit:
    """What is read in one go, and whose results are kept as one.

    Attributes:
        key: the number of its first file in the source, and the number of its stretch of that file; units in the order
            of their keys are in the order of the documents.
        files: the files that it is read from.
        spans: what is read of them, in order.
        stretch_bytes: where this is not 0, the one file has to be read from its start (it is packed, or its records may
            hold line ends), and this is the first of a chain of units: each is so many bytes of unpacked content. How
            many there are shows when the file is read (``read_chain``).
    """

    key: UnitKey
    files: tuple[InputFile, ...]
    spans: tuple[Span, ...]
    stretch_bytes: int = 0

    @property
    def is_chain(self) -> bool:
        """Whether more units may come of the same file."""
        return self.stretch_bytes > 0


def cut_units(files: Sequence[InputFile], unit_bytes: int = UNIT_BYTES, each: Each = map) -> list[Unit]:
    """Cut a source into units of about ``unit_bytes``, in the order of their keys.

    Small files share a unit. Large files of .jsonl are cut by bytes and of .parquet by row groups. Text files are
    whole, and so is a parquet file that is packed. Packed files, and large ones of .csv, are the first unit of a chain.

    Args:
        files: of one source, as ``list_files`` gives them.
        unit_bytes: what a unit has at least, but for the last before a larger file.
        each: ``map``, or what does the same on many processes: lines of large .jsonl files are counted with it, once,
            so that every record knows its line.
    """
    line_ends = iter(each(count_line_ends, [part for file in files for part in _counted_parts(file, unit_bytes)]))
    units = []
    shared: list[int] = []
    num_bytes = 0
    for number, file in enumerate(files):
        cost = _cost(file)
        if shared and (num_bytes >= unit_bytes or cost > unit_bytes):
            units.append(_shared_unit(files, shared))
            shared, num_bytes = [], 0
        if cost > unit_bytes:
            units += _units_of(number, file, unit_bytes, line_ends)
        else:
            shared.append(number)
            num_bytes += cost
    if shared:
        units.append(_shared_unit(files, shared))
    return units


def _cost(file: InputFile) -> int:
    return file.size * (_UNPACKED_RATIO if file.packing else 1) + _BYTES_OF_A_FILE


def _shared_unit(files: Sequence[InputFile], numbers: list[int]) -> Unit:
    spans = tuple(Span(i) for i in range(len(numbers)))
    return Unit((numbers[0], 0), tuple(files[number] for number in numbers), spans)


def _units_of(number: int, file: InputFile, unit_bytes: int, line_ends: Iterator[int]) -> list[Unit]:
    """Cut a large file; ``line_ends`` gives what was counted in its parts."""
    if file.format == "csv" or (file.format == "jsonl" and not _is_plain(file)):
        return [Unit((number, 0), (file,), (Span(0),), unit_bytes)]
    spans = [Span(0)]
    if file.format == "jsonl":
        counts = islice(line_ends, len(_counted_parts(file, unit_bytes)))
        begins = range(0, max(file.size, 1), unit_bytes)
        before = accumulate(counts, initial=0)
        spans = [Span(0, begin, begin + unit_bytes, num) for begin, num in zip(begins, before, strict=True)]
    elif file.format == "parquet" and _is_plain(file):
        spans = list(_row_group_spans(file, unit_bytes)) or spans
    return [Unit((number, stretch), (file,), (span,)) for stretch, span in enumerate(spans)]


def _is_plain(file: InputFile) -> bool:
    return not file.packing and not file.member


def _counted_parts(file: InputFile, unit_bytes: int) -> list[tuple[str, int, int]]:
    """The parts of a file that is cut by bytes in which lines are counted: in front of the byte before each cut.

    A line belongs to the unit in which it begins, and whether one begins at a cut, the byte before it tells.
    """
    if file.format != "jsonl" or not _is_plain(file) or _cost(file) <= unit_bytes:
        return []
    cuts = range(unit_bytes, file.size, unit_bytes)
    return [(file.path, max(cut - unit_bytes - 1, 0), cut - 1) for cut in cuts]


def count_line_ends(part: tuple[str, int, int]) -> int:
    """Count the line ends of a file (its path) between two bytes."""
    path, begin, end = part
    block = np.empty(_COUNTED_BYTES, np.uint8)
    num_lines = 0
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            file.seek(begin)
            while begin < end and (count := file.readinto(block.data[: end - begin])):
                num_lines += int(np.count_nonzero(block[:count] == ord("\n")))
                begin += count
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    return num_lines


def _row_group_spans(file: InputFile, unit_bytes: int) -> Iterator[Span]:
    """Put row groups together; none where the file's end, which lists them, cannot be read."""
    begin = num_before = num_rows = num_bytes = 0
    groups = row_groups(file)
    for group, (group_rows, group_bytes) in enumerate(groups):
        num_rows += group_rows
        num_bytes += group_bytes
        if num_bytes >= unit_bytes or group == len(groups) - 1:
            yield Span(0, begin, group + 1, num_before)
            begin, num_before, num_bytes = group + 1, num_rows, 0
