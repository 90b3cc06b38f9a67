"""textmill: raw text in, a served language model out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textmill.infer.engine import load as load
    from textmill.tokenizer.batch import TokenBatch as TokenBatch
    from textmill.tokenizer.tokenizer import Tokenizer as Tokenizer

__version__ = "0.1.0"
__all__ = ["TokenBatch", "Tokenizer", "__version__", "load"]

_HOMES = {
    "Tokenizer": "textmill.tokenizer.tokenizer",
    "TokenBatch": "textmill.tokenizer.batch",
    "load": "textmill.infer.engine",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that ``import textmill`` stays quick."""
    if name not in _HOMES:
        raise AttributeError(f"module 'textmill' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
