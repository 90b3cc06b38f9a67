"""What is done to the records of a source before anything is known of the others: cleaned, judged, and some dropped."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from textmill.base.config import from_table, to_table
from textmill.base.errors import DataError
from textmill.data.pipeline import SourceTable
from textmill.data.unit_report import UnitReport
from textmill.text.cleaning import Cleaner
from textmill.text.decontamination import Decontaminator
from textmill.text.language import LanguageFilter
from textmill.text.quality import QualityModel
from textmill.text.reading import RecordBatch
from textmill.text.rules import RuleSet
from textmill.text.text_batch import TextBatch


@dataclass(frozen=True, slots=True, eq=False)
class KeptBatch:
    """Documents that stay.

    Attributes:
        texts: their texts.
        names: their ids.
        scores: float32[n]: of the quality classifier, or the field ``score`` of their records, or 0.
    """

    texts: TextBatch
    names: TextBatch
    scores: NDArray[np.float32]

    def select(self, chosen: NDArray[np.bool_]) -> KeptBatch:
        """Keep the documents where ``chosen``, bool[n], is true."""
        if chosen.all():
            return self
        return KeptBatch(self.texts.select(chosen), self.names.select(chosen), self.scores[chosen])


class TextSteps:
    """The steps of a source, made once for a process.

    Raises:
        ConfigError: a preset, a profile or a bound is unknown.
        DataError: a list, a classifier or an evaluation file cannot be read.
    """

    def __init__(self, source: SourceTable, threads: int) -> None:
        assert source.clean and source.language and source.filter and source.quality and source.decontaminate
        self._cleaner = None
        if source.clean.unicode or source.clean.mask:
            self._cleaner = Cleaner(unicode=source.clean.unicode, mask=source.clean.mask)
        self._language = None
        if source.language.keep:
            self._language = LanguageFilter(keep=source.language.keep, min_score=source.language.min_score)
        self._rules = rule_sets(source)
        self._quality = QualityModel.load(Path(source.quality.model)) if source.quality.model else None
        self._min_score = source.quality.min_score
        self._decontaminator = None
        if source.decontaminate.against:
            self._decontaminator = Decontaminator.against(
                source.decontaminate.against, profile=source.decontaminate.profile, action=source.decontaminate.action
            )
        self._threads = threads

    def apply(self, records: RecordBatch, report: UnitReport) -> KeptBatch:
        """Clean and judge records, telling ``report`` what became of them."""
        report.counts["read"] += len(records)
        report.counts["read_bytes"] += records.texts.num_bytes
        urls = records.fields.get("url")
        batch = KeptBatch(records.texts, TextBatch.of(records.ids()), _scores(records))
        if self._cleaner is not None:
            texts, masked = self._cleaner.apply(batch.texts)
            report.counts.update(masked)
            batch = KeptBatch(texts, batch.names, batch.scores)
        for judge in (self._judge_language, self._judge_rules, self._judge_quality, self._judge_contamination):
            if len(batch):
                batch, chosen = judge(batch, urls, report)
                urls = urls if urls is None else urls.select(chosen)
        report.counts["kept"] += len(batch.texts)
        report.counts["kept_bytes"] += batch.texts.num_bytes
        return batch
