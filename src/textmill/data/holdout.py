"""Which text is kept away from training: decided by hashes of names, so the same on every machine and in every run."""

from __future__ import annotations

import hashlib

import numpy as np

from textmill.text.text_batch import TextBatch

# Of fewer documents, hashes may well hold out none, or a share far from the one asked for.
FEW_DOCUMENTS = 100


def is_held_out(origin: str, fraction: float) -> bool:
    """Say whether a document is held out: whole documents, by hash of where they come from."""
    digest = hashlib.blake2b(origin.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < fraction * 2**64


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
