"""What there is to say of a shard set without reading its tokens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from textmill.data.manifest import MANIFEST, Manifest
from textmill.data.packing_table import PackingFigures, find_packing_tables
from textmill.data.shards import ShardSet

_DOCUMENTS_AT_ONCE = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class LengthBin:
    """Documents of ``low`` to ``high`` tokens, both included, their ends counted."""

    low: int
    high: int
    num_documents: int
    num_tokens: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SetFacts:
    """A shard set in figures.

    Attributes:
        folder: where it is.
        manifest: what it says of itself.
        file_bytes: bytes of all files but the manifest and packing tables.
        lengths: how long documents are, in powers of two.
        packing: figures of the packing tables beside the shards.
        damage: what is wrong with packing tables that cannot be opened.
        has_names: whether it knows the ids of its documents.
        duplicates: copies and near copies that its documents stand for; None where that is not known.
    """

    folder: str
    manifest: Manifest
    file_bytes: int
    lengths: tuple[LengthBin, ...]
    packing: tuple[PackingFigures, ...]
    damage: tuple[str, ...]
    has_names: bool
    duplicates: int | None

    @property
    def bytes_per_token(self) -> float:
        """Bytes of text that a token stands for, ends counted as tokens."""
        return self.manifest.num_bytes / self.manifest.num_tokens


def find_sets(folder: Path) -> list[Path]:
    """Find the shard sets in a folder: itself, or those up to two levels below it, by name."""
    if (folder / MANIFEST).is_file():
        return [folder]
    return sorted(path.parent for level in ("*", "*/*") for path in folder.glob(f"{level}/{MANIFEST}"))


def describe_set(shards: ShardSet) -> SetFacts:
    """Gather what there is to say of a set; reads its index."""
    sizes = shards.cluster_sizes
    tables, damage = find_packing_tables(shards.folder)
    return SetFacts(
        folder=str(shards.folder),
        manifest=shards.manifest,
        file_bytes=shards.num_file_bytes,
        lengths=_lengths(shards),
        packing=tuple(table.figures for table in tables if table.made_for["manifest_sha256"] == shards.manifest_sha256),
        damage=tuple(damage),
        has_names=shards.manifest.names is not None,
        duplicates=None if sizes is None else int(sizes.sum(dtype=np.int64)) - len(sizes),
    )


def _lengths(shards: ShardSet) -> tuple[LengthBin, ...]:
    """Count documents of 1 token, of 2 and 3, of 4 to 7 and so on; ends are dropped where there are none."""
    counts, tokens = np.zeros(64, np.int64), np.zeros(64, np.int64)
    for first in range(0, shards.manifest.num_documents, _DOCUMENTS_AT_ONCE):
        last = min(first + _DOCUMENTS_AT_ONCE, shards.manifest.num_documents)
        lengths = np.diff(shards.index.starts(first, last + 1))
        # frexp is exact below 2^53: a length of 2^k to 2^(k + 1) - 1 has the exponent k + 1.
        bins = np.frexp(lengths.astype(np.float64))[1] - 1
        counts += np.bincount(bins, minlength=64)
        tokens += np.bincount(bins, lengths, minlength=64).astype(np.int64)
    present = np.flatnonzero(counts)
    return tuple(
        LengthBin(low=1 << k, high=(2 << k) - 1, num_documents=int(counts[k]), num_tokens=int(tokens[k]))
        for k in range(int(present[0]), int(present[-1]) + 1)
    )
