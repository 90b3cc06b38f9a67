"""Records of ``.csv`` and ``.tsv``: rows below a line of names, read in order, since values may hold line ends."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from textmill.text.folders import suffix_of
from textmill.text.reading.decoded_lines import DecodedLines
from textmill.text.reading.line_stream import LineStream
from textmill.text.reading.records import BATCH_BYTES, Intake, RecordBatch, RecordError
from textmill.text.reading.source import TEXT
from textmill.text.text_batch import TextBatch


class CsvRecords:
    """The rows of a file, read from its start up to one place and then to the next."""

    def __init__(self, stream: LineStream, number: int, intake: Intake) -> None:
        file = intake.files[number]
        # The module's own limit is 128 Ki characters a value, for the whole process; ours is checked by the lines of a
        # row, before the module sees the one that makes it too long.
        csv.field_size_limit(max(csv.field_size_limit(), intake.source.max_document_bytes))
        self._number, self._file = number, file
        self._lines = DecodedLines(stream, file.location, intake)
        delimiter = "\t" if suffix_of(Path(file.location)) == ".tsv" else ","
        self._rows = csv.reader(self._lines, delimiter=delimiter, strict=True)
        self._names: list[str] = []
        self._num_rows = 0
        self._is_refused = False

    def is_over(self) -> bool:
        """Say whether no row is left, and that not because of damage."""
        return self._is_refused or self._lines.is_over()

    def has_no_byte(self) -> bool:
        """Say whether the content is empty."""
        return self._lines.is_over() and self._lines.offset == 0

    def is_cut_off(self, end: int | None) -> bool:
        """Say whether damage ended the reading of rows that begin before ``end``."""
        return not self._is_refused and self._lines.is_cut_off(end)

    @property
    def damage(self) -> tuple[int, str]:
        """Up to which byte the content could be read, and why no further."""
        return self._lines.damage

    def read(self, end: int | None, intake: Intake) -> Iterator[RecordBatch]:
        """Read the rows that begin before byte ``end``."""
        rows: list[list[str]] = []
        places: list[int] = []
        num_bytes = 0
        for row in self._good_rows(end, intake):
            rows.append(row)
            places.append(self._num_rows)
            num_bytes += self._lines.record_bytes
            if num_bytes >= BATCH_BYTES:
                yield from self._batch(rows, places, intake)
                rows, places, num_bytes = [], [], 0
        yield from self._batch(rows, places, intake)

    def skip(self, end: int, intake: Intake) -> None:
        """Pass over the rows that begin before byte ``end``: where they end shows only when they are read."""
        for _ in self._good_rows(end, intake):
            pass

    def _good_rows(self, end: int | None, intake: Intake) -> Iterator[list[str]]:
        while not self._is_refused and self._lines.has_next_before(end):
            line = self._lines.line
            is_header = not self._names
            self._lines.record_begin = self._lines.offset
            try:
                row = next(self._rows, [])
            except (csv.Error, RecordError) as error:
                self._num_rows += not is_header
                self._refuse(error, line, intake)
                continue
            if not row:
                continue  # a blank line
            self._num_rows += not is_header
            try:
                self._check(row, intake)
            except RecordError as error:
                self._refuse(error, line, intake)
                continue
            if not is_header:
                yield row

    def _check(self, row: list[str], intake: Intake) -> None:
        """Take the first row as the names of columns; of others, see that they have a value for each."""
        if not self._names:
            if intake.source.text_field not in row:
                raise RecordError(
                    f'has no column "{intake.source.text_field}"; the columns are {", ".join(row[:16])}. '
                    f"Say which of them holds the text: fields.text"
                )
            self._names = row
        elif len(row) != len(self._names):
            raise RecordError(f"has {len(row)} values, and there are {len(self._names)} columns")

    def _refuse(self, error: csv.Error | RecordError, line: int, intake: Intake) -> None:
        if self._lines.is_cut_off(None):
            return  # a row that damage cuts short: that is told of by itself
        self._is_refused = not self._names
        what = error.what if isinstance(error, RecordError) else f"is not CSV: {error}. Mend or remove the row"
        place = f"row {self._num_rows}, line {line}" if self._names else f"line {line}"
        intake.refuse(self._file, place, what)

    def _batch(self, rows: list[list[str]], places: list[int], intake: Intake) -> Iterator[RecordBatch]:
        if not rows:
            return
        columns = {TEXT: intake.source.text_field, **intake.source.other_fields}
        numbers = {ours: self._names.index(theirs) for ours, theirs in columns.items() if theirs in self._names}
        texts = {ours: TextBatch.of([row[column] for row in rows]) for ours, column in numbers.items()}
        yield from intake.batch(self._number, texts.pop(TEXT), np.array(places, np.int64), texts)
