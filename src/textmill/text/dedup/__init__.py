"""Duplicates: exact ones by hash, near ones by MinHash with every candidate verified."""

from __future__ import annotations

from textmill.text.dedup.clusters import Cluster
from textmill.text.dedup.exact import drop_exact_duplicates
from textmill.text.dedup.find import ReadTexts, find_duplicates
from textmill.text.dedup.keys import UnitKeys
from textmill.text.dedup.recall import RecallPoint, measure_recall
from textmill.text.dedup.report import DuplicateReport
from textmill.text.dedup.settings import DedupSettings, MinHashSettings
from textmill.text.dedup.stored_keys import StoredKeys
from textmill.text.dedup.verdicts import UnitVerdict, read_verdict

__all__ = [
    "Cluster",
    "DedupSettings",
    "DuplicateReport",
    "MinHashSettings",
    "ReadTexts",
    "RecallPoint",
    "StoredKeys",
    "UnitKeys",
    "UnitVerdict",
    "drop_exact_duplicates",
    "find_duplicates",
    "measure_recall",
    "read_verdict",
]
