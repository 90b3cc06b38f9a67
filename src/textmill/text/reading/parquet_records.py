"""Records of ``.parquet``: rows, of which only the columns that are asked for are read."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from textmill.base.errors import DataError, require_extra
from textmill.text.readers import describe_not_utf8
from textmill.text.reading.content import PIECE_BYTES, DamagedContentError, open_content
from textmill.text.reading.files import InputFile
from textmill.text.reading.records import BATCH_BYTES, Intake, RecordBatch, RecordError, too_long
from textmill.text.reading.source import TEXT
from textmill.text.text_batch import TextBatch

_MAX_ROWS = 65536


def row_groups(file: InputFile) -> list[tuple[int, int]]:
    """List the rows and the unpacked bytes of a file's row groups; nothing where the file is damaged.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    parquet = require_extra("pyarrow.parquet", "data", "reading .parquet files")
    try:
        metadata = parquet.read_metadata(file.path)
    except (OSError, ValueError):
        return []
    groups = (metadata.row_group(i) for i in range(metadata.num_row_groups))
    return [(group.num_rows, group.total_byte_size) for group in groups]


def read_parquet(number: int, begin: int, end: int | None, num_before: int, intake: Intake) -> Iterator[RecordBatch]:
    """Read row groups ``begin`` to ``end`` of file ``number``, before which there are ``num_before`` rows."""
    file = intake.files[number]
    row = num_before
    try:
        with _seekable(file) as opened:
            for columns in _column_batches(opened, begin, end, intake):
                num_rows = len(next(iter(columns.values())))
                yield from _read_rows(columns, row, number, intake)
                row += num_rows
    except RecordError as error:
        intake.refuse(file, f"row {row + 1}", error.what)
    except DamagedContentError as error:
        intake.refuse(file, f"row {row + 1}", f"and all that follows cannot be unpacked: {error}")


@contextlib.contextmanager
def _seekable(file: InputFile) -> Iterator[str | IO[bytes]]:
    """A file's path, or its unpacked content in a temporary file: parquet is read from its end."""
    if not file.packing and not file.member:
        yield file.path
        return
    with tempfile.TemporaryFile() as unpacked:
        buffer = memoryview(bytearray(PIECE_BYTES))
        with open_content(file) as content:
            while count := content.readinto(buffer):
                unpacked.write(buffer[:count])
        unpacked.seek(0)
        yield unpacked


