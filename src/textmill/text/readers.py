"""From files and folders to documents, in an order that does not depend on the machine.

A text file is one document, whole; a line of a ``.jsonl`` file or a row of a ``.parquet`` file is one, its text in the
field ``text``. Anything but UTF-8 is refused with the place of the first wrong byte: guessing an encoding would put
wrong characters into a model.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from textmill.base.errors import DataError, require_extra
from textmill.text.documents import Document

TEXT_SUFFIXES = frozenset(
    ".txt .text .md .markdown .rst .tex .py .pyi .c .h .cc .cpp .cxx .hpp .cu .java .kt .go .rs .rb .js .jsx .ts .tsx "
    ".cs .php .swift .scala .hs .ml .lua .r .jl .sh .sql .css .csv .tsv".split()
)
RECORD_SUFFIXES = frozenset({".jsonl", ".parquet"})
TEXT_FIELD = "text"

Source = str | Path | Sequence[str | Path]


def read_documents(source: Source, name: str) -> Iterator[Document]:
    """Read every document of a file, a folder or a list of them.

    Args:
        source: paths; folders are walked, hidden files and folders left out, files in the order of their names.
        name: what the documents' ``source`` is to be.

    Raises:
        DataError: a path does not exist, a folder holds no text, a file is not UTF-8 or a record has no text.
    """
    for root in _paths(source):
        for path in text_files(root):
            yield from _read_file(path, name, _id_of(path, root))


def text_files(root: Path) -> list[Path]:
    """List the files below a folder (or the file itself) that hold text; raises ``DataError`` where there are none."""
    if root.is_file():
        return [root]
    if not root.exists():
        raise DataError(f"{root} does not exist; give a text file or a folder of text files")
    if not root.is_dir():
        raise DataError(f"{root} is neither a file nor a folder; give a text file or a folder of text files")
    everything = [path for path in sorted(root.rglob("*")) if path.is_file() and not _is_hidden(path, root)]
    if not everything:
        raise DataError(f"{root} is an empty folder; put text files into it (.txt, .md, .py, .jsonl, ...)")
    files = [path for path in everything if _suffix(path) in TEXT_SUFFIXES | RECORD_SUFFIXES]
    if not files:
        raise DataError(
            f"{root} holds {len(everything)} file{'s' * (len(everything) > 1)}, and none is text; "
            f"give files that end in .txt, .md, .py, .jsonl or another of the {len(TEXT_SUFFIXES)} endings of text"
        )
    return files


def decode_utf8(data: bytes, path: Path) -> str:
    """Decode a file's bytes strictly; a byte order mark at the start is no text and goes.

    Raises:
        DataError: names the file, the first wrong byte, its place and the command that converts the file.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path} is not UTF-8 text: byte 0x{data[error.start]:02x} at offset {error.start} (line {line}) cannot be "
            f"decoded. Convert it (iconv -f LATIN1 -t UTF-8 {path.name} > fixed.txt) or leave it out"
        ) from error


def _paths(source: Source) -> list[Path]:
    if isinstance(source, str | Path):
        return [Path(source)]
    return [Path(path) for path in source]


def _is_hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") or part == "__pycache__" for part in path.relative_to(root).parts)


def _suffix(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _id_of(path: Path, root: Path) -> str:
    return path.name if path == root else path.relative_to(root).as_posix()


def _read_file(path: Path, name: str, document_id: str) -> Iterator[Document]:
    if _suffix(path) == ".parquet":
        yield from _read_parquet(path, name, document_id)
        return
    data = _read_bytes(path)
    if _suffix(path) == ".jsonl":
        yield from _read_jsonl(data, path, name, document_id)
        return
    text = decode_utf8(data, path)
    if text:
        yield Document(text, name, document_id)


def _read_bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if path.suffix.lower() == ".gz" else data
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read {path}: {error}") from error


def _read_jsonl(data: bytes, path: Path, name: str, document_id: str) -> Iterator[Document]:
    for number, line in enumerate(decode_utf8(data, path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}, line {number} is not JSON: {error}. Mend or remove the line") from error
        text = _text_of(record, f"{path}, line {number}")
        if text:
            yield Document(text, name, f"{document_id}:{number}")


def _read_parquet(path: Path, name: str, document_id: str) -> Iterator[Document]:
    parquet = require_extra("pyarrow.parquet", "data", "reading .parquet files")
    try:
        file = parquet.ParquetFile(path)
        if TEXT_FIELD not in file.schema_arrow.names:
            raise DataError(
                f'{path} has no column "{TEXT_FIELD}"; its columns are {", ".join(file.schema_arrow.names)}. '
                f'Rename the column that holds the text to "{TEXT_FIELD}"'
            )
        row = 0
        for batch in file.iter_batches(batch_size=1024, columns=[TEXT_FIELD]):
            for text in batch.column(0).to_pylist():
                row += 1
                if text:
                    yield Document(_text_of({TEXT_FIELD: text}, f"{path}, row {row}"), name, f"{document_id}:{row}")
    except (OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"cannot read {path} as parquet: {error}") from error


def _text_of(record: Any, where: str) -> str:
    if not isinstance(record, dict):
        raise DataError(f'{where} is {type(record).__name__}, and must be an object with the field "{TEXT_FIELD}"')
    if TEXT_FIELD not in record:
        known = ", ".join(list(record)[:8]) or "none"
        raise DataError(f'{where} has no field "{TEXT_FIELD}" (fields: {known}); name the text\'s field "{TEXT_FIELD}"')
    text = record[TEXT_FIELD]
    if not isinstance(text, str):
        raise DataError(f'{where}: the field "{TEXT_FIELD}" is {type(text).__name__}, and must be a string')
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{where}: the text holds half of a surrogate pair at character {error.start}") from error
    return text
