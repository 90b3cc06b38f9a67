"""A corpus cut into documents at line ends."""

from __future__ import annotations

from pathlib import Path

from tokenizer_speed.corpora import corpus
from tokenizer_speed.engines import SEPARATOR


def read(names: tuple[str, ...], num_bytes: int, document_bytes: int) -> list[bytes]:
    """Read the beginnings of corpora, an equal part of each, as documents of about ``document_bytes``."""
    return [
        document for name in names for document in cut(_head(corpus(name), num_bytes // len(names)), document_bytes)
    ]


def cut(text: bytes, document_bytes: int) -> list[bytes]:
    """Cut at the first line end after every ``document_bytes``."""
    documents = []
    begin = 0
    while begin < len(text):
        end = text.find(b"\n", begin + document_bytes - 1) + 1 or len(text)
        documents.append(text[begin:end])
        begin = end
    return documents


def prepared(documents: list[bytes], takes: str) -> list[bytes] | list[str] | bytes:
    """Turn documents into what an engine takes; this is not timed, as data that is read can be had in any of these."""
    if takes == "str":
        return [document.decode() for document in documents]
    return SEPARATOR.join(documents) if takes == "buffer" else documents


def short_strings(name: str, count: int, length: int) -> list[str]:
    """Take different strings of some characters, that do not begin within a word, from a corpus."""
    words = _head(corpus(name), 400 * count * length).decode(errors="ignore").split()
    text = " ".join(words)
    step = len(text) // (2 * count)
    strings: dict[str, None] = {}
    for begin in range(0, len(text) - length, step):
        start = text.rfind(" ", 0, begin) + 1
        strings[text[start : start + length]] = None
    return list(strings)[:count]


def _head(path: Path, num_bytes: int) -> bytes:
    with path.open("rb") as file:
        text = file.read(num_bytes)
    return text[: text.rfind(b"\n") + 1]
