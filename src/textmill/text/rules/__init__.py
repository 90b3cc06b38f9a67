"""Rules that tell texts worth training on from others: published presets, natively measured."""

from textmill.text.rules.presets import PRESETS
from textmill.text.rules.rule_set import RuleSet, Verdict, named_rule_sets

__all__ = ["PRESETS", "RuleSet", "Verdict", "named_rule_sets"]
