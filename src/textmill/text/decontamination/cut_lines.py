"""Lines of training records that something was cut out of, written anew."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from textmill.text.decontamination.decontaminator import Contamination
from textmill.text.decontamination.training_records import with_only_text


def cut_lines(
    lines: Sequence[bytes], found: Contamination, fields: Sequence[str] | None
) -> tuple[Contamination, list[bytes]]:
    """Write what is left of records; those whose text is not one string are dropped.

    Args:
        lines: the records, as they were read.
        found: what was found in their texts.
        fields: of a record, as ``text_of_record`` takes them.

    Returns:
        what became of the records, and their lines now.
    """
    now = list(lines)
    whole_only = set()
    for document in {hit.document for hit in found.hits if hit.action == "cut"}:
        record = json.loads(lines[document].decode("utf-8-sig"))
        if with_only_text(record, found.texts[document].decode(), fields):
            end = lines[document][len(lines[document].rstrip(b"\r\n")) :]
            now[document] = json_line(record, ascii_only=lines[document].isascii(), end=end)
        else:
            whole_only.add(document)
    return found.without(whole_only), now


def json_line(value: Any, *, ascii_only: bool = False, end: bytes = b"\n") -> bytes:
    """Write a line of JSON; what is no Unicode (half of a surrogate pair) is escaped, whatever is asked for."""
    if not ascii_only:
        try:
            return json.dumps(value, ensure_ascii=False).encode() + end
        except UnicodeEncodeError:
            pass
    return json.dumps(value).encode() + end
