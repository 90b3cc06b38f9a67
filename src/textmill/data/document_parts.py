"""A part of a corpus, chosen by hashes of names: parts that do not overlap share no document, and together are all."""

from __future__ import annotations

import hashlib

# Not the hash that holds documents out: each part has its share of those.
_PERSON = b"textmill part"


def is_in_part(origin: str, low: float, high: float) -> bool:
    """Say whether what comes from ``origin`` (``Document.origin``) hashes into [low, high), shares of 1.

    What has one origin stays together: a module and its docstrings are in the same part.
    """
    digest = hashlib.blake2b(origin.encode("utf-8", "surrogatepass"), digest_size=8, person=_PERSON).digest()
    return low * 2**64 <= int.from_bytes(digest, "big") < high * 2**64
