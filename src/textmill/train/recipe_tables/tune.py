"""What a model is tuned on, and how: ``[tune]``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from textmill.base.errors import ConfigError

# The keys of each kind and what they are unless given; keys of other kinds are refused.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "sft": {"packing": "step", "too_long": "refuse"},
    "dpo": {
        "beta": 0.1,
        "label_smoothing": 0.0,
        "length_normalized": False,
        "too_long": "refuse",
        "prompt_context": None,
    },
    "grpo": {
        "beta": 0.0,
        "reward": None,
        "answers": 8,
        "max_tokens": 128,
        "temperature": 1.0,
        "updates": 1,
        "clip_low": 0.2,
        "clip_high": 0.2,
        "weighing": "token",
        "advantages": "scaled",
        "unbiased_kl": True,
    },
}

LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""The linear layers of a block."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TuneTable:
    """``[tune]``: a model, what it is tuned on, and how.

    ``batch.rows`` counts what a step has: conversations (sft; rows of them with ``packing = "all"``), pairs (dpo),
    answers (grpo).

    Attributes:
        kind: ``sft`` learns an assistant's answers, ``dpo`` from pairs of answers, ``grpo`` from rewards for its own.
        model: what tuning begins from, as MODEL is given elsewhere.
        data: JSON Lines, a file or a folder of them: conversations (sft), prompt, chosen and rejected (dpo), or prompts
            (grpo).
        context: tokens of a conversation, or of a prompt and its answer, at most.
        epochs: how often the data are gone through, where ``[budget]`` says nothing.
        rank: learn adapters (LoRA) of this rank, and not the weights themselves; for every kind.
        alpha: of adapters: their product is multiplied by ``alpha / rank`` (twice the rank).
        dropout: of adapters: the share of what goes in that is dropped (0).
        targets: of adapters: names of linear layers, whole or what they end with (all of the blocks').
        dora: of adapters: learn the magnitude of each row of a layer by itself (DoRA), too (false).
        packing: of sft: conversations share rows, none seeing another: those of a ``step``, or ``all`` once (step).
        beta: how closely the model is held to what it began from (0.1 of dpo, 0 of grpo unless given).
        label_smoothing: of dpo: the share of pairs that are taken to be the wrong way round (0).
        length_normalized: of dpo: whether log-probabilities are means over an answer's tokens (false).
        too_long: of sft and dpo: what becomes of what is beyond ``context``: ``refuse``, ``drop`` or ``cut`` (refuse).
        prompt_context: of dpo: tokens that a cut leaves of a prompt (half the context).
        reward: of grpo: ``file.py:function``.
        answers: of grpo: to each prompt (8).
        max_tokens: of grpo: tokens of an answer at most (128).
        temperature: of grpo: how answers are drawn (1).
        updates: of grpo: steps that learn from the same answers (1).
        clip_low, clip_high: of grpo: how far from 1 a token's ratio is followed (0.2).
        weighing: of grpo: what tokens weigh: ``token``, ``answer`` or ``constant`` (token).
        advantages: of grpo: ``scaled`` by the group's deviation, or ``centred`` only (scaled).
        unbiased_kl: of grpo: whether the divergence is weighed by the ratio (true).
    """

    kind: Literal["sft", "dpo", "grpo"]
    model: str
    data: str
    context: int = 1024
    epochs: float | None = None
    rank: int | None = None
    alpha: float | None = None
    dropout: float | None = None
    targets: tuple[str, ...] | None = None
    dora: bool | None = None
    packing: Literal["step", "all"] | None = None
    beta: float | None = None
    label_smoothing: float | None = None
    length_normalized: bool | None = None
    too_long: Literal["refuse", "drop", "cut"] | None = None
    prompt_context: int | None = None
    reward: str | None = None
    answers: int | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    updates: int | None = None
    clip_low: float | None = None
    clip_high: float | None = None
    weighing: Literal["token", "answer", "constant"] | None = None
    advantages: Literal["scaled", "centred"] | None = None
    unbiased_kl: bool | None = None

    def __post_init__(self) -> None:
        self._fill_in_defaults()
        if self.context < 2:
            raise ConfigError(f"tune.context is {self.context}, and must be 2 or more: a prompt and an answer")
        if self.epochs is not None and not 0 < self.epochs < math.inf:
            raise ConfigError(f"tune.epochs is {self.epochs:g}, and must be above 0 and finite")
        self._check_adapters()
        if self.kind == "dpo":
            self._check_dpo()
        elif self.kind == "grpo":
            self._check_grpo()

    def _fill_in_defaults(self) -> None:
        own = _DEFAULTS[self.kind]
        for name in dict.fromkeys(key for keys in _DEFAULTS.values() for key in keys):
            if getattr(self, name) is None:
                object.__setattr__(self, name, own.get(name))
            elif name not in own:
                raise ConfigError(f'tune.{name} is given, and kind = "{self.kind}" has none; leave it out')

    def _check_adapters(self) -> None:
        if self.rank is None:
            for name in ("alpha", "dropout", "targets", "dora"):
                if getattr(self, name) is not None:
                    raise ConfigError(f"tune.{name} is given, and is of adapters: give tune.rank, too, or leave it out")
            return
        for name, value in (("alpha", 2.0 * self.rank), ("dropout", 0.0), ("targets", LAYERS), ("dora", False)):
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        assert self.alpha is not None
        assert self.dropout is not None
        if self.rank < 1:
            raise ConfigError(f"tune.rank is {self.rank}, and must be 1 or more; 8 to 64 are usual")
        if not 0 < self.alpha < math.inf:
            raise ConfigError(
                f"tune.alpha is {self.alpha:g}, and must be above 0 and finite; it is often twice tune.rank"
            )
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"tune.dropout is {self.dropout:g}, and must be 0 or more, below 1")
        if not self.targets:
            raise ConfigError(f"tune.targets is empty; name linear layers, as in {list(LAYERS)}")

    def _check_dpo(self) -> None:
        assert self.beta is not None
        assert self.label_smoothing is not None
        if not 0 < self.beta < math.inf:
            raise ConfigError(f"tune.beta is {self.beta:g}, and must be above 0 and finite; 0.1 to 0.5 are usual")
        if not 0 <= self.label_smoothing < 0.5:
            raise ConfigError(
                f"tune.label_smoothing is {self.label_smoothing:g}, and must be 0 or more, below 0.5: it is the share "
                "of pairs that are the wrong way round, and from one half on nothing can be learned of them"
            )
        if self.prompt_context is None:
            object.__setattr__(self, "prompt_context", self.context // 2)
        assert self.prompt_context is not None
        if not 1 <= self.prompt_context < self.context:
            raise ConfigError(
                f"tune.prompt_context is {self.prompt_context}, and must be 1 or more, below the context of "
                f"{self.context}"
            )

    def _check_grpo(self) -> None:
        if self.reward is None:
            raise ConfigError('tune.reward is missing; name a Python function, as in reward = "rewards.py:score"')
        least = {"answers": 2, "max_tokens": 1, "updates": 1}
        for name, minimum in least.items():
            if getattr(self, name) < minimum:
                raise ConfigError(f"tune.{name} is {getattr(self, name)}, and must be {minimum} or more")
        assert self.max_tokens is not None
        if self.max_tokens >= self.context:
            raise ConfigError(
                f"tune.max_tokens is {self.max_tokens}, and the context of {self.context} has to hold a prompt, too"
            )
        for name, low, high in (("clip_low", 0, 1), ("clip_high", 0, math.inf), ("temperature", 0, math.inf)):
            if not low < getattr(self, name) < high:
                raise ConfigError(f"tune.{name} is {getattr(self, name):g}, and must be above {low} and below {high}")
        assert self.beta is not None
        if not 0 <= self.beta < math.inf:
            raise ConfigError(f"tune.beta is {self.beta:g}, and must be 0 or more, and finite")
