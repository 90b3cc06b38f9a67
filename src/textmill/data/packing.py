"""Packing documents into rows: the table of a shard set for a context, made once and kept beside the shards.

Documents are packed best-fit (``text.best_fit``) in windows, each by itself: 65,536 of them, or 2^27 tokens, or 2^20
rows, whichever comes first. So the table of any set is made in bounded memory, and depends on nothing but the set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textmill.base.config import to_table
from textmill.base.errors import ConfigError
from textmill.data.array_file import ArrayFileWriter
from textmill.data.fill_in_the_middle import NUM_SENTINELS, FillInTheMiddle
from textmill.data.packing_table import DTYPES, KIND, MAX_CONTEXT, PackingFigures, PackingTable, pack_pieces
from textmill.data.permutation import hash_key
from textmill.data.shards import ShardSet
from textmill.text.best_fit import pack_best_fit

WINDOW_DOCUMENTS = 1 << 16
WINDOW_TOKENS = 1 << 27
WINDOW_ROWS = 1 << 20


def open_packing_table(
    shards: ShardSet,
    context: int,
    *,
    seed: int = 0,
    fill_in_the_middle: FillInTheMiddle | None = None,
    cache: Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> PackingTable:
    """Open the table of a set for a context, which is made where it is not there or was made for another set.

    Args:
        shards: the set.
        context: tokens in a row.
        seed: chooses the documents that are told out of order; it means nothing without ``fill_in_the_middle``.
        fill_in_the_middle: how many of them there are.
        cache: a folder for tables of sets whose own cannot be written.
        progress: called with the tokens packed so far.

    Raises:
        StorageError: it can be written nowhere.
        DataError: the set or the table is damaged.
    """
    made_for = _made_for(shards, context, seed, fill_in_the_middle)
    name = f"packing-{context}.bin"
    if fill_in_the_middle is not None:
        name = f"packing-{context}-{hash_key(str(made_for)) >> 32:08x}.bin"
    places = [shards.folder / name]
    if cache is not None:
        places.append(cache / f"{shards.manifest_sha256[:16]}-{name}")
    for path in places:
        if path.is_file():
            table = PackingTable(path)
            if table.made_for == made_for:
                return table
    for path in places:
        try:
            write_packing_table(
                path, shards, context, seed=seed, fill_in_the_middle=fill_in_the_middle, progress=progress
            )
        except OSError:
            if path == places[-1]:
                raise
            continue
        return PackingTable(path)
    raise AssertionError


def write_packing_table(
    path: Path,
    shards: ShardSet,
    context: int,
    *,
    seed: int = 0,
    fill_in_the_middle: FillInTheMiddle | None = None,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Make the table of a set; see ``open_packing_table``."""
    if not NUM_SENTINELS < context <= MAX_CONTEXT:
        raise ConfigError(f"the context is {context}; packing takes {NUM_SENTINELS + 1} to {MAX_CONTEXT:,}")
    num_rows = num_pieces = num_cut = num_tokens = 0
    with ArrayFileWriter(path, KIND, DTYPES) as writer:
        writer.append("rows", np.zeros(1, np.int64))
        for first, starts in _windows(shards, context):
            documents = first + np.arange(len(starts) - 1)
            chosen = np.zeros(len(documents), bool)
            if fill_in_the_middle is not None:
                chosen = fill_in_the_middle.chosen(documents, seed, shards.manifest.source)
            packed = pack_best_fit(np.diff(starts), (chosen * NUM_SENTINELS).astype(np.uint8), context)
            is_reordered = chosen[packed.documents]
            pieces = pack_pieces(starts[packed.documents] + packed.offsets, packed.lengths, is_reordered)
            writer.append("rows", num_pieces + packed.row_pieces[1:])
            writer.append("pieces", pieces)
            num_rows += len(packed.row_pieces) - 1
            num_pieces += len(pieces)
            num_cut += len(np.unique(packed.documents[packed.offsets > 0]))
            num_tokens += int(packed.lengths.sum()) + NUM_SENTINELS * int(is_reordered.sum())
            if progress:
                progress(int(starts[-1]))
        figures = PackingFigures(
            context=context,
            num_rows=num_rows,
            num_pieces=num_pieces,
            num_cut=num_cut,
            num_tokens=num_tokens,
            num_padding=num_rows * context - num_tokens,
        )
        made_for = _made_for(shards, context, seed, fill_in_the_middle)
        writer.finish({"made_for": made_for, "figures": to_table(figures)})


def _made_for(shards: ShardSet, context: int, seed: int, fill_in_the_middle: FillInTheMiddle | None) -> dict[str, Any]:
    """All that a table depends on."""
    return {
        "manifest_sha256": shards.manifest_sha256,
        "context": context,
        "window": [WINDOW_DOCUMENTS, WINDOW_TOKENS, WINDOW_ROWS],
        "fill_in_the_middle": None if fill_in_the_middle is None else fill_in_the_middle.rate,
        "seed": None if fill_in_the_middle is None else seed,
    }


def _windows(shards: ShardSet, context: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Cut a set into windows; yields the number of each one's first document and the starts of its documents."""
    first, num_documents = 0, shards.manifest.num_documents
    max_tokens = min(WINDOW_TOKENS, WINDOW_ROWS * context)
    while first < num_documents:
        starts = shards.index.starts(first, min(first + WINDOW_DOCUMENTS, num_documents) + 1)
        end = int(np.searchsorted(starts, starts[0] + max_tokens, side="right")) - 1
        starts = starts[: max(end, 1) + 1]
        yield first, starts
        first += len(starts) - 1
