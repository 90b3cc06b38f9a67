"""The ids of a shard set's documents, ``documents.bin``: a file of arrays, ``offsets`` and the UTF-8 of ``names``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from textmill.data.array_file import ArrayFile, ArrayFileWriter
from textmill.data.index import REMEDY
from textmill.text.text_batch import TextBatch

NAMES = "documents.bin"
_KIND = b"TMNAMES1"


def write_names(path: Path, batches: Iterable[TextBatch]) -> str:
    """Write the ids of documents in their order; returns the file's sha256."""
    num_bytes = 0
    with ArrayFileWriter(path, _KIND, {"offsets": "<u8", "names": "|u1"}) as writer:
        writer.append("offsets", np.zeros(1, np.int64))
        for batch in batches:
            writer.append("offsets", num_bytes + batch.offsets[1:])
            writer.append("names", batch.data[: batch.num_bytes])
            num_bytes += batch.num_bytes
        return writer.finish()


class DocumentNames:
    """Ids of documents, mapped; raises ``DataError`` where the file is missing, cut short or damaged."""

    def __init__(self, path: Path) -> None:
        self._file = ArrayFile(path, _KIND, REMEDY)

    def __len__(self) -> int:
        return len(self._file.unchecked("offsets")) - 1

    def __getitem__(self, number: int) -> str:
        begin, end = self._file.read("offsets", number, number + 2).tolist()
        return self._file.read("names", begin, end).tobytes().decode()
