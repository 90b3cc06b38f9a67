"""The stage after everything is known: kept texts become tokens, unit by unit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from textmill.data.kept_batch import KeptBatch
from textmill.data.kept_texts import KeptTexts
from textmill.data.token_units import TokenSettings, TokenWriter
from textmill.data.unit_folders import is_whole, unit_folder

_BATCH_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class TokenTask:
    """A unit to make tokens of.

    Attributes:
        texts: the folder of its kept texts.
        cluster_sizes: uint32[n], .npy: how many documents each stands for, 0 for those that do not stay; None where
            nobody looked, and all stay.
        folder: where the tokens go.
        tokens: how they are made.
        threads: that the task may use.
    """

    texts: Path
    cluster_sizes: Path | None
    folder: Path
    tokens: TokenSettings
    threads: int


def token_task(task: TokenTask) -> int:
    """Do a task, unless it is done; returns the bytes of the unit's texts, those that do not stay among them.

    Raises:
        StorageError: the disk is full.
    """
    if not is_whole(task.folder):
        with unit_folder(task.folder) as folder, TokenWriter(folder, task.tokens, task.threads) as writer:
            for batch, sizes in kept_batches(task.texts, task.cluster_sizes):
                writer.add(batch, sizes)
    return (task.texts / "texts.bin").stat().st_size


def kept_batches(folder: Path, cluster_sizes: Path | None) -> Iterator[tuple[KeptBatch, NDArray[np.uint32] | None]]:
    """Yield the documents of a unit that stay, about 8 MB of text at a time, with their cluster sizes, uint32[n]."""
    kept = KeptTexts(folder)
    sizes = None if cluster_sizes is None else np.load(cluster_sizes)
    begin = 0
    while begin < len(kept):
        limit = int(kept.texts.offsets[begin]) + _BATCH_BYTES
        end = max(begin + 1, int(np.searchsorted(kept.texts.offsets, limit, side="right")) - 1)
        batch = kept.batch(begin, end)
        chosen = np.ones(end - begin, bool) if sizes is None else sizes[begin:end] > 0
        if chosen.any():
            yield batch.select(chosen), None if sizes is None else sizes[begin:end][chosen]
        begin = end
