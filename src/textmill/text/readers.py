"""From files and folders to documents, in an order that does not depend on the machine.

A text file is one document, whole; a line of a ``.jsonl`` file or a row of a ``.parquet`` file is one, its text in the
field ``text``; each may be packed (``.gz``, ``.zst``). Anything but UTF-8 is refused with the place of the first wrong
byte: guessing an encoding would put wrong characters into a model.
"""

from __future__ import annotations

import glob
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from textmill.base.errors import DataError, require_extra
from textmill.text.compression import PACKED_SUFFIXES, open_unpacked
from textmill.text.documents import Document

TEXT_SUFFIXES = frozenset(
    ".txt .text .md .markdown .rst .tex .py .pyi .c .h .cc .cpp .cxx .hpp .cu .java .kt .go .rs .rb .js .jsx .ts .tsx "
    ".cs .php .swift .scala .hs .ml .lua .r .jl .sh .sql .css .csv .tsv".split()
)
RECORD_SUFFIXES = frozenset({".jsonl", ".parquet"})
TEXT_FIELD = "text"
NO_ENDING = "(no ending)"

Source = str | Path | Sequence[str | Path]


@dataclass(slots=True)
class LeftOut:
    """What reading passed over.

    Attributes:
        files: files of folders that do not end as text does, counted by their ending; hidden ones are not looked at.
        num_empty_records: rows of .parquet files that hold null.
    """

    files: Counter[str] = field(default_factory=Counter)
    num_empty_records: int = 0


def read_documents(source: Source, name: str) -> Iterator[Document]:
    """Read every document of a file, a folder, a glob ("data/*.jsonl", "**/*.md") or a list of them.

    Args:
        source: paths; folders are walked, hidden files and folders left out, files in the order of their names.
        name: what the documents' ``source`` is to be.

    Raises:
        DataError: a path does not exist, a folder holds no text, a file is not UTF-8 or a record has no text.
    """
    for root in paths_of(source):
        for path in text_files(root):
            yield from _read_file(path, name, _id_of(path, root))


def paths_of(source: Source) -> list[Path]:
    """List the paths that were given, globs replaced by the files that they match, in the order of their names."""
    given = [source] if isinstance(source, str | Path) else list(source)
    return [path for entry in given for path in expand(entry)]


def expand(entry: str | Path) -> list[Path]:
    """Return a path as it is, or the files that a glob matches; raises ``DataError`` for an empty one, and no files."""
    if not str(entry):
        raise DataError('a path of text is empty (""); the folder that you are in is "."')
    path = Path(entry)
    if not glob.has_magic(str(entry)) or path.exists():
        return [path]
    files = sorted(Path(match) for match in glob.glob(str(entry), recursive=True) if Path(match).is_file())  # noqa: PTH207  absolute ones too
    if not files:
        raise DataError(f"no file matches {entry}; ** stands for any folders, and hidden files are left out")
    return files


def text_files(root: Path, left_out: LeftOut | None = None) -> list[Path]:
    """List the files below a folder (or the file itself) that hold text; raises ``DataError`` where there are none.

    The others, whose ending is none of text, are counted in ``left_out``.
    """
    if root.is_file():
        return [root]
    if not root.exists():
        raise DataError(f"{root} does not exist; give a text file or a folder of text files")
    if not root.is_dir():
        raise DataError(f"{root} is neither a file nor a folder; give a text file or a folder of text files")
    everything = [path for path in sorted(root.rglob("*")) if path.is_file() and not _is_hidden(path, root)]
    if not everything:
        raise DataError(f"{root} is an empty folder; put text files into it (.txt, .md, .py, .jsonl, ...)")
    files = [path for path in everything if suffix_of(path) in TEXT_SUFFIXES | RECORD_SUFFIXES]
    if not files:
        raise DataError(
            f"{root} holds {len(everything)} file{'s' * (len(everything) > 1)}, and none is text; "
            f"give files that end in .txt, .md, .py, .jsonl or another of the {len(TEXT_SUFFIXES)} endings of text"
        )
    if left_out is not None:
        read = set(files)
        left_out.files.update(suffix_of(path) or NO_ENDING for path in everything if path not in read)
    return files


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
    return DataError(
        f"{path} is not UTF-8 text: byte 0x{wrong[0]:02x} at offset {offset} (line {line}) cannot be "
        f"decoded. Convert it (iconv -f LATIN1 -t UTF-8 {path.name} > fixed.txt) or leave it out"
    )


def _is_hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") or part == "__pycache__" for part in path.relative_to(root).parts)


def suffix_of(path: Path) -> str:
    """Return a file's ending in small letters, that of compression left out: ``.jsonl`` of ``a.JSONL.gz``."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in PACKED_SUFFIXES:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _id_of(path: Path, root: Path) -> str:
    return path.name if path == root else path.relative_to(root).as_posix()


def _read_file(path: Path, name: str, document_id: str) -> Iterator[Document]:
    with open_unpacked(path) as (file, _):
        if suffix_of(path) in RECORD_SUFFIXES:
            for number, text in read_records(file, path):
                yield Document(text, name, f"{document_id}:{number}")
        elif text := decode_utf8(file.read(), path):
            yield Document(text, name, document_id)


def read_records(file: IO[bytes], path: Path, left_out: LeftOut | None = None) -> Iterator[tuple[int, str]]:
    """Yield the texts of a ``.jsonl`` or ``.parquet`` file that is open, each with its line or row, from 1 on.

    Rows of null, which .parquet allows in place of text, are counted in ``left_out``.

    Raises:
        DataError: the file is damaged, or a record has no text.
    """
    return _read_parquet(file, path, left_out) if suffix_of(path) == ".parquet" else _read_jsonl(file, path)


def _read_jsonl(file: IO[bytes], path: Path) -> Iterator[tuple[int, str]]:
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
            record = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}, line {number} is not JSON: {error}. Mend or remove the line") from error
        if text := _text_of(record, f"{path}, line {number}"):
            yield number, text


def _read_parquet(file: IO[bytes], path: Path, left_out: LeftOut | None) -> Iterator[tuple[int, str]]:
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
            for text in batch.column(0).to_pylist():
                row += 1
                if text is None and left_out is not None:
                    left_out.num_empty_records += 1
                if text:
                    yield row, _text_of({TEXT_FIELD: text}, f"{path}, row {row}")
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
