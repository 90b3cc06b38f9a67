"""Figures as the text of a table's cells: a terminal and a page show the same."""

from __future__ import annotations

from textmill.base import units
from textmill.eval.text_bits import SourceBits

BITS_HEADS = ("source", "bits/byte", "95 %", "documents", "text", "bytes/token", "perplexity")
"""What stands above ``bits_row``."""


def bits_row(one: SourceBits) -> list[str]:
    """A source's bits per byte, by ``BITS_HEADS``."""
    return [
        one.name,
        f"{one.bits_per_byte:.4f}",
        interval_text(one.interval),
        f"{one.num_documents:,}",
        units.num_bytes(one.num_bytes),
        f"{one.num_bytes / one.num_tokens:.2f}",
        f"{one.perplexity:.2f}",
    ]


def interval_text(interval: tuple[float, float] | None, form: str = ".4f") -> str:
    """Both ends of an interval; nothing where there is none."""
    return "" if interval is None else f"{interval[0]:{form}} to {interval[1]:{form}}"
