"""Which files a source names: paths, folders and globs, in an order that does not depend on the machine."""

from __future__ import annotations

import glob
import os
import stat
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from textmill.base.errors import DataError
from textmill.text.compression import PACKED_SUFFIXES

TEXT_SUFFIXES = frozenset(
    ".txt .text .md .markdown .rst .tex .py .pyi .c .h .cc .cpp .cxx .hpp .cu .java .kt .go .rs .rb .js .jsx .ts .tsx "
    ".cs .php .swift .scala .hs .ml .lua .r .jl .sh .sql .css .csv .tsv".split()
)
RECORD_SUFFIXES = frozenset({".jsonl", ".parquet"})
NO_ENDING, HIDDEN, DANGLING, NO_FILE = "(no ending)", "(hidden)", "(link to nothing)", "(no regular file)"
INNER_ARCHIVE = "(archive in an archive)"

Source = str | Path | Sequence[str | Path]


@dataclass(slots=True)
class LeftOut:
    """What reading passed over.

    Attributes:
        files: what folders hold beside text, counted by the ending of files, or by why it was not read: hidden (a
            folder counts as one), a link to nothing, a pipe or a device, an archive in an archive.
        num_empty_records: records that hold null in place of text, or nothing.
    """

    files: Counter[str] = field(default_factory=Counter)
    num_empty_records: int = 0

    @property
    def kinds(self) -> str:
        """The kinds of files, with how many there are of each, and what can be done about them."""
        kinds = ", ".join(f"{in_unicode(kind)} ({count})" for kind, count in self.files.most_common(8))
        unpack = ["unpack an archive that lies in another one"] if self.files[INNER_ARCHIVE] else []
        read = ["give a file by itself to have it read as text"] if set(self.files) - {INNER_ARCHIVE} else []
        return "; ".join([kinds, *read, *unpack])

    def warn(self, stacklevel: int) -> None:
        """Warn of what was passed over, if anything was; ``stacklevel`` as in ``warnings.warn``."""
        if self.files:
            count = self.files.total()
            warnings.warn(
                f"{count} file{'s were' if count > 1 else ' was'} left out of the folders, hidden or with no ending of "
                f"text: {self.kinds}",
                stacklevel=stacklevel + 1,
            )
        if self.num_empty_records:
            plural = "s hold" if self.num_empty_records > 1 else " holds"
            warnings.warn(f"{self.num_empty_records} record{plural} no text", stacklevel=stacklevel + 1)


def in_unicode(name: str) -> str:
    """Return a file's name with escapes in place of bytes that are no UTF-8, which neither ids nor reports can hold."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def paths_of(source: Source) -> list[Path]:
    """List the paths that were given, globs replaced by the files that they match, in the order of their names."""
    given = [source] if isinstance(source, str | Path) else list(source)
    return [path for entry in given for path in expand(entry)]


def expand(entry: str | Path) -> list[Path]:
    """Return a path as it is, or the files that a glob matches, each once whatever links lead to it.

    Raises:
        DataError: the path is empty, or the glob matches no file.
    """
    if not str(entry):
        raise DataError('a path of text is empty (""); the folder that you are in is "."')
    path = Path(entry)
    if not glob.has_magic(str(entry)) or path.exists():
        return [path]
    matches = [Path(match) for match in glob.glob(str(entry), recursive=True)]  # noqa: PTH207  absolute ones too
    once: dict[str, Path] = {}
    for match in sorted(matches, key=lambda match: (len(match.parts), match)):
        if match.is_file():
            once.setdefault(os.path.realpath(match), match)
    if not once:
        raise DataError(f"no file matches {entry}; ** stands for any folders, and hidden files are left out")
    return sorted(once.values())


def fixed_folder(entry: str | Path) -> Path:
    """Return the folder below which all files of a path lie: a file's own, or that of a glob before its first sign."""
    path = Path(entry)
    if glob.has_magic(str(entry)) and not path.exists():
        first = next(i for i, part in enumerate(path.parts) if glob.has_magic(part))
        return Path(*path.parts[:first])
    return path if os.path.isdir(path) else path.parent  # noqa: PTH112  no error for a path that cannot be


def text_files(
    root: Path, left_out: LeftOut | None = None, suffixes: frozenset[str] = TEXT_SUFFIXES | RECORD_SUFFIXES
) -> list[Path]:
    """List the files below a folder (or the file itself) that hold text, in the order of their names.

    Links are followed, and a file is read once, whatever links lead to it. What is passed over is counted in
    ``left_out``. ``suffixes`` are the endings of text.

    Raises:
        DataError: there is no text, or a folder cannot be read.
    """
    try:
        if root.is_file():
            return [root]
    except OSError as error:
        raise DataError(f'"{str(root)[:80]}" is not the path of a text: {error.strerror}') from error
    if not root.exists():
        raise DataError(f"{root} does not exist; give a text file or a folder of text files")
    if not root.is_dir():
        raise DataError(f"{root} is neither a file nor a folder; give a text file or a folder of text files")
    passed_over = LeftOut()
    files = []
    for names in _files_below(root, passed_over.files).values():
        path = min(names, key=lambda name: (suffix_of(name.path) not in suffixes, name.by_link, name.path)).path
        if suffix_of(path) in suffixes:
            files.append(path)
        else:
            passed_over.files[suffix_of(path) or NO_ENDING] += 1
    num_others = passed_over.files.total()
    if not files and not num_others:
        raise DataError(f"{root} is an empty folder; put text files into it (.txt, .md, .py, .jsonl, ...)")
    if not files:
        raise DataError(
            f"{root} holds {num_others} file{'s' * (num_others > 1)}, and none is text; "
            f"give files that end in .txt, .md, .py, .jsonl or another of the {len(suffixes)} endings of text"
        )
    if left_out is not None:
        left_out.files.update(passed_over.files)
    return sorted(files)


class _Name(NamedTuple):
    """One way to a file: several links, and hard links, may lead to the same."""

    path: Path
    by_link: bool


def _files_below(root: Path, left_out: Counter[str]) -> dict[tuple[int, int], list[_Name]]:
    """Find the files below a folder, each with all its names. Folders are looked into once, before any links are."""
    files: dict[tuple[int, int], list[_Name]] = {}
    folders: set[tuple[int, int]] = set()
    paths, links = [root], list[Path]()
    by_link = False
    while paths or links:
        by_link = by_link or not paths
        path = paths.pop() if paths else links.pop()
        try:
            status = path.stat()
        except OSError:
            left_out[DANGLING] += 1
            continue
        identity = (status.st_dev, status.st_ino)
        if stat.S_ISREG(status.st_mode):
            files.setdefault(identity, []).append(_Name(path, by_link))
        elif not stat.S_ISDIR(status.st_mode):
            left_out[NO_FILE] += 1
        elif identity not in folders:
            folders.add(identity)
            for entry in _entries(path):
                if entry.name.startswith(".") or entry.name == "__pycache__":
                    left_out[HIDDEN] += 1
                else:
                    (links if entry.is_symlink() else paths).append(path / entry.name)
            links.sort(reverse=True)
    return files


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise DataError(f"cannot read the folder {folder}: {error.strerror}") from error


def suffix_of(path: Path) -> str:
    """Return a file's ending in small letters, that of compression left out: ``.jsonl`` of ``a.JSONL.gz``."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in PACKED_SUFFIXES:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""
