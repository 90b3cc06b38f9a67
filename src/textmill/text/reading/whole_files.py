"""Files that are one document each: text, HTML, and the modules and docstrings of the standard library."""

from __future__ import annotations

import codecs
from collections.abc import Iterator

import numpy as np

from textmill.text.readers import describe_not_utf8
from textmill.text.reading.content import DamagedContentError, open_content
from textmill.text.reading.html_text import main_text
from textmill.text.reading.records import BATCH_BYTES, Intake, RecordBatch, RecordError, place_of, too_long
from textmill.text.reading.source import ID
from textmill.text.stdlib import read_stdlib
from textmill.text.text_batch import TextBatch

_DECODED_BYTES = 1 << 20
_LOOKED_AT = 4096  # bytes behind a wrong one, to tell what it is part of


def read_whole_file(number: int, intake: Intake) -> Iterator[RecordBatch]:
    """Read a file of text or HTML."""
    file = intake.files[number]
    try:
        with open_content(file, intake.archive) as content:
            data = content.read(intake.source.max_document_bytes)
    except DamagedContentError as error:
        intake.refuse(file, "byte 0", f"and all that follows cannot be unpacked: {error}")
        return
    if data is None:
        intake.refuse(
            file, "byte 0", too_long("document", max(file.size, intake.source.max_document_bytes + 1), intake)
        )
        return
    try:
        text = main_text(data) if file.format == "html" else _checked_text(data, file.location)
    except RecordError as error:
        line = data.count(b"\n", 0, error.offset) + 1
        intake.refuse(file, place_of(line, error.offset), error.what)
        return
    yield from intake.batch(number, TextBatch.of([text]), np.ones(1, np.int64), {})


def _checked_text(data: bytes, path: str) -> bytes:
    """The UTF-8 of a text, a byte order mark left out."""
    start = _first_not_utf8(data)
    if start is not None:
        raise RecordError(describe_not_utf8(path, data[start : start + _LOOKED_AT], start), start)
    return data.removeprefix(codecs.BOM_UTF8)


def _first_not_utf8(data: bytes) -> int | None:
    """Find the first byte that is not UTF-8, without holding all characters at once."""
    begin = 0
    while begin < len(data):
        end = min(begin + _DECODED_BYTES, len(data))
        try:
            begin += codecs.utf_8_decode(data[begin:end], "strict", end == len(data))[1]
        except UnicodeDecodeError as error:
            return begin + error.start
    return None


def read_standard_library(number: int, intake: Intake) -> Iterator[RecordBatch]:
    """Read the standard library; the ids of its documents name modules, docstrings and topics."""
    texts: list[bytes] = []
    ids: list[str] = []
    num_bytes = 0

    def flush() -> Iterator[RecordBatch]:
        yield from intake.batch(number, TextBatch.of(texts), np.ones(len(texts), np.int64), {ID: TextBatch.of(ids)})

    for document in read_stdlib(intake.files[number].path, ""):
        texts.append(document.text.encode())
        ids.append(document.id)
        num_bytes += len(texts[-1])
        if num_bytes >= BATCH_BYTES:
            yield from flush()
            texts, ids, num_bytes = [], [], 0
    yield from flush()
