"""Markup taken off: HTML, manual pages in roff, and what comes compressed."""

from __future__ import annotations

import gzip
import html
import re
from pathlib import Path

_MAIN = re.compile(r'<div (?:class="body" role="main"|id="DisplayArea"|class="(?:book|chapter|sect1|refentry)")[^>]*>')
_HIDDEN = re.compile(r"<(script|style|head|nav|footer)\b.*?</\1>|<!--.*?-->", re.DOTALL | re.IGNORECASE)
_TAG = re.compile(r"<[^>]*>")
_BLANK_LINES = re.compile(r"[ \t]*\n(?:[ \t]*\n)+")

_ROFF_COMMENT = re.compile(r"^[.']\s*\\\".*$|\\\".*$", re.MULTILINE)
_ROFF_REQUEST = re.compile(r"^[.'][ \t]*([A-Za-z]{1,3}|\\}|\w+)[ \t]*(.*)$", re.MULTILINE)
_ROFF_FONT = re.compile(r"\\f(?:\[[^\]]*\]|\(..|.)|\\[&/,:%|^!c]|\\s[-+]?\d|\\[hvmM]'[^']*'|\\[mM]\[[^\]]*\]")
_ROFF_CHARACTERS = {
    r"\-": "-",
    r"\(aq": "'",
    r"\(dq": '"',
    r"\(co": "©",
    r"\(bu": "•",
    r"\(em": "—",
    r"\e": "\\",
    r"\ ": " ",
}
_ROFF_TEXT = frozenset("B I BI BR IB IR RB RI SH SS SM SB TP IP Nm Ar Fl Pa Em Sy Dq Xr Sh Ss".split())


def read_text(path: Path) -> str:
    """Read a file as UTF-8, unpacked where it is gzip or dictzip; text of another encoding is left out as ""."""
    data = gzip.decompress(path.read_bytes()) if path.suffix in {".gz", ".dz"} else path.read_bytes()
    try:
        return data.decode(errors="ignore" if path.suffix == ".dz" else "strict")  # GCIDE has some broken characters
    except UnicodeDecodeError:
        return ""


def strip_html(page: str) -> str:
    """Keep the words of a page's main part, without what is around it on every page."""
    main = _MAIN.search(page)
    body = page[main.start() :] if main else page
    body = body.partition('<div class="sphinxsidebar"')[0]
    return _BLANK_LINES.sub("\n\n", html.unescape(_TAG.sub("", _HIDDEN.sub("", body)))).strip() + "\n"


def strip_roff(page: str) -> str:
    """Keep the words of a manual page: requests go, and the arguments of those that print them stay."""
    page = _ROFF_COMMENT.sub("", page)
    page = _ROFF_REQUEST.sub(lambda match: match[2].replace('"', "") if match[1] in _ROFF_TEXT else "", page)
    page = _ROFF_FONT.sub("", page)
    for escape, character in _ROFF_CHARACTERS.items():
        page = page.replace(escape, character)
    return _BLANK_LINES.sub("\n\n", page).strip() + "\n"
