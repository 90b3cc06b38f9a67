"""What is asked of a model, and what it answers: piece by piece (``Delta``) or whole (``Completion``)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict, Unpack

from textmill.base.errors import ConfigError
from textmill.infer.constrain import Grammar
from textmill.infer.option_checks import (
    check_above_zero,
    check_bias,
    check_bool,
    check_ids,
    check_number,
    check_stop,
    check_whole,
    is_bool,
)

FinishReason = Literal["stop", "length", "abort"]

_STOP_STRINGS_MAX = 64
_LOGPROBS_MAX = 1000
_TEMPERATURE_MAX = 100.0
_REPETITION_PENALTY_MIN, _REPETITION_PENALTY_MAX = 0.01, 100.0  # far below, logits divided by it are infinite
_PENALTY_MAX = 100.0
_BIAS_MAX = 100.0
_ANSWERS_MAX = 1024
GUESSES_MAX = 64
SEED_MAX = (1 << 64) - 1


class OneAnswer(TypedDict, total=False):
    """The options of one answer as callers write them; ``Request`` explains them. None is the default."""

    max_tokens: int | None
    min_tokens: int | None
    temperature: float | None
    top_k: int | None
    top_p: float | None
    min_p: float | None
    repetition_penalty: float | None
    presence_penalty: float | None
    frequency_penalty: float | None
    logit_bias: Mapping[int, float] | None
    seed: int | None
    stop: str | Sequence[str] | None
    stop_ids: Sequence[int] | None
    ignore_eos: bool | None
    logprobs: int | bool | None
    prompt_logprobs: bool | None
    speculate: int | None
    grammar: Grammar | None


class Options(OneAnswer, total=False):
    """The options of ``generate``: with ``n`` above 1 there is a list of answers to each prompt."""

    n: int | None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """How to go on from a prompt; the defaults are greedy, the same text every time.

    Logits are changed in this order: ``logit_bias``, ``repetition_penalty``, ``frequency_penalty`` and
    ``presence_penalty``, ``grammar``, ``temperature``, ``top_k``, ``top_p``, ``min_p``.

    Raises:
        ConfigError: for a value out of its range.
    """

    max_tokens: int | None = None
    """Tokens at most; 256, or what the context leaves where that is less, unless given."""
    min_tokens: int = 0
    """Before so many tokens neither a token nor a string ends the text."""
    temperature: float = 0.0
    """0 takes the most probable token; 1 draws from the model's own distribution."""
    top_k: int = 0
    """Draw from the k most probable tokens only; 0 from all."""
    top_p: float = 1.0
    """Draw from the fewest tokens that hold this much of the probability."""
    min_p: float = 0.0
    """Draw from tokens that have at least this part of the most probable one's probability."""
    repetition_penalty: float = 1.0
    """Divides positive logits of tokens that prompt or answer have, multiplies negative (arXiv:1909.05858 §4.1)."""
    presence_penalty: float = 0.0
    """Is taken off the logits of tokens that the answer has, as OpenAI's API defines it."""
    frequency_penalty: float = 0.0
    """Is taken off the logits of tokens that the answer has, as often as it has them."""
    logit_bias: Mapping[int, float] = dataclasses.field(default_factory=dict)
    """Numbers from -100 to 100 to add to the logits of ids."""
    seed: int | None = None
    """A seed gives the same tokens every time; without one they differ."""
    n: int = 1
    """Answers to give. The i-th, counted from 0, is what ``seed + i`` gives by itself (modulo 2^64)."""
    stop: tuple[str, ...] = ()
    """Strings that end the text and are not part of it."""
    stop_ids: tuple[int, ...] = ()
    """Tokens that end the text and are not part of it, beside those that the model's files name."""
    ignore_eos: bool = False
    """Go on after the tokens that the model's files say end a text, as if they were any others."""
    logprobs: int | None = None
    """How many alternatives to tell beside each token's own log-probability; None tells nothing."""
    prompt_logprobs: bool = False
    """Tell the log-probabilities of the prompt's tokens, too; the prompt is then computed whole, whatever is cached."""
    speculate: int | None = None
    """Tokens at most to guess ahead where the text repeats itself, and to verify in one pass; 0 guesses none. What is
    drawn stays the same, it only comes sooner; unless given, greedy texts are guessed where that is certain."""
    grammar: Grammar | None = None
    """What the answer must be, from its first token on. Tokens that do not fit are never drawn, and it ends only where
    it is whole: at once where nothing can follow, ``min_tokens`` or not. ``max_tokens`` and ``stop`` still cut it."""

    def __post_init__(self) -> None:
        check_stop(self.stop, _STOP_STRINGS_MAX)
        if self.grammar is not None and not isinstance(self.grammar, Grammar):
            raise ConfigError(f"grammar is {self.grammar!r:.80}, and must be made by Grammar.regex, .json_schema, ...")
        for name, value in self._checked().items():
            object.__setattr__(self, name, value)  # it is frozen, and numpy's numbers become Python's

    def _checked(self) -> dict[str, Any]:
        """The options that are numbers, in their ranges."""
        unless_none = {
            "max_tokens": (1, None),
            "seed": (0, SEED_MAX),
            "logprobs": (0, _LOGPROBS_MAX),
            "speculate": (0, GUESSES_MAX),
        }
        given = {name: limits for name, limits in unless_none.items() if getattr(self, name) is not None}
        whole = given | {"min_tokens": (0, None), "top_k": (0, None), "n": (1, _ANSWERS_MAX)}
        numbers = {
            "temperature": (0.0, _TEMPERATURE_MAX),
            "min_p": (0.0, 1.0),
            "presence_penalty": (-_PENALTY_MAX, _PENALTY_MAX),
            "frequency_penalty": (-_PENALTY_MAX, _PENALTY_MAX),
            "repetition_penalty": (_REPETITION_PENALTY_MIN, _REPETITION_PENALTY_MAX),
        }
        above_zero = {"top_p": (1.0, "temperature=0 takes the most probable token")}
        return {
            **{name: check_whole(name, getattr(self, name), *limits) for name, limits in whole.items()},
            **{name: check_number(name, getattr(self, name), *limits) for name, limits in numbers.items()},
            **{name: check_above_zero(name, getattr(self, name), *limits) for name, limits in above_zero.items()},
            **{name: check_bool(name, getattr(self, name)) for name in ("ignore_eos", "prompt_logprobs")},
            "logit_bias": check_bias(self.logit_bias, _BIAS_MAX),
            "stop_ids": check_ids("stop_ids", self.stop_ids),
        }

    @property
    def penalizes(self) -> bool:
        """Whether what a text has already changes what comes next."""
        return self.repetition_penalty != 1.0 or self.presence_penalty != 0.0 or self.frequency_penalty != 0.0

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
        given["stop"] = (stop,) if isinstance(stop, str) else _as_tuple("stop", stop, "a string or a list of strings")
        given["stop_ids"] = _as_tuple("stop_ids", given.get("stop_ids", ()), "a list of token ids")
        bias = given.get("logit_bias", {})
        if not isinstance(bias, Mapping):
            raise ConfigError(f"logit_bias is {bias!r}, and must map token ids to numbers")
        given["logit_bias"] = dict(bias)
        if is_bool(given.get("logprobs")):
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
    ``logprobs`` are natural logarithms under the model itself, before penalties, temperature and truncation, one for
    each id; ``top_logprobs`` the most probable tokens at each place. ``prompt_logprobs`` has one for each id of the
    prompt, None for the first, which nothing stands before, and for rows that pad the model's table, which are no
    tokens.
    """

    text: str
    ids: list[int]
    finish_reason: FinishReason
    logprobs: list[float] | None = None
    top_logprobs: list[dict[int, float]] | None = None
    prompt_logprobs: list[float | None] | None = None


def _as_tuple(name: str, value: Any, allowed: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{name} is {value!r}, and must be {allowed}")
    return tuple(value)
