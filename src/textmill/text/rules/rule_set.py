"""Named sets of rules, applied to many texts at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from textmill.base.errors import ConfigError, did_you_mean
from textmill.text.rules.bad_words import BadWords
from textmill.text.rules.blocked_urls import BlockedUrls
from textmill.text.rules.line_rules import LineRules
from textmill.text.rules.measured_rules import MeasuredRules
from textmill.text.rules.presets import PRESETS
from textmill.text.text_batch import TextBatch

Step = MeasuredRules | LineRules | BadWords | BlockedUrls

_LISTS = {"bad_words": ("words and phrases", BadWords), "blocked_urls": ("domains and addresses", BlockedUrls)}


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """What a rule set says of texts.

    Attributes:
        kept: bool[n].
        reason: int16[n]: the number in ``RuleSet.rule_names`` of the first rule that a text fails; -1 where it is kept.
        values: float64[n]: the statistic of that rule, where it has one.
        texts: the texts; where rules take lines out, what is left of those kept, the others being empty.
        off: sentences on rules that could not be applied.
    """

    kept: NDArray[np.bool_]
    reason: NDArray[np.int16]
    values: NDArray[np.float64]
    texts: TextBatch
    off: list[str]


class RuleSet:
    """Steps of rules, each on the texts that those before it kept.

    Attributes:
        name: of the preset.
        steps: the steps, in their order.
        rule_names: of all rules that can drop a text, in the order in which they are tried.
        rules_off: a sentence on each rule that is off because its list was not given.
    """

    def __init__(self, name: str, steps: Sequence[Step], rules_off: Sequence[str] = ()) -> None:
        self.name = name
        self.steps = tuple(steps)
        self.rule_names = tuple(rule for step in steps for rule in step.rule_names)
        self.rules_off = list(rules_off)

    @classmethod
    def named(
        cls,
        name: str,
        overrides: Mapping[str, float] | None = None,
        *,
        bad_words: Path | None = None,
        blocked_urls: Path | None = None,
    ) -> RuleSet:
        """Make the rule set of a preset.

        Args:
            name: of the preset, as in ``presets.PRESETS``.
            overrides: other bounds, by the name of their rule; infinite ones turn it off.
            bad_words: a file with words and phrases, one a line, for presets that have such a rule.
            blocked_urls: a file with domains and addresses, one a line.

        Raises:
            ConfigError: there is no such preset or bound.
            DataError: a list cannot be read.
        """
        if name not in PRESETS:
            hint = did_you_mean(name, PRESETS)
            raise ConfigError(f'there is no filter preset "{name}"{hint} There are {", ".join(PRESETS)}')
        paths = {"bad_words": bad_words, "blocked_urls": blocked_urls}
        steps: list[Step] = []
        rules_off = []
        for step in PRESETS[name]:
            if not isinstance(step, str):
                steps.append(step)
            elif (path := paths[step]) is not None:
                steps.append(_LISTS[step][1].load(Path(path)))
            else:
                rules_off.append(
                    f"the rule {step} of {name} is off: it needs a file of {_LISTS[step][0]}, {step} = FILE"
                )
        overrides = dict(overrides or {})
        _check_overrides(name, overrides, steps)
        return cls(name, [step.overridden(overrides) for step in steps], rules_off)

    @property
    def bounds(self) -> dict[str, float]:
        """Every bound that may be overridden, by name."""
        return {name: bound for step in self.steps for name, bound in step.bounds.items()}

    def apply(self, texts: TextBatch, urls: TextBatch | None = None, threads: int = 1) -> Verdict:
        """Judge texts, whose addresses are ``urls`` where they are known."""
        reason = np.full(len(texts), -1, np.int16)
        values = np.full(len(texts), np.nan)
        left = np.arange(len(texts))
        kept = texts
        first_rule = 0
        for step in self.steps:
            judgement = step.judge(kept, urls if urls is None else urls.select(reason < 0), threads)
            fails = judgement.failed >= 0
            reason[left[fails]] = first_rule + judgement.failed[fails]
            values[left[fails]] = judgement.values[fails]
            kept = judgement.texts.select(~fails)
            left = left[~fails]
            first_rule += len(step.rule_names)
        return Verdict(reason < 0, reason, values, self._in_place(texts, kept, left), self._off(urls))

    def describe(self, reason: int, value: float) -> str:
        """Say how a text fails the rule of a number, ``value`` being the rule's statistic of it."""
        for step in self.steps:
            if reason < len(step.rule_names):
                return step.describe(reason, value)
            reason -= len(step.rule_names)
        raise IndexError("there is no such rule")

    def _in_place(self, texts: TextBatch, kept: TextBatch, left: NDArray[np.int64]) -> TextBatch:
        """Put the texts that are left where they were; returns the texts as they are where no step changes any."""
        if not any(isinstance(step, LineRules) for step in self.steps):
            return texts
        offsets = np.zeros(len(texts) + 1, np.int64)
        offsets[left + 1] = kept.lengths
        return TextBatch(kept.data, np.cumsum(offsets))

    def _off(self, urls: TextBatch | None) -> list[str]:
        if urls is None and any(isinstance(step, BlockedUrls) for step in self.steps):
            return [f"the rule blocked_urls of {self.name} is off: the records have no address (a field url)"]
        return []


def named_rule_sets(
    names: Sequence[str],
    overrides: Mapping[str, float] | None = None,
    *,
    bad_words: Path | None = None,
    blocked_urls: Path | None = None,
) -> list[RuleSet]:
    """Make the rule sets of several presets; each takes the bounds and lists that it knows.

    Raises:
        ConfigError: there is no such preset; or none of them has a bound, or a rule for a list, that is given.
        DataError: a list cannot be read.
    """
    overrides = dict(overrides or {})
    lists = {"bad_words": bad_words, "blocked_urls": blocked_urls}
    plain = {name: RuleSet.named(name) for name in names}
    known = sorted({bound for rules in plain.values() for bound in rules.bounds})
    for bound in overrides:
        if bound not in known:
            raise ConfigError(f'no preset of {", ".join(names)} has a bound "{bound}"{did_you_mean(bound, known)}')
    for rule, path in lists.items():
        if path is not None and not any(rule in PRESETS[name] for name in names):
            raise ConfigError(f"no preset of {', '.join(names)} has the rule {rule}, and {rule} = {path} is given")
    return [
        RuleSet.named(name, {bound: overrides[bound] for bound in rules.bounds if bound in overrides}, **lists)
        for name, rules in plain.items()
    ]


def _check_overrides(name: str, overrides: Mapping[str, float], steps: Sequence[Step]) -> None:
    bounds = {bound for step in steps for bound in step.bounds}
    for bound in overrides:
        if bound not in bounds:
            hint = did_you_mean(bound, sorted(bounds))
            raise ConfigError(f'the filter preset {name} has no bound "{bound}"{hint}')
