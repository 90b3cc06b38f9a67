"""Units of tokens: the documents of a unit as one shard file, those that are held out as another."""

from __future__ import annotations

import functools
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from textmill.data.holdout import is_held_out, split_tail
from textmill.data.kept_batch import KeptBatch
from textmill.data.shard_writer import ShardPart, ShardWriter
from textmill.text.documents import PART_SEPARATOR
from textmill.text.text_batch import TextBatch
from textmill.tokenizer.tokenizer import Tokenizer

PARTS = ("train", "heldout")


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenSettings:
    """How documents become tokens.

    Attributes:
        tokenizer: its file.
        document_end: the id that ends each document.
        holdout: what is held out: nothing, everything, whole documents by hash of where they come from, or the last
            part of each.
        fraction: how much of them.
    """

    tokenizer: str
    document_end: int
    holdout: Literal["none", "all", "documents", "tail"]
    fraction: float


class TokenWriter:
    """Writes documents into a unit's folder: ``train.bin`` and ``train.part``, ``heldout.bin`` and ``heldout.part``.

    A file without documents is there too, and empty.
    """

    def __init__(self, folder: Path, settings: TokenSettings, threads: int) -> None:
        self._folder, self._settings, self._threads = folder, settings, threads
        self._tokenizer = _load(settings.tokenizer)
        self._dtype = "uint16" if self._tokenizer.vocab_size <= 1 << 16 else "uint32"
        self._stack = ExitStack()
        self._writers: dict[str, ShardWriter] = {}

    def __enter__(self) -> Self:
        for name in PARTS:
            writer = ShardWriter(self._folder / f"{name}.bin", self._dtype, sync=False)
            self._writers[name] = self._stack.enter_context(writer)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if error is None:
            for name, writer in self._writers.items():
                writer.finish().save(self._folder / f"{name}.part")
        return self._stack.__exit__(kind, error, trace)

    def add(self, batch: KeptBatch, cluster_sizes: NDArray[np.uint32] | None = None) -> None:
        """Add documents; ``cluster_sizes``, uint32[n], say how many duplicates each stands for."""
        match self._settings.holdout:
            case "none":
                self._write("train", batch, cluster_sizes)
            case "all":
                self._write("heldout", batch, cluster_sizes)
            case "documents":
                held_out = _held_out(batch.names, self._settings.fraction)
                for name, chosen in (("train", ~held_out), ("heldout", held_out)):
                    sizes = None if cluster_sizes is None else cluster_sizes[chosen]
                    self._write(name, batch.select(chosen), sizes)
            case "tail":
                for name, texts in zip(PARTS, split_tail(batch.texts, self._settings.fraction), strict=True):
                    part = KeptBatch(texts, batch.names, batch.scores)
                    chosen = texts.lengths > 0
                    sizes = None if cluster_sizes is None else cluster_sizes[chosen]
                    self._write(name, part.select(chosen), sizes)

    def _write(self, name: str, batch: KeptBatch, cluster_sizes: NDArray[np.uint32] | None) -> None:
        if not len(batch.texts):
            return
        ids, lengths = self._tokenizer.encode_documents(batch.texts, self._settings.document_end, self._threads)
        self._writers[name].add(ids, lengths, batch.texts.lengths, cluster_sizes=cluster_sizes, names=batch.names)


def read_part(folder: Path, name: str) -> ShardPart:
    """Read what was written of ``train`` or ``heldout`` into a unit's folder."""
    return ShardPart.load(folder / f"{name}.part")


def _held_out(names: TextBatch, fraction: float) -> NDArray[np.bool_]:
    """Say which documents are held out; returns bool[n]."""
    separator = PART_SEPARATOR.encode()
    return np.fromiter(
        (is_held_out(name.partition(separator)[0].decode(), fraction) for name in names), bool, len(names)
    )


@functools.lru_cache(maxsize=1)
def _load(path: str) -> Tokenizer:
    return Tokenizer.load(path)
