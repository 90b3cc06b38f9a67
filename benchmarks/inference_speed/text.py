"""Text that no model of textmill has seen: what the recipes hold out of the standard library, on any machine."""

from __future__ import annotations

from collections.abc import Iterable

from textmill.data.holdout import is_held_out
from textmill.text.dedup import drop_exact_duplicates
from textmill.text.stdlib import NAME, read_stdlib

NUM_BYTES = 100_000
_HOLDOUT = 0.05  # that of recipes/tiny.toml


def held_out(kinds: Iterable[str] = ("prose",)) -> str:
    """100 KB of held-out docstrings and help (``prose``) or modules (``code``), an equal part of each kind."""
    kinds = tuple(kinds)
    return "".join(_beginning(kind, NUM_BYTES // len(kinds)) for kind in kinds)


def _beginning(kind: str, num_bytes: int) -> str:
    documents = drop_exact_duplicates(read_stdlib(f"{NAME}:{kind}", kind))
    text = "".join(document.text for document in documents if is_held_out(document.origin, _HOLDOUT))
    return text.encode()[:num_bytes].decode(errors="ignore")
