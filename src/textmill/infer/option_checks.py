"""Values of options, checked one by one: what a user wrote is either in its range or an error that says the range."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from textmill.base.errors import ConfigError


def check_whole(name: str, value: Any, low: int, high: int | None = None) -> None:
    """Raise ``ConfigError`` unless ``value`` is a whole number from ``low`` to ``high``."""
    allowed = f"a whole number from {low} on" if high is None else f"a whole number from {low} to {high:,}"
    if not _is_whole(value) or value < low or (high is not None and value > high):
        raise ConfigError(f"{name} is {value!r}, and must be {allowed}")


def check_number(name: str, value: Any, low: float, high: float) -> None:
    """Raise ``ConfigError`` unless ``value`` is a finite number from ``low`` to ``high``."""
    if not _is_number(value) or not low <= value <= high:
        raise ConfigError(f"{name} is {value!r}, and must be a number from {low:g} to {high:g}")


def check_above_zero(name: str, value: float, high: float, instead: str) -> None:
    """Raise ``ConfigError`` unless ``value`` is a finite number above 0 and up to ``high``."""
    check_number(name, value, 0.0, high)
    if value == 0.0:
        raise ConfigError(f"{name} is {value!r}, and must be above 0 and up to {high:g}; {instead}")


def check_bool(name: str, value: Any) -> None:
    """Raise ``ConfigError`` unless ``value`` is true or false."""
    if not isinstance(value, bool):
        raise ConfigError(f"{name} is {value!r}, and must be true or false")


def check_stop(stop: tuple[Any, ...], most: int) -> None:
    """Raise ``ConfigError`` unless ``stop`` is at most ``most`` strings that are not empty."""
    if len(stop) > most or not all(isinstance(text, str) and text for text in stop):
        raise ConfigError(f"stop is {stop!r}, and must be up to {most} strings that are not empty")


def check_ids(name: str, ids: tuple[Any, ...]) -> None:
    """Raise ``ConfigError`` unless all are whole numbers from 0 on."""
    if not all(_is_whole(token_id) and token_id >= 0 for token_id in ids):
        raise ConfigError(f"{name} is {list(ids)!r}, and must be token ids, whole numbers from 0 on")


def check_bias(bias: Mapping[Any, Any], most: float) -> None:
    """Raise ``ConfigError`` unless ``bias`` maps token ids to finite numbers from ``-most`` to ``most``."""
    check_ids("logit_bias", tuple(bias))
    for token_id, value in bias.items():
        check_number(f"logit_bias of {token_id}", value, -most, most)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
