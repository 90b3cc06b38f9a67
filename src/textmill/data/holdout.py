"""Which text is kept away from training: decided by hashes of names, so the same on every machine and in every run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Literal

import numpy as np

from textmill.base.errors import ConfigError, DataError
from textmill.text.documents import Document
from textmill.text.text_batch import TextBatch

HoldoutKind = Literal["auto", "documents", "tail"]
# Of fewer documents, hashes may well hold out none, or a share far from the one asked for.
FEW_DOCUMENTS = 100


def is_held_out(origin: str, fraction: float) -> bool:
    """Say whether a document is held out: whole documents, by hash of where they come from."""
    digest = hashlib.blake2b(origin.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < fraction * 2**64


def split_holdout(
    documents: Iterable[Document], fraction: float, kind: HoldoutKind = "documents"
) -> tuple[list[Document], list[Document]]:
    """Part documents into those to train on and those to validate on.

    Args:
        documents: the corpus, duplicates already dropped.
        fraction: how much to hold out, in (0, 1).
        kind: ``documents`` holds out whole ones by hash of their origin; ``tail`` holds out the last part of each,
            counted in characters, for a corpus of one text or a few; ``auto`` does that below 100 documents.

    Raises:
        DataError: one of the two sides would be empty.
    """
    if not 0 < fraction < 1:
        raise ConfigError(f"eval.holdout is {fraction:g}, and must be between 0 and 1, as in 0.05")
    documents = list(documents)
    if kind == "auto":
        num_held_out = sum(is_held_out(document.origin, fraction) for document in documents)
        few = len(documents) < FEW_DOCUMENTS or num_held_out in (0, len(documents))
        kind = "tail" if few else "documents"
    train: list[Document] = []
    held_out: list[Document] = []
    for document in documents:
        if kind == "documents":
            (held_out if is_held_out(document.origin, fraction) else train).append(document)
            continue
        cut = int(len(document.text) * (1 - fraction))
        for part, text in ((train, document.text[:cut]), (held_out, document.text[cut:])):
            if text:
                part.append(Document(text, document.source, document.id))
    if not train or not held_out:
        empty = "held out" if train else "left to train on"
        raise DataError(
            f"of {len(documents)} documents none is {empty} at eval.holdout = {fraction:g}; "
            'give more documents, or set eval.holdout_kind = "tail" to hold out the last part of each'
        )
    return train, held_out


def split_tail(texts: TextBatch, fraction: float) -> tuple[TextBatch, TextBatch]:
    """Cut the last part off each text, counted in characters; returns the first parts and the last ones."""
    cuts = []
    for data in texts:
        text = data.decode()
        cuts.append(len(text[: int(len(text) * (1 - fraction))].encode()))
    begins = texts.offsets[:-1]
    middles = begins + np.array(cuts, np.int64)
    halves = TextBatch(texts.data, np.concatenate((np.stack([begins, middles], axis=1).ravel(), texts.offsets[-1:])))
    is_first = np.tile([True, False], len(texts))
    return halves.select(is_first), halves.select(~is_first)
