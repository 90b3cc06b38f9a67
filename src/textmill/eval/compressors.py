"""What general compressors need for the same text: the yardstick everybody has at hand."""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Iterable


def gzip_bytes(texts: Iterable[bytes]) -> int:
    """Bytes that ``gzip -9`` needs, each text compressed by itself."""
    return sum(len(gzip.compress(text, compresslevel=9, mtime=0)) for text in texts)


def xz_bytes(texts: Iterable[bytes]) -> int:
    """Bytes that ``xz -9`` needs, each text compressed by itself."""
    return sum(len(lzma.compress(text, preset=9)) for text in texts)
