"""A part of a corpus, chosen by hashes of names: parts that do not overlap share no document, and together are all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from textmill.text.documents import Document

# Not the hash that holds documents out: each part has its share of those.
_PERSON = b"textmill part"


def documents_in_part(documents: Iterable[Document], low: float, high: float) -> Iterator[Document]:
    """Pass on the documents whose origin hashes into [low, high), shares of 1; order stays.

    What has one origin stays together: a module and its docstrings are in the same part.
    """
    if (low, high) == (0.0, 1.0):
        yield from documents
        return
    for document in documents:
        digest = hashlib.blake2b(
            document.origin.encode("utf-8", "surrogatepass"), digest_size=8, person=_PERSON
        ).digest()
        if low * 2**64 <= int.from_bytes(digest, "big") < high * 2**64:
            yield document
