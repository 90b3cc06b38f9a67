"""The models that were fetched: a folder each, whole or absent, with a note of where it came from.

    CACHE/models/smollm2-135m-instruct/{*.gguf, LICENSE, fetched.json}
    CACHE/models/ORG/NAME/{config.json, model.safetensors, ..., fetched.json}

CACHE is the user's cache folder (``~/.cache/textmill`` on Linux), or what the environment variable TEXTMILL_CACHE says.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from textmill.base.errors import DataError
from textmill.base.files import sha256_file, storage_errors, write_file
from textmill.checkpoint.json_files import read_json, to_json

_RECORD = "fetched.json"
_PART = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_NAME = re.compile(rf"({_PART})(/{_PART})?")
_FILE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


class Bar(Protocol):
    """How far a piece of work is."""

    def update(self, done: int, /) -> None:
        """Say how many bytes are done."""
        ...


OpenBar = Callable[[str, int | None], AbstractContextManager[Bar]]
"""Begins to show work: what it is, and its bytes in all where they are known."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FileRecord:
    """What a fetched file must be: its size in bytes, and its SHA-256 in hexadecimal digits."""

    num_bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """What was fetched.

    Attributes:
        name: ``smollm2-135m-instruct`` or ``ORG/NAME``.
        source: where it came from, for people.
        files: by file name.
    """

    name: str
    source: str
    files: Mapping[str, FileRecord]


def models_folder() -> Path:
    """Where fetched models lie; it need not exist."""
    override = os.environ.get("TEXTMILL_CACHE")
    if override:
        return Path(override).expanduser() / "models"
    import platformdirs

    return Path(platformdirs.user_cache_dir("textmill")) / "models"


def is_model_name(name: str) -> bool:
    """Whether this can be the name of a model to fetch: ``NAME`` or ``ORG/NAME``, nothing that leaves a folder."""
    return _NAME.fullmatch(name) is not None and ".." not in name


def is_file_name(name: str) -> bool:
    """Whether a model's file can have this name: nothing hidden, nothing outside its folder, and not our own note."""
    return _FILE.fullmatch(name) is not None and name != _RECORD


def folder_of(name: str) -> Path:
    """The folder of a model's name, which need not exist."""
    assert is_model_name(name), name
    return models_folder() / name


def cached_names() -> list[str]:
    """The names of all models in the cache, in order."""
    root = models_folder()
    records = [*root.glob(f"*/{_RECORD}"), *root.glob(f"*/*/{_RECORD}")]
    names = [path.parent.relative_to(root).as_posix() for path in records]
    return sorted(name for name in names if is_model_name(name))


def find_cached(name: str) -> Path | None:
    """Where a fetched model lies: its folder, or its ``*.gguf``; None where it was not fetched.

    Args:
        name: ``NAME``, ``ORG/NAME``, or either with ``/FILE.gguf`` behind, which picks one of several.

    Raises:
        DataError: a file is missing or of another size than it was, or several files could be meant.
    """
    name, _, file = name.rpartition("/") if name.endswith(".gguf") else (name, "", "")
    if not is_model_name(name) or not (folder_of(name) / _RECORD).is_file():
        return None
    folder = folder_of(name)
    record = read_record(folder)
    _check_sizes(folder, record)
    if file:
        return folder / file if file in record.files else None
    if "config.json" in record.files:
        return folder
    models = sorted(file for file in record.files if file.endswith(".gguf"))
    if len(models) != 1:
        raise DataError(
            f"{name} was fetched as {len(models)} files; name one of {', '.join(f'{name}/{m}' for m in models)}"
        )
    return folder / models[0]


def read_record(folder: Path) -> Record:
    """Read what was fetched into a folder; raises ``DataError`` where the note is damaged."""
    path = folder / _RECORD
    table = read_json(path)
    files = table.get("files")
    if not isinstance(files, dict) or not all(map(_is_file_entry, files.items())):
        raise DataError(f"{path} is damaged: it lists no files. Remove the folder {folder}, and fetch the model again")
    return Record(
        name=str(table.get("name")),
        source=str(table.get("source")),
        files={name: FileRecord(num_bytes=entry["bytes"], sha256=entry["sha256"]) for name, entry in files.items()},
    )


def write_record(folder: Path, record: Record) -> None:
    """Write the note of what was fetched, the last file of its folder."""
    files = {name: {"bytes": file.num_bytes, "sha256": file.sha256} for name, file in sorted(record.files.items())}
    table = {"name": record.name, "source": record.source, "files": files}
    write_file(folder / _RECORD, to_json(table))


def is_sound(folder: Path, open_bar: OpenBar | None = None) -> bool:
    """Whether every file of a fetched model has the bytes that it had, by its hash; ``open_bar`` shows the progress."""
    try:
        record = read_record(folder)
        _check_sizes(folder, record)
    except DataError:
        return False
    total = sum(file.num_bytes for file in record.files.values())
    with open_bar(f"checking {record.name}", total) if open_bar else contextlib.nullcontext() as bar:
        done = 0
        for name, file in record.files.items():
            if sha256_file(folder / name) != file.sha256:
                return False
            done += file.num_bytes
            if bar is not None:
                bar.update(done)
    return True


@contextlib.contextmanager
def fetching(name: str, on_wait: Callable[[], None]) -> Iterator[None]:
    """Let one process at a time fetch a model, and clear away what one that was killed left behind.

    Args:
        name: of the model.
        on_wait: called once where another process is at it, before waiting for it.
    """
    lock = models_folder() / f".{name.replace('/', '--')}.lock"
    with storage_errors(lock):
        folder_of(name).parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("w")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(file, fcntl.LOCK_EX)
        folder = folder_of(name)
        for left_behind in folder.parent.glob(f".{folder.name}.*.tmp"):
            shutil.rmtree(left_behind, ignore_errors=True)
        yield


def _check_sizes(folder: Path, record: Record) -> None:
    for name, file in record.files.items():
        path = folder / name
        found = path.stat().st_size if path.is_file() else None
        if found != file.num_bytes:
            what = "is missing" if found is None else f"has {found:,} bytes, and had {file.num_bytes:,}"
            raise DataError(
                f"{path} {what}: the fetched model is damaged. Fetch it again with: textmill model get {record.name}"
            )


def _is_file_entry(item: tuple[Any, Any]) -> bool:
    name, entry = item
    return (
        is_file_name(name)
        and isinstance(entry, dict)
        and type(entry.get("bytes")) is int
        and isinstance(entry.get("sha256"), str)
    )
