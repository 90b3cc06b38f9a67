"""The main text of a page of HTML, without menus, headers and comments."""

from __future__ import annotations

import codecs
import re

from textmill.base.errors import require_extra
from textmill.text.reading.records import RecordError

_LOOKED_AT = 1024  # bytes in which HTML's standard looks for a page's encoding
_CHARSET = re.compile(rb"""charset\s*=\s*["']?\s*([A-Za-z0-9_.:-]+)""", re.IGNORECASE)


def main_text(page: bytes) -> bytes:
    """Return the UTF-8 of a page's main text, found by trafilatura; empty where it finds none.

    Raises:
        RecordError: the page is neither UTF-8 nor in the encoding that it names.
        MissingExtraError: trafilatura is not installed.
    """
    trafilatura = require_extra("trafilatura", "data", "reading .html files")
    html = _decoded(page)
    if not html.strip():
        return b""
    # deduplicate=True leaves out what other pages had: a page's text would depend on what was read before it.
    text = trafilatura.extract(html, favor_precision=True, include_comments=False, deduplicate=False)
    return (text or "").encode(errors="replace")


def _decoded(page: bytes) -> str:
    """Decode a page as UTF-8, or else as it says itself; an encoding is never guessed."""
    try:
        return page.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        named = _CHARSET.search(page[:_LOOKED_AT])
        try:
            if page.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                return page.decode("utf-16")
            if named is not None:
                return page.decode(named[1].decode())
        except (LookupError, UnicodeDecodeError, ValueError):
            pass
        encodings = f"UTF-8, nor {named[1].decode()}, which it names" if named else "UTF-8, and names no other encoding"
        what = f"is not {encodings}: byte 0x{page[error.start]:02x} cannot be decoded. Convert it or leave it out"
        raise RecordError(what, error.start) from error
