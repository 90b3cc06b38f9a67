"""Items in tokens as they are kept with a run, in one safetensors file: ids, lengths, and the file and line of each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from textmill.base import safetensors
from textmill.base.errors import DataError


class Item(Protocol):
    """What is kept: some arrays of ids, as many for each item."""

    @property
    def where(self) -> str:
        """Its file and line."""
        ...

    def to_arrays(self) -> Sequence[NDArray[np.int32]]:
        """Its ids."""
        ...

    @classmethod
    def from_arrays(cls, arrays: Sequence[NDArray[np.int32]], where: str) -> Self:
        """What ``to_arrays`` was of."""
        ...


ItemT = TypeVar("ItemT", bound=Item)


def write_items(path: Path, items: Sequence[Item], said: Sequence[str]) -> None:
    """Write items, at least one, and what was said of them; raises ``StorageError`` where there is no room."""
    arrays = [item.to_arrays() for item in items]
    places = [item.where.rpartition(":") for item in items]
    files = list(dict.fromkeys(file for file, *_ in places))
    number = {file: place for place, file in enumerate(files)}
    tensors = {
        "ids": np.concatenate([array for parts in arrays for array in parts]).astype(np.int32),
        "lengths": np.array([[len(array) for array in parts] for parts in arrays], np.int64),
        "files": np.array([number[file] for file, *_ in places], np.int32),
        "lines": np.array([int(line) for *_, line in places], np.int64),
    }
    safetensors.save(path, tensors, {"files": json.dumps(files), "said": json.dumps(list(said))})


def read_items(path: Path, kind: type[ItemT]) -> tuple[list[ItemT], list[str]] | None:
    """Read items and what was said of them back; None where they are not there, or damaged."""
    try:
        tensors, told = safetensors.load(path), safetensors.read_header(path).metadata
        files, said = json.loads(told["files"]), json.loads(told["said"])
        ends = np.cumsum(tensors["lengths"])
        arrays = np.split(tensors["ids"], ends[:-1])
        assert len(tensors["ids"]) == ends[-1]
    except (DataError, ValueError, KeyError, IndexError, AssertionError):
        return None
    num_parts = tensors["lengths"].shape[1]
    places = zip(tensors["files"].tolist(), tensors["lines"].tolist(), strict=True)
    return [
        kind.from_arrays(arrays[num_parts * number : num_parts * (number + 1)], f"{files[file]}:{line}")
        for number, (file, line) in enumerate(places)
    ], said
