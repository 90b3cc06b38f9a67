"""What deduplication knows of the documents of a unit without their texts.

A file of numpy arrays one after the other, little-endian, each mapped when it is read: text hashes uint64[n, 2],
MinHash keys uint64[bands, n] (bands 0 where near duplicates are not wanted), bytes int64[n], scores float32[n].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from textmill import _core
from textmill.base.errors import DataError
from textmill.base.files import new_file
from textmill.text.dedup.settings import MinHashSettings
from textmill.text.text_batch import TextBatch

_MAGIC = b"textmill keys 1\n"


@dataclass(frozen=True, slots=True, eq=False)
class UnitKeys:
    """The keys of documents.

    Attributes:
        text_hashes: uint64[n, 2], equal where texts are.
        bands: uint64[num_bands, n], of MinHash; 0 for a document without words.
        lengths: int64[n], bytes.
        scores: float32[n].
        source: whose they are.
    """

    text_hashes: NDArray[np.uint64]
    bands: NDArray[np.uint64]
    lengths: NDArray[np.int64]
    scores: NDArray[np.float32]
    source: str = ""

    def __len__(self) -> int:
        return len(self.lengths)

    @classmethod
    def of(
        cls,
        texts: TextBatch,
        scores: NDArray[np.float32],
        minhash: MinHashSettings | None = None,
        *,
        num_threads: int = 1,
    ) -> Self:
        """Make the keys of texts with scores, float32[n]; with ``minhash``, also those for near duplicates."""
        hashes = _core.text_hashes(texts.data, texts.offsets, num_threads)
        bands = np.zeros((0, len(texts)), np.uint64)
        if minhash is not None:
            bands = _core.minhash_bands(
                texts.data, texts.offsets, minhash.bands, minhash.rows, minhash.ngram, minhash.seed, num_threads
            ).T
        return cls(hashes, bands, texts.lengths, np.asarray(scores, np.float32))

    @classmethod
    def joined(cls, parts: Sequence[UnitKeys]) -> Self:
        """Put the keys of batches one after the other, in one source."""
        return cls(
            np.concatenate([part.text_hashes for part in parts]),
            np.concatenate([part.bands for part in parts], axis=1),
            np.concatenate([part.lengths for part in parts]),
            np.concatenate([part.scores for part in parts]),
            parts[0].source,
        )

    def write(self, path: Path) -> None:
        """Write a file, whole or not at all; a power cut may leave it torn."""
        with new_file(path, sync=False) as file:
            file.write(_MAGIC)
            for array in (self.text_hashes, self.bands, self.lengths, self.scores):
                little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
                np.lib.format.write_array(file, little, version=(1, 0))

    @classmethod
    def open(cls, path: Path, source: str = "") -> Self:
        """Map a file.

        Raises:
            DataError: it is none that ``write`` made, or not whole.
        """
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise DataError(f"{path} is no file of keys; remove it, and start again")
            try:
                hashes, bands, lengths, scores = (_mapped(file, path) for _ in range(4))
            except ValueError as error:
                raise DataError(f"{path} is damaged ({error}); remove it, and start again") from error
        if not len(hashes) == bands.shape[-1] == len(lengths) == len(scores):
            raise DataError(f"{path} is damaged: its columns differ in length; remove it, and start again")
        return cls(hashes, bands, lengths, scores, source)


def _mapped(file: BinaryIO, path: Path) -> NDArray[Any]:
    """Map the array that begins where the file stands, and pass over it."""
    np.lib.format.read_magic(file)
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    begin = file.tell()
    num_bytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    file.seek(0, 2)
    if file.tell() < begin + num_bytes:
        raise ValueError(f"{file.tell()} bytes, and {begin + num_bytes} are needed")
    file.seek(begin + num_bytes)
    if num_bytes == 0:
        return np.empty(shape, dtype)
    return np.memmap(path, dtype, "r", begin, shape)
