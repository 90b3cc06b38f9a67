"""Units of tokens: the documents of a unit as one shard file, those that are held out as another."""

from __future__ import annotations

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
Holdout = Literal["none", "all", "documents", "tail"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenSettings:
    """How documents become tokens.

    Attributes:
        tokenizer: its file.
        tokenizer_sha256: its hash, so that a process that has read another one at this place reads it again.
        document_end: the id that ends each document.
        holdout: what is held out: nothing, everything, whole documents by hash of where they come from, or the last
            part of each.
        fraction: how much of them.
    """

    tokenizer: str
    tokenizer_sha256: str
    document_end: int
    holdout: Holdout
    fraction: float


class TokenWriter:
    """Writes documents into a unit's folder: ``train.bin`` and ``train.part``, ``heldout.bin`` and ``heldout.part``.

    A file without documents is there too, and empty.
    """

    def __init__(self, folder: Path, settings: TokenSettings, threads: int) -> None:
        self._folder, self._settings, self._threads = folder, settings, threads
        self._tokenizer = _load(settings.tokenizer, settings.tokenizer_sha256)
        self._dtype = "uint16" if self._tokenizer.vocab_size <= 1 << 16 else "uint32"
        self._stack = ExitStack()
        self._writers: dict[str, ShardWriter] = {}

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            for name in PARTS:
                writer = ShardWriter(self._folder / f"{name}.bin", self._dtype, sync=False)
                self._writers[name] = opened.enter_context(writer)
            self._stack = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            if error is None:
                for name, writer in self._writers.items():
                    writer.finish().save(self._folder / f"{name}.part")
        except BaseException as late:
            self._stack.__exit__(type(late), late, late.__traceback__)
            raise
        return self._stack.__exit__(kind, error, trace)

    def add(self, batch: KeptBatch, cluster_sizes: NDArray[np.uint32] | None = None) -> None:
        """Add documents; ``cluster_sizes``, uint32[n], say how many duplicates each stands for."""
        for name, (texts, chosen) in zip(
            PARTS, split(batch, self._settings.holdout, self._settings.fraction), strict=True
        ):
            part = KeptBatch(texts, batch.names, batch.scores).select(chosen)
            self._write(name, part, None if cluster_sizes is None else cluster_sizes[chosen])

    def _write(self, name: str, batch: KeptBatch, cluster_sizes: NDArray[np.uint32] | None) -> None:
        if not len(batch.texts):
            return
        ids, lengths = self._tokenizer.encode_documents(batch.texts, self._settings.document_end, self._threads)
        self._writers[name].add(ids, lengths, batch.texts.lengths, cluster_sizes=cluster_sizes, names=batch.names)


def read_part(folder: Path, name: str) -> ShardPart:
    """Read what was written of ``train`` or ``heldout`` into a unit's folder."""
    return ShardPart.load(folder / f"{name}.part")


Part = tuple[TextBatch, NDArray[np.bool_]]


def split(batch: KeptBatch, holdout: Holdout, fraction: float) -> tuple[Part, Part]:
    """Part documents into what is trained on and what is held out: texts, and which of them belong there, bool[n]."""
    if holdout == "tail":
        train, heldout = split_tail(batch.texts, fraction)
        return (train, train.lengths > 0), (heldout, heldout.lengths > 0)
    held_out = np.full(len(batch), holdout == "all")
    if holdout == "documents":
        separator = PART_SEPARATOR.encode()
        origins = (name.partition(separator)[0].decode() for name in batch.names)
        held_out = np.fromiter((is_held_out(origin, fraction) for origin in origins), bool, len(batch))
    return (batch.texts, ~held_out), (batch.texts, held_out)


# The tokenizer that this process encodes with, by its hash: loading one of 32,000 tokens takes a tenth of a second.
_loaded: dict[str, Tokenizer] = {}


def keep_loaded(tokenizer: Tokenizer) -> None:
    """Let this process encode with a tokenizer that it has."""
    _loaded.clear()
    _loaded[tokenizer.sha256] = tokenizer


def _load(path: str, sha256: str) -> Tokenizer:
    if sha256 not in _loaded:
        keep_loaded(Tokenizer.load(path))
    return _loaded[sha256]
