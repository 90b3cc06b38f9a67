"""Pages of figures: what was measured goes between two marks, the prose around it stays as it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

BEGIN, END = "<!-- measured -->\n", "<!-- end -->"


def with_measured(page: Path, measured: str) -> str:
    """Read a page, with ``measured`` between its marks."""
    text, count = re.subn(
        f"({BEGIN}).*({END})", lambda match: f"{match[1]}{measured}{match[2]}", page.read_text(), flags=re.DOTALL
    )
    assert count == 1, f"{page} has no {BEGIN.strip()} with {END} behind it"
    return text


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out a table."""
    head, *lines = (f"| {' | '.join(line)} |\n" for line in (heads, *rows))
    return "".join([head, f"{'|---' * len(heads)}|\n", *lines])
