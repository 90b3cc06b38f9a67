"""Exact duplicates: of documents with the same text, the first one stays."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from textmill.text.documents import Document


def drop_exact_duplicates(documents: Iterable[Document], seen: set[bytes] | None = None) -> Iterator[Document]:
    """Yield the documents whose text has not come before.

    Args:
        documents: in the order that decides which copy stays.
        seen: 16-byte hashes of texts that came before; share one set to drop duplicates across sources.
    """
    seen = set() if seen is None else seen
    for document in documents:
        digest = hashlib.blake2b(document.text.encode(), digest_size=16).digest()
        if digest not in seen:
            seen.add(digest)
            yield document
