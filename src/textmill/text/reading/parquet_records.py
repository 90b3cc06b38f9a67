"""Records of ``.parquet``: rows, of which only the columns that are asked for are read."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from textmill.base.errors import DataError, require_extra
from textmill.base.files import temporary_errors
from textmill.text.readers import describe_not_utf8
from textmill.text.reading.content import PIECE_BYTES, DamagedContentError, open_content
from textmill.text.reading.files import InputFile
from textmill.text.reading.records import BATCH_BYTES, Intake, RecordBatch, RecordError, too_long
from textmill.text.reading.source import TEXT
from textmill.text.text_batch import TextBatch

_MAX_ROWS = 65536
# Times its size that a file may have unpacked: parquet is packed within, and plain text rarely gets below a tenth.
_MAX_UNPACKED_RATIO = 100


def row_groups(file: InputFile) -> list[tuple[int, int]]:
    """List the rows and the unpacked bytes of a file's row groups; nothing where the file is damaged.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    parquet = require_extra("pyarrow.parquet", "data", "reading .parquet files")
    try:
        metadata = parquet.read_metadata(file.path)
    except (OSError, *_damage()):
        return []
    groups = (metadata.row_group(i) for i in range(metadata.num_row_groups))
    return [(group.num_rows, group.total_byte_size) for group in groups]


def read_parquet(number: int, begin: int, end: int | None, num_before: int, intake: Intake) -> Iterator[RecordBatch]:
    """Read row groups ``begin`` to ``end`` of file ``number``, before which there are ``num_before`` rows.

    A row group that is damaged is one bad record, from the row up to which it can be read.
    """
    file = intake.files[number]
    if file.size == 0:
        intake.counts.empty += 1
        return
    row = num_before
    try:
        with _seekable(file, intake) as opened:
            table, names = _open_table(opened, intake)
            groups = range(begin, table.num_row_groups if end is None else end)
            for group in groups:
                group_end = row + table.metadata.row_group(group).num_rows
                try:
                    for columns in _column_batches(table, group, names):
                        rows = len(columns[TEXT])
                        yield from _read_rows(columns, row, number, intake)
                        row += rows
                except RecordError as error:
                    intake.refuse(file, f"row {row + 1}", f"and all up to row {group_end} {error.what}")
                row = group_end
    except RecordError as error:
        intake.refuse(file, f"row {row + 1}", f"and all that follows {error.what}")
    except DamagedContentError as error:
        intake.refuse(file, f"row {row + 1}", f"and all that follows cannot be unpacked: {error}")


@contextlib.contextmanager
def _seekable(file: InputFile, intake: Intake) -> Iterator[str | IO[bytes]]:
    """A file's path, or its unpacked content in a temporary file: parquet is read from its end."""
    if not file.packing and not file.member:
        yield file.path
        return
    with temporary_errors():
        unpacked = tempfile.TemporaryFile()  # noqa: SIM115  closed below, where a full disk fails a second time
    try:
        _unpack(file, intake, unpacked)
        yield unpacked
    finally:
        with contextlib.suppress(OSError):
            unpacked.close()


def _unpack(file: InputFile, intake: Intake, unpacked: IO[bytes]) -> None:
    packed_bytes = file.version[0] if file.version else file.size
    max_bytes = max(_MAX_UNPACKED_RATIO * packed_bytes, intake.source.max_document_bytes)
    buffer = memoryview(bytearray(PIECE_BYTES))
    with open_content(file, intake.archive) as content:
        while count := content.readinto(buffer):
            if unpacked.tell() + count > max_bytes:
                raise RecordError(
                    f"unpacks to more than {max_bytes} bytes, the most for {packed_bytes} bytes on the disk "
                    f"({_MAX_UNPACKED_RATIO} times as many, or max_document_bytes); unpack it beforehand, or raise "
                    "max_document_bytes (in a pipeline run.max_document_mb)"
                )
            with temporary_errors():
                unpacked.write(buffer[:count])
    with temporary_errors():
        unpacked.seek(0)


@contextlib.contextmanager
def _arrow_errors() -> Iterator[None]:
    """Tell damage, of which arrow says ``OSError`` too, from a file that cannot be read."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            raise DataError(f"cannot read parquet: {error}") from error
        raise RecordError(f"cannot be read as parquet: {error}") from error
    except _damage() as error:
        raise RecordError(f"cannot be read as parquet: {error}") from error


def _damage() -> tuple[type[Exception], ...]:
    """What arrow raises for damage, or for what it does not know, beside ``OSError``."""
    return (require_extra("pyarrow", "data", "reading .parquet files").lib.ArrowException, ValueError)


def _open_table(opened: str | IO[bytes], intake: Intake) -> tuple[Any, dict[str, str]]:
    """Open a file; returns it, and our names of the fields that it has to its own."""
    parquet = require_extra("pyarrow.parquet", "data", "reading .parquet files")
    with _arrow_errors():
        table = parquet.ParquetFile(opened)
    return table, _known_fields(table.schema_arrow, intake)


def _column_batches(table: Any, group: int, names: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Yield the rows of a row group by our names of their fields, as arrays of arrow."""
    metadata = table.metadata.row_group(group)
    batch_rows = BATCH_BYTES * metadata.num_rows // max(metadata.total_byte_size, 1)
    batch_rows = min(max(batch_rows, 1), _MAX_ROWS)
    with _arrow_errors():
        batches = table.iter_batches(batch_rows, [group], list(names.values()), use_threads=False)
    while True:
        with _arrow_errors():
            batch = next(batches, None)
            if batch is None:
                return
            columns = {ours: _as_text(_column(batch, theirs)) for ours, theirs in names.items()}
        yield columns


def _known_fields(schema: Any, intake: Intake) -> dict[str, str]:
    types = require_extra("pyarrow", "data", "reading .parquet files").types
    theirs_of = {TEXT: intake.source.text_field, **intake.source.other_fields}
    types_of = {ours: _type_of(schema, theirs) for ours, theirs in theirs_of.items()}
    if types_of[TEXT] is None:
        raise RecordError(
            f'has no column "{theirs_of[TEXT]}"; the columns are {", ".join(schema.names)}. '
            f"Say which of them holds the text: fields.text"
        )
    known = {ours: type_ for ours, type_ in types_of.items() if type_ is not None}
    for ours, type_ in known.items():
        held = type_.value_type if types.is_dictionary(type_) else type_
        if types.is_nested(held) or (ours == TEXT and types.is_primitive(held)):
            raise RecordError(f'has {type_} in the column "{theirs_of[ours]}", which must be text')
    return {ours: theirs_of[ours] for ours in known}


def _type_of(schema: Any, name: str) -> Any:
    """The type of a column, or of a field of a column's objects; None where there is none."""
    if name in schema.names:
        return schema.field(name).type
    first, *rest = name.split(".")
    type_ = schema.field(first).type if first in schema.names else None
    for key in rest:
        index = type_.get_field_index(key) if hasattr(type_, "get_field_index") else -1
        if type_ is None or index < 0:
            return None
        type_ = type_.field(index).type
    return type_


def _column(batch: Any, name: str) -> Any:
    if name in batch.schema.names:
        return batch.column(name)
    compute = require_extra("pyarrow.compute", "data", "reading .parquet files")
    first, *rest = name.split(".")
    return compute.struct_field(batch.column(first), rest)


def _as_text(array: Any) -> Any:
    """Cast a column to bytes that need not be UTF-8, null to none."""
    pyarrow = require_extra("pyarrow", "data", "reading .parquet files")
    if not pyarrow.types.is_binary(array.type) and not pyarrow.types.is_large_binary(array.type):
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
