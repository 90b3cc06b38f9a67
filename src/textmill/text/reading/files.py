"""The files of a source, those inside zip archives among them, in an order that does not depend on the machine."""

from __future__ import annotations

import lzma
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from textmill.base.errors import DataError
from textmill.text.compression import packing_of
from textmill.text.folders import (
    HIDDEN,
    INNER_ARCHIVE,
    NO_ENDING,
    TEXT_SUFFIXES,
    LeftOut,
    expand,
    fixed_folder,
    in_unicode,
    suffix_of,
    text_files,
)
from textmill.text.reading.source import SourceInput
from textmill.text.stdlib import is_stdlib

STDLIB = "stdlib"
REPLACED = "(replaced in its archive)"
ZIP_SUFFIX = ".zip"
# What a zip archive raises that is damaged, encrypted or packed in a way that is not known, beside OSError.
ZIP_DAMAGE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error,
    EOFError, KeyError, OverflowError, RuntimeError, ValueError,
)  # fmt: skip
_FORMAT_OF_SUFFIX = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".html": "html",
    ".htm": "html",
}
_READ_SUFFIXES = TEXT_SUFFIXES | frozenset(_FORMAT_OF_SUFFIX) | {ZIP_SUFFIX}
# Endings that files of a folder may have, too, where the source names their format.
_MORE_SUFFIXES = {"jsonl": frozenset({".json"}), "html": frozenset({".xhtml"})}


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file of a source, or a member of a zip archive.

    Attributes:
        path: where it lies.
        name: its path below the folder that the source's paths share, with which the ids of its documents begin.
        format: text, jsonl, csv, parquet, html or stdlib.
        size: in bytes; unpacked for a member of an archive, and else as it lies on disk.
        version: what tells that the file changed: its bytes on disk and the time of its last change in nanoseconds, as
            they were when it was found. None for the standard library, which has no file.
        member: its name in the archive; empty for a file by itself.
    """

    path: str
    name: str
    format: str
    size: int
    version: tuple[int, int] | None = None
    member: str = ""

    @property
    def location(self) -> str:
        """The file as messages name it."""
        return in_unicode(f"{self.path}/{self.member}" if self.member else self.path)

    @property
    def packing(self) -> str:
        """``.gz`` or ``.zst`` where the content is packed, else nothing."""
        return packing_of(self.member or self.path)

    @property
    def holds_records(self) -> bool:
        """Whether documents are lines or rows of the file, and not the file."""
        return self.format in {"jsonl", "csv", "parquet"}


def list_files(source: SourceInput, left_out: LeftOut | None = None) -> list[InputFile]:
    """List the files of a source: of its paths in the order in which they are given, each file once.

    Args:
        source: what to read.
        left_out: where to count what folders and archives hold beside text.

    Raises:
        DataError: a path does not exist, or a folder or the archives hold no text.
    """
    passed_over = LeftOut()
    suffixes = _READ_SUFFIXES | _MORE_SUFFIXES.get(source.format, frozenset())
    base = _shared_folder(source)
    once: dict[str, InputFile] = {}
    for entry in source.paths:
        if is_stdlib(entry):
            once.setdefault(entry, InputFile(entry, entry, STDLIB, 0))
            continue
        for root in expand(entry):
            for path in text_files(root, passed_over, suffixes):
                name = in_unicode(Path(os.path.relpath(path, base)).as_posix())
                for file in _files_in(path, name, source, passed_over):
                    once.setdefault(f"{os.path.realpath(path)}\0{file.member}", file)
    if not once:
        raise DataError(_nothing_in_archives(source, passed_over))
    if left_out is not None:
        left_out.files.update(passed_over.files)
    return list(once.values())


def _nothing_in_archives(source: SourceInput, passed_over: LeftOut) -> str:
    """Say why there is nothing to read; a folder without text is told of by itself."""
    count = passed_over.files.total()
    held = f"{count} file{'s' if count > 1 else ''}, and none is text: {passed_over.kinds}" if count else "no file"
    return f"{', '.join(source.paths)} holds {held}"


def _shared_folder(source: SourceInput) -> str:
    """The folder below which all paths of a source lie: of one path, that folder itself, or a file's own."""
    folders = [fixed_folder(entry) for entry in source.paths if not is_stdlib(entry)]
    return os.path.commonpath(map(os.path.abspath, folders)) if folders else ""


def _files_in(path: Path, name: str, source: SourceInput, left_out: LeftOut) -> Iterator[InputFile]:
    try:
        version = version_of(path)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    if path.suffix.lower() == ZIP_SUFFIX:
        yield from _members(path, name, version, source, left_out)
    else:
        yield InputFile(str(path), name, _format_of(path, source), version[0], version)


def version_of(path: Path | str) -> tuple[int, int]:
    """Return a file's bytes and the time of its last change in nanoseconds; raises what the system says."""
    status = Path(path).stat()
    return status.st_size, status.st_mtime_ns


def _members(
    path: Path, name: str, version: tuple[int, int], source: SourceInput, left_out: LeftOut
) -> Iterator[InputFile]:
    """The members of an archive; one that cannot be opened is listed as a file, which then cannot be read.

    Of members of the same name the last one counts, as for whoever unpacks it: so files are replaced in archives.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            by_name = {info.filename: info for info in archive.infolist()}
            if num_replaced := len(archive.infolist()) - len(by_name):
                left_out.files[REPLACED] += num_replaced
            infos = [by_name[name] for name in sorted(by_name)]
    except (OSError, *ZIP_DAMAGE):
        yield InputFile(str(path), name, "text", version[0], version)
        return
    suffixes = _READ_SUFFIXES | _MORE_SUFFIXES.get(source.format, frozenset())
    for info in infos:
        member = Path(info.filename)
        if info.is_dir():
            continue
        if any(part.startswith((".", "__")) for part in member.parts):
            left_out.files[HIDDEN] += 1
        elif suffix_of(member) == ZIP_SUFFIX:
            left_out.files[INNER_ARCHIVE] += 1
        elif suffix_of(member) not in suffixes:
            left_out.files[suffix_of(member) or NO_ENDING] += 1
        else:
            format_ = _format_of(member, source)
            yield InputFile(str(path), f"{name}/{info.filename}", format_, info.file_size, version, info.filename)


def _format_of(path: Path, source: SourceInput) -> str:
    return source.format if source.format != "auto" else _FORMAT_OF_SUFFIX.get(suffix_of(path), "text")
