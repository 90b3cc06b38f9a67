"""What a number of a configuration may be; outside of its range it is a slip of the pen or a lie in a file."""

from __future__ import annotations

import math
import reprlib
from typing import Any

from textmill.base.errors import ConfigError

# These keep every product of sizes inside 64 bits.
SIZES = {
    "vocab_size": (1, 1 << 24),
    "hidden_size": (1, 1 << 20),
    "intermediate_size": (1, 1 << 22),
    "num_hidden_layers": (1, 1 << 12),
    "num_attention_heads": (1, 1 << 14),
    "num_key_value_heads": (1, 1 << 14),
    "head_dim": (2, 1 << 14),
    "max_position_embeddings": (1, 1 << 27),
    "sliding_window": (1, 1 << 27),
}

_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = 80
_REPR.maxlist = _REPR.maxtuple = 64
_REPR.maxdict = 16


def shown(value: Any) -> str:
    """A value as a message shows it: what a file holds may be millions of letters long."""
    return _REPR.repr(value)


def check_size(name: str, value: Any) -> None:
    """Raise ``ConfigError`` unless ``value`` is a whole number in the range of the size ``name``."""
    check_whole(name, value, *SIZES[name])


def check_whole(name: str, value: Any, low: int, high: int) -> None:
    """Raise ``ConfigError`` unless ``value`` is a whole number from ``low`` to ``high``."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigError(f"{name} is {shown(value)}, and must be a whole number")
    if not low <= value <= high:
        number = f"{value:,}" if abs(value) < 1 << 64 else shown(value)
        raise ConfigError(f"{name} is {number}, and must be {low:,} to {high:,}")


def check_number(name: str, value: Any, low: float, high: float) -> None:
    """Raise ``ConfigError`` unless ``value`` is a finite number from ``low`` to ``high``."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ConfigError(f"{name} is {shown(value)}, and must be a number")
    if not (low <= value <= high and math.isfinite(value)):
        number = f"{value:g}" if abs(value) < 1 << 64 else shown(value)
        raise ConfigError(f"{name} is {number}, and must be {low:g} to {high:g}")


def check_bool(name: str, value: Any) -> None:
    """Raise ``ConfigError`` unless ``value`` is true or false."""
    if not isinstance(value, bool):
        raise ConfigError(f"{name} is {shown(value)}, and must be true or false")


def check_layers(name: str, layers: Any, num_layers: int) -> None:
    """Raise ``ConfigError`` unless ``layers`` are some of ``num_layers`` layers, in order and each once."""
    if not isinstance(layers, tuple):
        raise ConfigError(f"{name} is {shown(layers)}, and must be a tuple of layers")
    for layer in layers:
        check_whole(name, layer, 0, num_layers - 1)
    if list(layers) != sorted(set(layers)):
        raise ConfigError(f"{name} is {shown(layers)}, and must name each layer once, from the first to the last")
