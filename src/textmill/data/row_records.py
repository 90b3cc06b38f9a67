"""What a batch is made of, for whoever looks into a run: sources, documents and where their bytes lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from textmill.data.loader import BatchLoader, DealtRows
from textmill.data.shards import ShardSet
from textmill.text.token_stream import RowPlan


@dataclass(frozen=True, kw_only=True, slots=True)
class DocumentRecord:
    """A stretch of a document in a row.

    Attributes:
        number: the document's, in its set.
        name: its id, where the set has it.
        start: where the stretch begins in the document, in tokens.
        length: tokens of the stretch, all of them targets.
        file: the file of the set that it begins in.
        byte: its first byte there.
    """

    number: int
    name: str | None
    start: int
    length: int
    file: str
    byte: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RowRecord:
    """A row of a batch.

    Attributes:
        row: its number in the batch.
        source: its source's name.
        epoch: of that source, counted from 0.
        documents: what it is made of, in order.
    """

    row: int
    source: str
    epoch: int
    documents: tuple[DocumentRecord, ...]


def describe(loader: BatchLoader, step: int) -> list[RowRecord]:
    """Tell what the batch of a step is made of; costs as much as making it."""
    records = [record for group in loader.deal(step) for record in _describe_group(group)]
    return sorted(records, key=lambda record: record.row)


def _describe_group(group: DealtRows) -> list[RowRecord]:
    plan = group.plan()
    records = []
    for number, row in enumerate(group.rows.tolist()):
        spans = _spans_of(plan, number)
        documents = _documents(group.source.shards, plan.span_places[spans], plan.span_lengths[spans])
        records.append(RowRecord(row=row, source=group.name, epoch=group.epoch, documents=documents))
    return records


def _spans_of(plan: RowPlan, row: int) -> slice:
    first, last = plan.row_segments[row], plan.row_segments[row + 1]
    return slice(int(plan.segment_spans[first]), int(plan.segment_spans[last]))


def _documents(shards: ShardSet, places: np.ndarray, lengths: np.ndarray) -> tuple[DocumentRecord, ...]:
    is_text = places >= 0
    begins, ends = places[is_text], (places + lengths)[is_text]
    _, places, lengths = shards.index.pieces(begins, ends)
    numbers = shards.index.documents_at(places)
    return tuple(
        _record(shards, number, place, length)
        for number, place, length in zip(numbers.tolist(), places.tolist(), lengths.tolist(), strict=True)
    )


def _record(shards: ShardSet, number: int, place: int, length: int) -> DocumentRecord:
    file, byte = shards.file_place(place)
    return DocumentRecord(
        number=number,
        name=None if shards.names is None else shards.names[number],
        start=place - shards.index.span(number)[0],
        length=length,
        file=file,
        byte=byte,
    )
