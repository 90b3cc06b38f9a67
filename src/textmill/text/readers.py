"""From files and folders to documents, in an order that does not depend on the machine.

A text file is one document, whole; a line of a ``.jsonl`` file or a row of a ``.parquet`` file is one, its text in the
field ``text``; each may be packed (``.gz``, ``.zst``). Anything but UTF-8 is refused with the place of the first wrong
byte: guessing an encoding would put wrong characters into a model.
"""

from __future__ import annotations

import codecs
import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from textmill.base.errors import DataError, require_extra
from textmill.text.compression import PACKED_SUFFIXES, open_unpacked
from textmill.text.documents import Document
from textmill.text.folders import RECORD_SUFFIXES, LeftOut, Source, paths_of, suffix_of, text_files

TEXT_FIELD = "text"
_LOOKED_AT = 1024  # bytes behind a wrong one, to tell text in another encoding from what is no text


def read_documents(source: Source, name: str) -> Iterator[Document]:
    """Read every document of a file, a folder, a glob ("data/*.jsonl", "**/*.md") or a list of them.

    Args:
        source: paths; folders are walked, files in the order of their names. What is passed over (hidden, no ending
            of text, records of null) is told in a warning at the end.
        name: what the documents' ``source`` is to be.

    Raises:
        DataError: a path does not exist, a folder holds no text, a file is not UTF-8 or a record has no text.
    """
    left_out = LeftOut()
    for root in paths_of(source):
        for path in text_files(root, left_out):
            yield from _read_file(path, name, _id_of(path, root), left_out)
    left_out.warn(stacklevel=2)


def decode_utf8(data: bytes, path: Path) -> str:
    """Decode a file's bytes strictly; a byte order mark at the start is no text and goes.

    Raises:
        DataError: names the file, the first wrong byte, its place and the command that converts the file.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise not_utf8(path, data[error.start :], error.start, data.count(b"\n", 0, error.start) + 1) from error


def not_utf8(path: Path, wrong: bytes, offset: int, line: int) -> DataError:
    """Make the error for bytes that are no UTF-8, which stand at an offset and line of a file."""
    return DataError(f"{path} {describe_not_utf8(str(path), wrong, offset, f' at offset {offset} (line {line})')}")


def describe_not_utf8(path: str, wrong: bytes, offset: int, place: str = "") -> str:
    """Say what bytes at an offset of a file are, which are no UTF-8, and what to do; ``place`` goes behind the byte."""
    if wrong.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and offset == 0:
        what, encoding = "is UTF-16, not UTF-8", "UTF-16"
    elif b"\0" in wrong[:_LOOKED_AT]:
        return (
            f"looks like a binary: byte 0x{wrong[0]:02x} at offset {offset} is not UTF-8, and zeros follow. "
            "Leave it out, or convert it if it is UTF-16 without a byte order mark"
        )
    else:
        what, encoding = f"is not UTF-8 text: byte 0x{wrong[0]:02x}{place} cannot be decoded", "LATIN1"
    return f"{what}. Convert it (iconv -f {encoding} -t UTF-8 {shlex.quote(path)} > fixed.txt) or leave it out"


def _id_of(path: Path, root: Path) -> str:
    return path.name if path == root else path.relative_to(root).as_posix()


def _read_file(path: Path, name: str, document_id: str, left_out: LeftOut) -> Iterator[Document]:
    with open_unpacked(path) as (file, _):
        if suffix_of(path) in RECORD_SUFFIXES:
            for number, text in read_records(file, path, left_out):
                yield Document(text, name, f"{document_id}:{number}")
        elif text := decode_utf8(file.read(), path):
            yield Document(text, name, document_id)


def read_records(file: IO[bytes], path: Path, left_out: LeftOut) -> Iterator[tuple[int, str]]:
    """Yield the texts of a ``.jsonl`` or ``.parquet`` file that is open, each with its line or row, from 1 on.

    Records that hold null in place of text are counted in ``left_out``.

    Raises:
        DataError: the file is damaged, or a record has no text.
    """
    return _read_parquet(file, path, left_out) if suffix_of(path) == ".parquet" else _read_jsonl(file, path, left_out)


def _read_jsonl(file: IO[bytes], path: Path, left_out: LeftOut) -> Iterator[tuple[int, str]]:
    for number, record in read_json_lines(file, path):
        if text := _text_of(record, f"{path}, line {number}", left_out):
            yield number, text


def read_json_lines(file: IO[bytes], path: Path) -> Iterator[tuple[int, Any]]:
    """Yield the values of a file of JSON lines that is open, each with its line, from 1 on; empty lines are none.

    Raises:
        DataError: a line is not UTF-8 or not JSON.
    """
    offset = 0
    for number, line in enumerate(file, start=1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise not_utf8(path, line[error.start :], offset + error.start, number) from error
        offset += len(line)
        if not text.strip():
            continue
        try:
            value = json.loads(text.rstrip("\r\n"))
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}, line {number} is not JSON: {error}. Mend or remove the line") from error
        yield number, value


def _read_parquet(file: IO[bytes], path: Path, left_out: LeftOut) -> Iterator[tuple[int, str]]:
    parquet = require_extra("pyarrow.parquet", "data", "reading .parquet files")
    pyarrow = require_extra("pyarrow", "data", "reading .parquet files")
    packed = path.suffix.lower() in PACKED_SUFFIXES
    try:
        # Parquet is read from its end, which a stream that is being unpacked does not have: it is held whole.
        table = parquet.ParquetFile(pyarrow.BufferReader(file.read()) if packed else path)
        if TEXT_FIELD not in table.schema_arrow.names:
            raise DataError(
                f'{path} has no column "{TEXT_FIELD}"; its columns are {", ".join(table.schema_arrow.names)}. '
                f'Rename the column that holds the text to "{TEXT_FIELD}"'
            )
        row = 0
        for batch in table.iter_batches(batch_size=1024, columns=[TEXT_FIELD]):
            for value in batch.column(0).to_pylist():
                row += 1
                if text := _text_of({TEXT_FIELD: value}, f"{path}, row {row}", left_out):
                    yield row, text
    except (OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"cannot read {path} as parquet: {error}") from error


def _text_of(record: Any, where: str, left_out: LeftOut) -> str:
    """The text of a record; empty where it holds null, which is counted."""
    if not isinstance(record, dict):
        raise DataError(f'{where} is {kind_of(record)}, and must be an object with the field "{TEXT_FIELD}"')
    if TEXT_FIELD not in record:
        known = ", ".join(list(record)[:8]) or "none"
        raise DataError(f'{where} has no field "{TEXT_FIELD}" (fields: {known}); name the text\'s field "{TEXT_FIELD}"')
    text = record[TEXT_FIELD]
    if text is None:
        left_out.num_empty_records += 1
        return ""
    if not isinstance(text, str):
        raise DataError(f'{where}: the field "{TEXT_FIELD}" is {kind_of(text)}, and must be a string')
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{where}: the text holds half of a surrogate pair at character {error.start}") from error
    return text


def kind_of(value: Any) -> str:
    """Say what JSON calls a value."""
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number" if isinstance(value, int | float) else type(value).__name__)
