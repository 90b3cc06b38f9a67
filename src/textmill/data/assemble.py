"""Files of tokens become a shard set: an index, the documents' ids, and the manifest that names them all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textmill.base.errors import DataError
from textmill.data.array_file import ArrayFileWriter
from textmill.data.document_names import NAMES, write_names
from textmill.data.index import write_index
from textmill.data.manifest import FORMAT_VERSION, Manifest, ShardFile, write_manifest
from textmill.data.shard_writer import ShardPart

INDEX = "index.bin"
CLUSTER_SIZES = "cluster_sizes.bin"
CLUSTER_SIZES_KIND = b"TMCLUST1"


def assemble(
    folder: Path,
    parts: Iterable[ShardPart],
    *,
    source: str,
    dtype: str,
    vocab_size: int,
    document_end: int,
    tokenizer_sha256: str,
    made_by: Mapping[str, Any] | None = None,
) -> Manifest:
    """Write index and manifest beside files of tokens, which makes them a shard set. The manifest comes last.

    Args:
        folder: where the files are.
        parts: the files in their order; those without documents are left out of the set.
        source: the set's name in a recipe's mixture.
        dtype: uint16 or uint32, what the files were written in.
        vocab_size: ids are below it.
        document_end: the id that ends each document.
        tokenizer_sha256: of the tokenizer that made the ids.
        made_by: how the set was made, for its manifest.

    Raises:
        DataError: there are no documents.
        StorageError: the disk is full.
    """
    parts = [part for part in parts if part.file.num_documents]
    if not parts:
        raise DataError(f'the source "{source}" has no documents to tokenize; check its path')
    index = ShardFile(name=INDEX, num_tokens=0, sha256=write_index(folder / INDEX, parts))
    names = [part.names for part in parts if part.names is not None]
    cluster_sizes = [part.cluster_sizes for part in parts if part.cluster_sizes is not None]
    for beside in (names, cluster_sizes):
        assert len(beside) in (0, len(parts)), "all files must have names or cluster sizes, or none"
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        source=source,
        dtype=dtype,
        vocab_size=vocab_size,
        document_end=document_end,
        tokenizer_sha256=tokenizer_sha256,
        num_documents=sum(part.file.num_documents for part in parts),
        num_tokens=sum(part.file.num_tokens for part in parts),
        num_bytes=sum(part.file.num_bytes for part in parts),
        files=tuple(part.file for part in parts),
        index=index,
        names=ShardFile(name=NAMES, num_tokens=0, sha256=write_names(folder / NAMES, names)) if names else None,
        cluster_sizes=_write_cluster_sizes(folder, cluster_sizes) if cluster_sizes else None,
        made_by=dict(made_by or {}),
    )
    write_manifest(folder, manifest)
    return manifest


def _write_cluster_sizes(folder: Path, sizes: Sequence[NDArray[np.uint32]]) -> ShardFile:
    with ArrayFileWriter(folder / CLUSTER_SIZES, CLUSTER_SIZES_KIND, {"sizes": "<u4"}) as writer:
        for part in sizes:
            writer.append("sizes", part)
        return ShardFile(name=CLUSTER_SIZES, num_tokens=0, sha256=writer.finish())
