"""Files as a stream of bounded parts: what reads texts that need not be held whole, such as training a tokenizer."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from textmill.base.errors import DataError
from textmill.text.compression import open_unpacked
from textmill.text.folders import RECORD_SUFFIXES, LeftOut, Source, expand, suffix_of, text_files
from textmill.text.readers import not_utf8, read_records

_BLOCK_BYTES = 4 << 20
_MAX_NAMED_PATHS = 32

# The last place where a block of text can be cut, whatever stands around it; 0 where there is none.
LastCut = Callable[[bytes], int]


@dataclass(frozen=True, slots=True)
class TextPart:
    """A part of a text, or all of it.

    Attributes:
        data: its UTF-8.
        source: what the text belongs to: the path given, and for folders and globs the ending of the file.
        ends_text: nothing of this text follows.
        disk_bytes: how far reading is: bytes of files, packed as they are.
    """

    data: bytes
    source: str
    ends_text: bool
    disk_bytes: int


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to read, and the name of the source that it belongs to."""

    path: Path
    source: str


def source_files(source: Source, left_out: LeftOut | None = None) -> list[SourceFile]:
    """List the files of paths, folders and globs, in the order of reading; raises ``DataError`` where one has none."""
    given = [source] if isinstance(source, str | Path) else list(source)
    files = []
    for entry in given:
        is_one_file = Path(entry).is_file()
        for root in expand(entry):
            for path in text_files(root, left_out):
                ending = suffix_of(path) or path.name
                name = str(entry) if is_one_file else f"{entry} ({ending})"
                files.append(SourceFile(path, name if len(given) <= _MAX_NAMED_PATHS else ending))
    return files


def size_on_disk(source: Source) -> int:
    """Add up the bytes of all files of a source, packed as they are."""
    return sum(file.path.stat().st_size for file in source_files(source))


def read_parts(
    source: Source, *, last_cut: LastCut | None = None, left_out: LeftOut | None = None
) -> Iterator[TextPart]:
    """Read all texts of paths, folders and globs: a text file is one text, a record of .jsonl or .parquet is one.

    Args:
        source: what to read, as ``read_documents`` takes it.
        last_cut: where a text file may be cut into parts of about 4 MB. Without it, and where it finds no place, a file
            comes whole.
        left_out: where to count what is not read: files of a folder that are no text, records without one.

    Raises:
        DataError: a path does not exist, a folder holds no text, a file is not UTF-8 or a record has no text.
    """
    disk_bytes = 0
    left_out = LeftOut() if left_out is None else left_out
    for file in source_files(source, left_out):
        try:
            for data, ends_text, position in _read_file(file.path, last_cut, left_out):
                yield TextPart(data, file.source, ends_text, disk_bytes + position)
            disk_bytes += file.path.stat().st_size
        except OSError as error:
            raise DataError(f"cannot read {file.path}: {error.strerror or error}") from error


def _read_file(path: Path, last_cut: LastCut | None, left_out: LeftOut) -> Iterator[tuple[bytes, bool, int]]:
    with open_unpacked(path) as (file, disk):
        if suffix_of(path) in RECORD_SUFFIXES:
            for _, text in read_records(file, path, left_out):
                yield text.encode(), True, disk.tell()
            return
        held: bytes | None = None
        for part in _text_parts(file, path, last_cut):
            if held is not None:
                yield held, False, disk.tell()
            held = part
        if held is not None:
            yield held, True, disk.tell()


def _text_parts(file: IO[bytes], path: Path, last_cut: LastCut | None) -> Iterator[bytes]:
    """Cut a text file; each part is checked to be UTF-8."""
    pending: list[bytes] = []
    offset = 0
    is_first = True
    while block := file.read(_BLOCK_BYTES):
        if is_first and block.startswith(codecs.BOM_UTF8):
            block = block[len(codecs.BOM_UTF8) :]
            offset = len(codecs.BOM_UTF8)
        is_first = False
        cut = last_cut(block) if last_cut else 0
        if cut == 0:
            pending.append(block)
            continue
        part = b"".join([*pending, block[:cut]])
        _check_utf8(part, path, offset)
        offset += len(part)
        yield part
        pending = [block[cut:]]
    if rest := b"".join(pending):
        _check_utf8(rest, path, offset)
        yield rest


def _check_utf8(part: bytes, path: Path, offset: int) -> None:
    try:
        part.decode()
    except UnicodeDecodeError as error:
        line = _lines_before(path, offset) + part.count(b"\n", 0, error.start) + 1
        raise not_utf8(path, part[error.start :], offset + error.start, line) from error


def _lines_before(path: Path, offset: int) -> int:
    """Count the line ends before an offset: only for an error, since it reads the file once more."""
    num_lines = 0
    with open_unpacked(path) as (file, _):
        while offset > 0 and (block := file.read(min(offset, _BLOCK_BYTES))):
            num_lines += block.count(b"\n")
            offset -= len(block)
    return num_lines
