"""What an evaluation found, item by item, in a file that an interrupted one goes on from.

The first line says what was measured with what; each line after it is one item or document. Lines are only added, in
the order of the items, and a line that a crash has torn is cut off: so a file that was interrupted at any moment ends
in the same bytes as one that was not.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from textmill.base.errors import ConfigError, DataError
from textmill.base.files import storage_errors

VERSION = 1
# What a header says for people: the same model may be called by another name the next time.
_TOLD_ONLY = ("name",)


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
        self._write(added)
        self.records += added

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
        header, self.records = _parsed(self.path, data[:whole])
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


def read_results(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Read a file of results: its header and its records; a torn last line is passed over.

    Raises:
        DataError: it is missing, or no file of results.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    return _parsed(path, data[: data.rfind(b"\n") + 1])


def _parsed(path: Path, data: bytes) -> tuple[dict[str, Any], list[dict[str, Any]]]:
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
    return records[0], records[1:]


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "..."
