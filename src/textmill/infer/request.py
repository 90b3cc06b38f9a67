"""What is asked of a model, and what it answers: piece by piece (``Delta``) or whole (``Completion``)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Literal, TypedDict, Unpack

from textmill.base.errors import ConfigError

FinishReason = Literal["stop", "length"]

_STOP_STRINGS_MAX = 64
_LOGPROBS_MAX = 1000


class Options(TypedDict, total=False):
    """The options of ``generate`` as callers write them; ``Request`` explains them. None is the default."""

    max_tokens: int | None
    temperature: float | None
    top_k: int | None
    top_p: float | None
    min_p: float | None
    seed: int | None
    stop: str | Sequence[str] | None
    logprobs: int | bool | None
    ignore_eos: bool | None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """How to go on from a prompt; the defaults are greedy, the same text every time.

    Raises:
        ConfigError: for a value out of its range.
    """

    max_tokens: int | None = None
    """Tokens at most; 256, or what the context leaves where that is less, unless given."""
    temperature: float = 0.0
    """0 takes the most probable token; 1 draws from the model's own distribution."""
    top_k: int = 0
    """Draw from the k most probable tokens only; 0 from all."""
    top_p: float = 1.0
    """Draw from the fewest tokens that hold this much of the probability."""
    min_p: float = 0.0
    """Draw from tokens that have at least this part of the most probable one's probability."""
    seed: int | None = None
    """A seed gives the same tokens every time; without one they differ."""
    stop: tuple[str, ...] = ()
    """Strings that end the text and are not part of it."""
    logprobs: int | None = None
    """How many alternatives to tell beside each token's own log-probability; None tells nothing."""
    ignore_eos: bool = False
    """Go on after the tokens that end a text, as if they were any others."""

    def __post_init__(self) -> None:
        if self.max_tokens is not None:
            _check_whole("max_tokens", self.max_tokens, 1, None)
        _check_number("temperature", self.temperature, 0.0, 100.0)
        _check_whole("top_k", self.top_k, 0, None)
        _check_number("top_p", self.top_p, 0.0, 1.0)
        _check_number("min_p", self.min_p, 0.0, 1.0)
        if self.top_p == 0.0:
            raise ConfigError(
                "top_p is 0, and must be above 0 and up to 1; temperature=0 takes the most probable token"
            )
        if self.seed is not None:
            _check_whole("seed", self.seed, 0, (1 << 64) - 1)
        if len(self.stop) > _STOP_STRINGS_MAX or not all(isinstance(text, str) and text for text in self.stop):
            raise ConfigError(
                f"stop is {self.stop!r}, and must be up to {_STOP_STRINGS_MAX} strings that are not empty"
            )
        if self.logprobs is not None:
            _check_whole("logprobs", self.logprobs, 0, _LOGPROBS_MAX)
        if not isinstance(self.ignore_eos, bool):
            raise ConfigError(f"ignore_eos is {self.ignore_eos!r}, and must be true or false")

    @classmethod
    def of(cls, **options: Unpack[Options]) -> Request:
        """Build a request from options as callers write them: None is the default, ``stop`` may be a string.

        ``logprobs=True`` asks for the tokens' own log-probabilities, without alternatives.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(options) - known)
        if unknown:
            raise ConfigError(f'there is no option "{unknown[0]}"; options are {", ".join(sorted(known))}')
        given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
        stop = given.get("stop", ())
        if not isinstance(stop, str | list | tuple):
            raise ConfigError(f"stop is {stop!r}, and must be a string or a list of strings")
        given["stop"] = (stop,) if isinstance(stop, str) else tuple(stop)
        if isinstance(given.get("logprobs"), bool):
            given["logprobs"] = 0 if given["logprobs"] else None
        return cls(**given)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Delta:
    """One step of a stream. The last one, and only it, has a ``finish_reason``.

    ``text`` lags behind ``ids`` where a character or a stop string may still be coming.
    """

    text: str
    ids: list[int]
    finish_reason: FinishReason | None = None
    logprobs: list[float] | None = None
    top_logprobs: list[dict[int, float]] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Completion:
    """A whole answer.

    ``ids`` are the tokens that were drawn, those of a stop string included and the one that ended the text not.
    ``logprobs`` are natural logarithms under the model itself, before temperature and truncation, one for each id;
    ``top_logprobs`` the most probable tokens at each place.
    """

    text: str
    ids: list[int]
    finish_reason: FinishReason
    logprobs: list[float] | None = None
    top_logprobs: list[dict[int, float]] | None = None


def _check_whole(name: str, value: Any, low: int, high: int | None) -> None:
    allowed = f"a whole number from {low} on" if high is None else f"a whole number from {low} to {high:,}"
    if not isinstance(value, int) or isinstance(value, bool) or value < low or (high is not None and value > high):
        raise ConfigError(f"{name} is {value!r}, and must be {allowed}")


def _check_number(name: str, value: Any, low: float, high: float) -> None:
    fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not fits or not low <= value <= high:
        raise ConfigError(f"{name} is {value!r}, and must be a number from {low:g} to {high:g}")
