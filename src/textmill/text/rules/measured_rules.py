"""Rules on statistics of one table, in an order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from textmill.text.rules.judgement import Judgement
from textmill.text.rules.rule import Rule
from textmill.text.rules.statistics import COLUMNS, Table, measure
from textmill.text.text_batch import TextBatch


@dataclass(frozen=True, slots=True)
class MeasuredRules:
    """Rules whose statistics are measured together.

    Attributes:
        table: where the statistics are.
        rules: in the order in which they are tried.
    """

    table: Table
    rules: tuple[Rule, ...]

    @property
    def rule_names(self) -> tuple[str, ...]:
        """Names of the rules."""
        return tuple(rule.name for rule in self.rules)

    @property
    def bounds(self) -> dict[str, float]:
        """What may be overridden, by name."""
        return {rule.name: rule.bound for rule in self.rules}

    def overridden(self, bounds: dict[str, float]) -> MeasuredRules:
        """Put other bounds in place of those of the same name."""
        rules = (Rule(r.name, r.statistic, r.kind, float(bounds.get(r.name, r.bound))) for r in self.rules)
        return MeasuredRules(self.table, tuple(rules))

    def describe(self, number: int, value: float) -> str:
        """Say how a value fails a rule."""
        return self.rules[number].describe(value)

    def judge(self, texts: TextBatch, urls: TextBatch | None, threads: int) -> Judgement:
        """Find the first rule that each text fails."""
        table = measure(self.table, texts, threads)
        failed = np.full(len(texts), -1, np.int16)
        values = np.full(len(texts), np.nan)
        for number, rule in enumerate(self.rules):
            column = table[:, COLUMNS[self.table].index(rule.statistic)]
            fails = (failed < 0) & rule.fails(column)
            failed[fails] = number
            values[fails] = column[fails]
        return Judgement(failed, values, texts)
