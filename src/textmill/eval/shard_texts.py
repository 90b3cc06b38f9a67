"""Texts that lie as tokens: what a run holds out, and what ``textmill data prepare`` wrote."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from textmill.base.errors import DataError
from textmill.data.manifest import MANIFEST, Manifest
from textmill.data.shards import ShardSet
from textmill.text.documents import Document
from textmill.tokenizer.tokenizer import Tokenizer

_TOKENIZER = "tokenizer.json"
_HELD_OUT = "heldout"


def is_shard_set(folder: Path) -> bool:
    """Whether a folder is a shard set."""
    return os.path.isfile(folder / MANIFEST)  # noqa: PTH113  no error for a path that cannot be


def shard_sets(folder: Path) -> list[Path]:
    """The shard sets in a folder, by name; none where it is no folder, or holds something else."""
    if not os.path.isdir(folder):  # noqa: PTH112  no error for a path that cannot be
        return []
    return sorted(path.parent for path in folder.glob(f"*/{MANIFEST}"))


def held_out_sets(run: Path) -> list[Path]:
    """What a run holds out, a shard set for each source."""
    return shard_sets(run / _HELD_OUT)


def read_shard_texts(folder: Path, source: str, tokenizer: Tokenizer) -> Iterator[Document]:
    """Read a shard set's documents as text.

    Args:
        folder: the set.
        source: what the documents' ``source`` is to be.
        tokenizer: the model's, which the set's may be; else the set's is looked for beside it.

    Raises:
        DataError: the set is damaged, its tokenizer is not there, or its tokens are no text.
    """
    shards = ShardSet(folder)
    tokenizer = _tokenizer_of(folder, shards.manifest, tokenizer)
    for number, ids in enumerate(shards.documents()):
        name = f"document {number}" if shards.names is None else shards.names[number]
        try:
            yield Document(tokenizer.decode_bytes(ids.tolist()).decode(), source, name)
        except UnicodeDecodeError as error:
            raise DataError(f"{folder}: the tokens of {name} are no UTF-8 text; write the set again") from error


def _tokenizer_of(folder: Path, manifest: Manifest, tokenizer: Tokenizer) -> Tokenizer:
    """The one that wrote the set: the model's, or that of a folder above, where runs and data prepare keep it."""
    if tokenizer.sha256 == manifest.tokenizer_sha256:
        return tokenizer
    places = [above / _TOKENIZER for above in (folder, *folder.resolve().parents[:2])]
    for path in places:
        if path.is_file():
            found = Tokenizer.load(path)
            if found.sha256 == manifest.tokenizer_sha256:
                return found
    raise DataError(
        f"{folder} was written with a tokenizer whose hash begins with {manifest.tokenizer_sha256[:12]}. The model's "
        f"begins with {tokenizer.sha256[:12]}, and none at {', '.join(map(str, places))} is it: copy its {_TOKENIZER} "
        f"into {folder}"
    )
