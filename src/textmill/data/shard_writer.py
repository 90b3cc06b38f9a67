"""One file of tokens, written piece by piece, and what an index will have to say of it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from textmill.base.config import from_table, to_table
from textmill.base.files import new_file
from textmill.data.array_file import ArrayFile, ArrayFileWriter
from textmill.data.hashed_writer import HashedWriter
from textmill.data.index import BLOCK_BYTES
from textmill.data.manifest import ShardFile
from textmill.text.text_batch import TextBatch

_KIND = b"TMSHARD1"
_DTYPES = {
    "lengths": "<u8",
    "text_bytes": "<u8",
    "checksums": "<u8",
    "cluster_sizes": "<u4",
    "name_offsets": "<u8",
    "names": "|u1",
}


@dataclass(frozen=True, slots=True, eq=False)
class ShardPart:
    """A file of tokens, and its part of an index.

    Attributes:
        file: its name, counts and hash.
        lengths: int64[documents], tokens of each document, its end among them.
        text_bytes: int64[documents], bytes of its text.
        checksums: uint64[blocks], one for each 64 KiB.
        cluster_sizes: uint32[documents], or None where they are not known.
        names: the documents' ids, or None.
    """

    file: ShardFile
    lengths: NDArray[np.int64]
    text_bytes: NDArray[np.int64]
    checksums: NDArray[np.uint64]
    cluster_sizes: NDArray[np.uint32] | None = None
    names: TextBatch | None = None

    def save(self, path: Path) -> None:
        """Write the part to a file of its own, whole or not at all."""
        arrays: dict[str, NDArray] = {
            "lengths": self.lengths,
            "text_bytes": self.text_bytes,
            "checksums": self.checksums,
        }
        if self.cluster_sizes is not None:
            arrays["cluster_sizes"] = self.cluster_sizes
        if self.names is not None:
            arrays |= {"name_offsets": self.names.offsets, "names": self.names.data}
        with ArrayFileWriter(path, _KIND, {name: _DTYPES[name] for name in arrays}) as writer:
            for name, values in arrays.items():
                writer.append(name, values)
            writer.finish({"file": to_table(self.file)})

    @classmethod
    def load(cls, path: Path) -> ShardPart:
        """Map a part that was saved; raises ``DataError`` where it is damaged."""
        file = ArrayFile(path, _KIND, "write the shards again")
        file.check_all()
        names = None
        if "names" in file:
            names = TextBatch(file.unchecked("names"), file.unchecked("name_offsets").view(np.int64))
        return cls(
            from_table(ShardFile, file.facts["file"]),
            file.unchecked("lengths").view(np.int64),
            file.unchecked("text_bytes").view(np.int64),
            file.unchecked("checksums"),
            file.unchecked("cluster_sizes") if "cluster_sizes" in file else None,
            names,
        )


class ShardWriter:
    """Writes one file of tokens, which appears whole or not at all.

    Use it in a ``with`` block, and ``finish`` it there; without that, or after an error, there is no file.

    Args:
        path: where the file goes.
        dtype: uint16 or uint32.
        sync: whether the file is on the disk, and not just with the system, when it is there.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """

    def __init__(self, path: Path, dtype: np.dtype | str, *, sync: bool = True) -> None:
        self._path = path
        self._sync = sync
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self._lengths: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
        self._text_bytes: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
        self._cluster_sizes: list[NDArray[np.uint32]] = []
        self._names: list[TextBatch] = []
        self._part: ShardPart | None = None
        self._open = ExitStack()

    def __enter__(self) -> Self:
        file = self._open.enter_context(new_file(self._path, sync=self._sync))
        self._writer = self._open.enter_context(HashedWriter(file, BLOCK_BYTES))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if error is None and self._part is None:
            unfinished = RuntimeError(f"{self._path} was not finished")
            self._open.__exit__(RuntimeError, unfinished, None)
            raise unfinished
        return self._open.__exit__(kind, error, trace)

    @property
    def num_tokens(self) -> int:
        """Tokens so far."""
        return self._writer.num_bytes // self._dtype.itemsize

    def add(
        self,
        ids: NDArray,
        lengths: NDArray[np.int64],
        text_bytes: NDArray[np.int64],
        *,
        cluster_sizes: NDArray[np.uint32] | None = None,
        names: TextBatch | None = None,
    ) -> None:
        """Add documents.

        Args:
            ids: integers[tokens], below 2^16 or 2^32 as the dtype is, the id that ends it behind each document. They
                are hashed in a thread: the array must not change before the next call returns.
            lengths: int64[documents], tokens of each, its end among them.
            text_bytes: int64[documents], bytes of its text.
            cluster_sizes: uint32[documents], for all documents of a file or for none.
            names: ids of the documents, for all documents of a file or for none.
        """
        assert int(lengths.sum()) == len(ids), (int(lengths.sum()), len(ids))
        assert len(text_bytes) == len(lengths), (len(text_bytes), len(lengths))
        if ids.dtype.itemsize > self._dtype.itemsize and len(ids):
            assert int(ids.max()) <= np.iinfo(self._dtype).max, (int(ids.max()), self._dtype)
        self._writer.write(np.ascontiguousarray(ids, self._dtype))
        self._lengths.append(np.asarray(lengths, np.int64))
        self._text_bytes.append(np.asarray(text_bytes, np.int64))
        if cluster_sizes is not None:
            self._cluster_sizes.append(np.asarray(cluster_sizes, np.uint32))
        if names is not None:
            self._names.append(names)

    def finish(self) -> ShardPart:
        """End the file; it is there when the ``with`` block ends."""
        lengths, text_bytes = np.concatenate(self._lengths), np.concatenate(self._text_bytes)
        cluster_sizes = np.concatenate(self._cluster_sizes) if self._cluster_sizes else None
        names = TextBatch.joined(self._names) if self._names else None
        for beside in (cluster_sizes, names):
            assert beside is None or len(beside) == len(lengths), (len(beside), len(lengths))
        file = ShardFile(
            name=self._path.name,
            num_tokens=self.num_tokens,
            sha256=self._writer.sha256(),
            num_documents=len(lengths),
            num_bytes=int(text_bytes.sum()),
        )
        self._part = ShardPart(file, lengths, text_bytes, self._writer.checksums(), cluster_sizes, names)
        return self._part