def _column_batches(opened: str | IO[bytes], begin: int, end: int | None, intake: Intake) -> Iterator[dict[str, Any]]:
    """Yield rows by our names of their fields, as arrays of arrow.

    Raises:
        RecordError: the file is damaged, or has no text.
        DataError: it cannot be read.
    """
    parquet = require_extra("pyarrow.parquet", "data", "reading .parquet files")
    try:
        table = parquet.ParquetFile(opened)
        names = _known_fields(table.schema_arrow, intake)
        groups = range(begin, table.num_row_groups if end is None else end)
        num_rows, num_bytes = _size_of(table.metadata, groups)
        batch_rows = min(max(BATCH_BYTES * num_rows // max(num_bytes, 1), 1), _MAX_ROWS)
        batches = table.iter_batches(batch_rows, row_groups=groups, columns=list(names.values()), use_threads=False)
        while (batch := next(batches, None)) is not None:
            yield {ours: _as_text(_column(batch, theirs), theirs) for ours, theirs in names.items()}
    except OSError as error:
        if error.errno is not None:
            raise DataError(f"cannot read {opened}: {error}") from error
        raise RecordError(f"and all that follows cannot be read as parquet: {error}") from error
    except ValueError as error:
        raise RecordError(f"and all that follows cannot be read as parquet: {error}") from error


def _known_fields(schema: Any, intake: Intake) -> dict[str, str]:
    """Our names of the fields that a file has, to its own."""
    theirs_of = {TEXT: intake.source.text_field, **intake.source.other_fields}
    known = {ours: theirs for ours, theirs in theirs_of.items() if _has_column(schema, theirs)}
    if TEXT not in known:
        raise RecordError(
            f'and all that follows has no column "{theirs_of[TEXT]}"; the columns are {", ".join(schema.names)}. '
            f"Say which of them holds the text: fields.text"
        )
    return known


def _has_column(schema: Any, name: str) -> bool:
    if name in schema.names:
        return True
    first, *rest = name.split(".")
    if first not in schema.names:
        return False
    type_ = schema.field(first).type
    for key in rest:
        index = type_.get_field_index(key) if hasattr(type_, "get_field_index") else -1
        if index < 0:
            return False
        type_ = type_.field(index).type
    return True


def _size_of(metadata: Any, groups: range) -> tuple[int, int]:
    """Rows and unpacked bytes of row groups."""
    chosen = [metadata.row_group(i) for i in groups]
    return sum(group.num_rows for group in chosen), sum(group.total_byte_size for group in chosen)


def _column(batch: Any, name: str) -> Any:
    if name in batch.schema.names:
        return batch.column(name)
    compute = require_extra("pyarrow.compute", "data", "reading .parquet files")
    first, *rest = name.split(".")
    return compute.struct_field(batch.column(first), rest)


def _as_text(array: Any, name: str) -> Any:
    """Cast a column to bytes that need not be UTF-8, null to none."""
    pyarrow = require_extra("pyarrow", "data", "reading .parquet files")
    types = pyarrow.types
    if types.is_nested(array.type) and not types.is_dictionary(array.type):
        raise RecordError(f'and all that follows has {array.type} in the column "{name}", which must be text')
    if not types.is_large_binary(array.type) and not types.is_binary(array.type):
        array = array.cast(pyarrow.large_string())
    return array.cast(pyarrow.large_binary()).fill_null(b"")


def _read_rows(columns: dict[str, Any], num_before: int, number: int, intake: Intake) -> Iterator[RecordBatch]:
    texts = {ours: _to_batch(array) for ours, array in columns.items()}
    is_good = np.ones(len(texts[TEXT]), np.bool_)
    for row, what in _problems(texts, number, intake):
        if is_good[row]:
            intake.refuse(intake.files[number], f"row {num_before + row + 1}", what)
        is_good[row] = False
    places = np.arange(num_before + 1, num_before + 1 + len(is_good))[is_good]
    kept = {ours: batch.select(is_good) for ours, batch in texts.items()}
    yield from intake.batch(number, kept.pop(TEXT), places, kept)


def _problems(texts: dict[str, TextBatch], number: int, intake: Intake) -> Iterator[tuple[int, str]]:
    """Find the rows whose values are too long or are no UTF-8, and say why."""
    limit = intake.source.max_document_bytes
    for row in np.flatnonzero(texts[TEXT].lengths > limit).tolist():
        yield row, too_long("text", int(texts[TEXT].lengths[row]), intake)
    for batch in texts.values():
        for row in _not_utf8_rows(batch):
            wrong = batch[row]
            try:
                wrong.decode()
            except UnicodeDecodeError as error:
                yield row, describe_not_utf8(intake.files[number].location, wrong[error.start :], error.start)


def _not_utf8_rows(batch: TextBatch) -> list[int]:
    pyarrow = require_extra("pyarrow", "data", "reading .parquet files")
    if _is_utf8(pyarrow, batch.offsets, batch.data):
        return []
    return [row for row in range(len(batch)) if not _is_utf8(pyarrow, np.array([0, batch.lengths[row]]), batch[row])]


def _is_utf8(pyarrow: Any, offsets: NDArray[np.int64], data: Any) -> bool:
    buffers = [None, pyarrow.py_buffer(np.ascontiguousarray(offsets)), pyarrow.py_buffer(data)]
    try:
        pyarrow.LargeStringArray.from_buffers(len(offsets) - 1, buffers[1], buffers[2]).validate(full=True)
    except ValueError:
        return False
    return True


def _to_batch(array: Any) -> TextBatch:
    """Texts of an array of large binary, without a copy."""
    _, offsets_buffer, data_buffer = array.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int64)[array.offset : array.offset + len(array) + 1]
    data = np.frombuffer(data_buffer, np.uint8) if data_buffer is not None else np.empty(0, np.uint8)
    return TextBatch(data[offsets[0] : offsets[-1]], offsets - offsets[0])
