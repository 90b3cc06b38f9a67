"""Values of options, checked one by one: what a user wrote is either in its range or an error that says the range.

Numbers may be numpy's; each check returns the Python value.
"""

from __future__ import annotations

import numbers
import operator
from collections.abc import Mapping
from typing import Any

import numpy as np

from textmill.base.errors import ConfigError


def check_whole(name: str, value: Any, low: int, high: int | None = None) -> int:
    """Return a whole number from ``low`` to ``high``; raises ``ConfigError`` for all else."""
    number = as_whole(value)
    if number is None or number < low or (high is not None and number > high):
        kind = "a whole number, " if number is None else ""
        allowed = f"at least {low}" if high is None else f"{low} to {high:,}"
        raise ConfigError(f"{name} is {value!r}, and must be {kind}{allowed}")
    return number


def check_number(name: str, value: Any, low: float, high: float) -> float:
    """Return a finite number from ``low`` to ``high``; raises ``ConfigError`` for all else."""
    number = _as_number(value)
    if number is None or not low <= number <= high:
        raise ConfigError(f"{name} is {value!r}, and must be a number from {low:g} to {high:g}")
    return number


def check_above_zero(name: str, value: Any, high: float, instead: str) -> float:
    """Return a finite number above 0 and up to ``high``; raises ``ConfigError`` for all else."""
    number = check_number(name, value, 0.0, high)
    if number == 0.0:
        raise ConfigError(f"{name} is {value!r}, and must be above 0 and up to {high:g}; {instead}")
    return number


def check_bool(name: str, value: Any) -> bool:
    """Return true or false; raises ``ConfigError`` for all else."""
    if not is_bool(value):
        raise ConfigError(f"{name} is {value!r}, and must be true or false")
    return bool(value)


def check_stop(stop: tuple[Any, ...], most: int) -> None:
    """Raise ``ConfigError`` unless ``stop`` is at most ``most`` strings that are not empty."""
    if len(stop) > most or not all(isinstance(text, str) and text for text in stop):
        raise ConfigError(f"stop is {stop!r}, and must be up to {most} strings that are not empty")


def check_ids(name: str, ids: tuple[Any, ...]) -> tuple[int, ...]:
    """Return whole numbers from 0 on; raises ``ConfigError`` for all else."""
    whole = [number for number in map(as_whole, ids) if number is not None and number >= 0]
    if len(whole) < len(ids):
        raise ConfigError(f"{name} is {list(ids)!r}, and must be token ids, whole numbers from 0 on")
    return tuple(whole)


def check_bias(bias: Mapping[Any, Any], most: float) -> dict[int, float]:
    """Return token ids and finite numbers from ``-most`` to ``most``; raises ``ConfigError`` for all else."""
    ids = check_ids("logit_bias", tuple(bias))
    values = [check_number(f"logit_bias of {token_id}", value, -most, most) for token_id, value in bias.items()]
    return dict(zip(ids, values, strict=True))


def as_whole(value: Any) -> int | None:
    """Return a whole number as Python's, None for all else; true and false are none."""
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


def is_bool(value: Any) -> bool:
    """Whether a value is true or false, Python's or numpy's."""
    return isinstance(value, bool | np.bool_)


def _as_number(value: Any) -> float | None:
    try:
        return float(value) if isinstance(value, numbers.Real) and not isinstance(value, bool) else None
    except OverflowError:  # a whole number beyond all floats
        return None
