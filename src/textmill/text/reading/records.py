"""What reading gives: batches of records, counts, and an account of every record that is bad."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from textmill.base.errors import DataError
from textmill.text.reading.content import OpenArchive
from textmill.text.reading.files import InputFile
from textmill.text.reading.numbered_names import numbered_names
from textmill.text.reading.source import ID, SourceInput
from textmill.text.text_batch import TextBatch

BATCH_BYTES = 4 << 20
MAX_TOLD = 5


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record, or the rest of a file, that could not be read.

    Attributes:
        path: the file; for a member of a zip ``ARCHIVE/MEMBER``.
        place: where in it: ``line 17, byte 1234``, ``row 5`` or ``byte 99``, bytes counted in unpacked content.
        what: the rest of the sentence: what is wrong, and what to do.
    """

    path: str
    place: str
    what: str

    def __str__(self) -> str:
        return f"{self.path}, {self.place} {self.what}"


OnBad = Callable[[BadRecord], None]
"""What becomes of a bad record: what it raises ends the reading."""


@dataclass(slots=True)
class BadRecords:
    """Bad records, by a policy: counted and passed over, or the first ends the reading.

    Attributes:
        policy: ``skip`` or ``stop``.
        count: how many there were.
        first: the first few of them, as sentences.
    """

    policy: Literal["skip", "stop"] = "stop"
    count: int = 0
    first: list[str] = field(default_factory=list)

    def __call__(self, bad: BadRecord) -> None:
        """Take note of one; raises ``DataError`` where the policy is to stop."""
        if self.policy == "stop":
            raise DataError(str(bad))
        self.count += 1
        if len(self.first) < MAX_TOLD:
            self.first.append(str(bad))


class RecordError(Exception):
    """A record cannot be read; ``what`` as in ``BadRecord``, ``offset`` in bytes from the record's begin."""

    def __init__(self, what: str, offset: int = 0) -> None:
        super().__init__(what)
        self.what, self.offset = what, offset


@dataclass(slots=True)
class ReadCounts:
    """What became of the records of a unit.

    Attributes:
        records: those that were given out.
        empty: those with an empty text, or null in place of one; and files without a byte.
        bad: those that could not be read; the rest of a damaged file counts as one.
        bytes: of the texts that were given out.
    """

    records: int = 0
    empty: int = 0
    bad: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class RecordBatch:
    """Records in the order of their files.

    Attributes:
        texts: their texts, none of them empty.
        places: int64[num_records]: the line or row of each, from 1; 1 for a whole file.
        files: int32[num_records]: which of ``unit_files`` each is from.
        fields: by our names, the fields beside the text that the source has: empty where a record has none.
        unit_files: the files of the unit.
    """

    texts: TextBatch
    places: NDArray[np.int64]
    files: NDArray[np.int32]
    fields: dict[str, TextBatch]
    unit_files: tuple[InputFile, ...]

    def __len__(self) -> int:
        return len(self.texts)

    def document_id(self, number: int) -> str:
        """Name a record: by its id field, or ``PATH`` of a whole file, or ``PATH:LINE``."""
        if ID in self.fields and (own := self.fields[ID][number]):
            return own.decode()
        file = self.unit_files[self.files[number]]
        return f"{file.name}:{self.places[number]}" if file.holds_records else file.name

    def ids(self) -> list[str]:
        """Name all records."""
        return [self.document_id(number) for number in range(len(self))]

    def names(self) -> TextBatch:
        """Name all records, as ``ids`` does, without a Python object for each where they have no id field."""
        if ID in self.fields:
            return TextBatch.of(self.ids())
        changes = np.flatnonzero(np.diff(self.files)) + 1
        parts = []
        for places in np.split(np.arange(len(self)), changes):
            file = self.unit_files[self.files[places[0]]]
            if file.holds_records:
                parts.append(numbered_names(f"{file.name}:".encode(), self.places[places]))
            else:
                parts.append(TextBatch.of([file.name] * len(places)))
        return TextBatch.joined(parts)

    def select(self, chosen: NDArray[np.bool_]) -> RecordBatch:
        """Keep the records where ``chosen``, bool[num_records], is true."""
        if chosen.all():
            return self
        fields = {name: values.select(chosen) for name, values in self.fields.items()}
        return RecordBatch(self.texts.select(chosen), self.places[chosen], self.files[chosen], fields, self.unit_files)


@dataclass(frozen=True, slots=True)
class Intake:
    """What reading a unit needs to know, and where it tells what it met."""

    source: SourceInput
    files: tuple[InputFile, ...]
    on_bad: Callable[[BadRecord], None]
    counts: ReadCounts
    num_threads: int = 1
    archive: OpenArchive = field(default_factory=OpenArchive)

    def refuse(self, file: InputFile, place: str, what: str) -> None:
        """Count and tell of a bad record."""
        self.counts.bad += 1
        self.on_bad(BadRecord(file.location, place, what))

    def batch(
        self, file: int, texts: TextBatch, places: NDArray[np.int64], fields: dict[str, TextBatch]
    ) -> Iterator[RecordBatch]:
        """Count the records of one file and yield those that have a text."""
        files = np.full(len(texts), file, np.int32)
        kept = RecordBatch(texts, places, files, fields, self.files).select(texts.lengths > 0)
        self.counts.records += len(kept)
        self.counts.empty += len(texts) - len(kept)
        self.counts.bytes += kept.texts.num_bytes
        if len(kept):
            yield kept


def place_of(line: int, offset: int) -> str:
    """Name a place in a file of lines."""
    return f"line {line}, byte {offset}"


def too_long(kind: str, num_bytes: int, intake: Intake) -> str:
    """Say that a record has too many bytes."""
    return above_limit(kind, num_bytes, intake.source.max_document_bytes)


def above_limit(
    kind: str, num_bytes: int, max_document_bytes: int, setting: str = "in a pipeline run.max_document_mb"
) -> str:
    """Say that something has more bytes than a record may have, and by which setting the user says how many."""
    return (
        f"is a {kind} of {num_bytes} bytes, more than max_document_bytes = {max_document_bytes}; "
        f"cut it, or raise the limit ({setting})"
    )


def in_larger_batches(batches: Iterable[RecordBatch]) -> Iterator[RecordBatch]:
    """Put small batches together until they have about 4 MB of text, as far as they have the same fields."""
    held: list[RecordBatch] = []
    num_bytes = 0
    for batch in batches:
        if held and (num_bytes + batch.texts.num_bytes > BATCH_BYTES or held[0].fields.keys() != batch.fields.keys()):
            yield _joined(held)
            held, num_bytes = [], 0
        held.append(batch)
        num_bytes += batch.texts.num_bytes
        if num_bytes >= BATCH_BYTES:
            yield _joined(held)
            held, num_bytes = [], 0
    if held:
        yield _joined(held)


def _joined(batches: list[RecordBatch]) -> RecordBatch:
    first = batches[0]
    if len(batches) == 1:
        return first
    return RecordBatch(
        TextBatch.joined([batch.texts for batch in batches]),
        np.concatenate([batch.places for batch in batches]),
        np.concatenate([batch.files for batch in batches]),
        {name: TextBatch.joined([batch.fields[name] for batch in batches]) for name in first.fields},
        first.unit_files,
    )
