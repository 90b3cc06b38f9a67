"""What an evaluation found, item by item, in a file that an interrupted one goes on from.

The first line says what was measured with what; each line after it is one item or document. Lines are only added, in
the order of the items, and a line that a crash has torn is cut off: so a file that was interrupted at any moment ends
in the same bytes as one that was not. A task's header says how many items there are; a source's documents are counted
as they are read, so a last line says that they are all there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textmill.base.errors import ConfigError, DataError
from textmill.base.files import storage_errors

VERSION = 1
BITS = "bits"
"""The folder of sources' results, in that of a model's."""
# What a header says for people: the same model may be called by another name the next time.
_TOLD_ONLY = ("name",)
# The only field of a last line: how many documents stand before it.
_END = "end"


# Of a name with an ending behind it; file systems take 255 bytes.
_MOST_NAME_BYTES = 200


def names_a_file(name: str) -> bool:
    """Whether results can be kept by this name: a file's in its folder, and of no other folder."""
    if not name or name.startswith(".") or set(name) & set("/\\\0"):
        return False
    try:
        return len(name.encode()) <= _MOST_NAME_BYTES
    except UnicodeEncodeError:
        return False


@dataclass(frozen=True, slots=True)
class Results:
    """What a file holds.

    Attributes:
        header: what was measured with what.
        records: items or documents, in order.
        num_expected: how many there are when nothing is missing; None for documents that are not all read.
    """

    header: dict[str, Any]
    records: list[dict[str, Any]]
    num_expected: int | None

    @property
    def is_whole(self) -> bool:
        """Whether the measurement came to its end."""
        return self.num_expected is not None and len(self.records) >= self.num_expected


def results_in(folder: Path) -> list[Path]:
    """The files of results in a folder, those of sources in ``bits``; none where it is not there."""
    return sorted([*folder.glob("*.jsonl"), *folder.glob(f"{BITS}/*.jsonl")])


class ResultsFile:
    """Results that are being added to.

    Attributes:
        records: those that are there, in their order.
    """

    def __init__(self, path: Path, header: Mapping[str, Any], *, restart: bool = False) -> None:
        """Open a file, or begin it.

        Args:
            path: folders above it are made.
            header: what is measured with what; JSON's types.
            restart: begin again where results of something else are there.

        Raises:
            ConfigError: it holds results of something else.
            DataError: it is no file of results.
        """
        self.path = path
        self.header = {"v": VERSION, **header}
        self.records: list[dict[str, Any]] = []
        self._before_end: int | None = None  # bytes of the file without its last line, where that says the end
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            if restart:
                path.unlink(missing_ok=True)
            begins = not path.exists() or not self._take_up()
            self._file = path.open("ab")
        if begins:
            self._write([self.header])

    def add(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Append records; they are with the operating system when this returns."""
        added = [dict(record) for record in records]
        if self._before_end is not None and added:  # more documents than the last time
            with storage_errors(self.path):
                self._file.truncate(self._before_end)
            self._before_end = None
        self._write(added)
        self.records += added

    def end(self) -> None:
        """Say that there are no more documents."""
        if self._before_end is None:
            self._before_end = self.path.stat().st_size
            self._write([{_END: len(self.records)}])

    def close(self) -> None:
        """Flush it to the disk."""
        with storage_errors(self.path):
            os.fsync(self._file.fileno())
            self._file.close()

    def _write(self, records: Iterable[Mapping[str, Any]]) -> None:
        with storage_errors(self.path):
            self._file.write("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode())
            self._file.flush()

    def _take_up(self) -> bool:
        """Read what is there, without a torn last line; False where not even the header is whole."""
        data = self.path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            with self.path.open("rb+") as file:
                file.truncate(whole)
        if not whole:
            return False
        found = _parsed(self.path, data[:whole])
        header, self.records = found.header, found.records
        if header["kind"] == BITS and found.is_whole:
            self._before_end = data.rfind(b"\n", 0, whole - 1) + 1
        different = [
            key
            for key in {**header, **self.header}
            if key not in _TOLD_ONLY and header.get(key) != self.header.get(key)
        ]
        if different:
            key = different[0]
            raise ConfigError(
                f"{self.path} holds results with another {key}: {_short(header.get(key))} there, "
                f"{_short(self.header.get(key))} now. Write to another folder (--output), or begin again (--restart)"
            )
        return True


def read_results(path: Path) -> Results:
    """Read a file of results; a torn last line is passed over.

    Raises:
        DataError: it is missing, or no file of results.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    return _parsed(path, data[: data.rfind(b"\n") + 1])


def _parsed(path: Path, data: bytes) -> Results:
    records = []
    for number, line in enumerate(data.splitlines(), start=1):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{path}, line {number} is not JSON: {error}. Remove the file, and evaluate again"
            ) from error
        if not isinstance(record, dict):
            raise DataError(f"{path}, line {number} is no object. Remove the file, and evaluate again")
        records.append(record)
    if not records or records[0].get("v") != VERSION or "kind" not in records[0]:
        raise DataError(
            f"{path} holds no results of textmill eval: its first line does not say what was measured. Give a file "
            "that --output named, or its folder"
        )
    header, records = records[0], records[1:]
    if header["kind"] != BITS:
        return Results(header, records, header.get("items", len(records)))
    ends = bool(records) and set(records[-1]) == {_END}
    if ends and records.pop()[_END] != len(records):
        raise DataError(f"{path} has lost lines: its last one speaks of more. Remove the file, and evaluate again")
    return Results(header, records, len(records) if ends else None)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "..."
