"""What deduplication knows of the documents of a unit without their texts.

Their file, which ``stored_keys`` reads: numpy arrays one after the other, little-endian: text hashes uint64[n, 2],
MinHash keys uint64[bands, n] (bands 0 where near duplicates are not wanted), bytes int64[n], scores float32[n].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from textmill import _core
from textmill.base.files import new_file
from textmill.text.dedup.settings import MinHashSettings
from textmill.text.text_batch import TextBatch

MAGIC = b"textmill keys 1\n"


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

    @property
    def num_bands(self) -> int:
        """Keys of each document."""
        return len(self.bands)

    def band(self, number: int) -> NDArray[np.uint64]:
        """The keys of a band, uint64[n]."""
        return self.bands[number]

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
            file.write(MAGIC)
            for array in (self.text_hashes, self.bands, self.lengths, self.scores):
                little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
                np.lib.format.write_array(file, little, version=(1, 0))
