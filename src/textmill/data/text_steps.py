"""What is done to the records of a source before anything is known of the others: cleaned, judged, and some dropped."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from textmill.data.document_parts import is_in_part
from textmill.data.kept_batch import KeptBatch
from textmill.data.pipeline import Pipeline, SourceTable
from textmill.data.unit_report import UnitReport
from textmill.text.documents import PART_SEPARATOR
from textmill.text.reading import RecordBatch
from textmill.text.text_batch import TextBatch

# Each step's packages are imported where a source has the step.
if TYPE_CHECKING:
    from textmill.text.decontamination import Decontaminator
    from textmill.text.rules import RuleSet, Verdict

LANGUAGE, QUALITY, CONTAMINATED = "language", "quality", "contaminated"
# Counts of documents that a step could not judge as it should.
WITHOUT_URL, WITHOUT_SCORE = "without_url", "without_score"


class TextSteps:
    """The steps of a source, in their order: cleaning, language, rules, quality, contamination.

    Raises:
        ConfigError: a preset, a profile or a bound is unknown.
        DataError: a list, a classifier or an evaluation file cannot be read.
        MissingExtraError: a step needs a package of the extra "data".
    """

    def __init__(self, source: SourceTable, threads: int) -> None:
        clean, language, quality = source.clean, source.language, source.quality
        assert clean is not None
        assert language is not None
        assert quality is not None
        self._threads = threads
        self._part = source.part
        self._min_quality = quality.min_score
        self._judges_urls = bool(source.filter and source.filter.blocked_urls)
        self._cleaner = self._language = self._quality = None
        if clean.unicode or clean.mask:
            from textmill.text.cleaning import Cleaner

            self._cleaner = Cleaner(unicode=clean.unicode, mask=clean.mask)
        if language.keep:
            from textmill.text.language import LanguageFilter

            self._language = LanguageFilter(keep=language.keep, min_score=language.min_score)
        if quality.model:
            from textmill.text.quality import QualityModel

            self._quality = QualityModel.load(Path(quality.model))
        self._rules = rule_sets(source)
        self._decontaminator = decontaminator_of(source)

    def apply(self, records: RecordBatch, report: UnitReport) -> KeptBatch:
        """Clean and judge records, telling ``report`` what became of them; those of other parts do not count."""
        names = records.names()
        if self._part != (0.0, 1.0):
            origins = (name.decode().partition(PART_SEPARATOR)[0] for name in names)
            mine = np.fromiter((is_in_part(origin, *self._part) for origin in origins), bool, len(names))
            records, names = records.select(mine), names.select(mine)
        report.counts["read"] += len(records)
        report.counts["read_bytes"] += records.texts.num_bytes
        texts = records.texts
        if self._cleaner is not None:
            texts, masked = self._cleaner.apply(texts)
            report.counts.update(masked)
        urls = records.fields.get("url")
        if self._judges_urls:
            report.counts[WITHOUT_URL] += len(records) if urls is None else int(np.count_nonzero(urls.lengths == 0))
        scores, num_without = _given_scores(records)
        if num_without:
            report.counts[WITHOUT_SCORE] += num_without
        batch = KeptBatch(texts, names, scores)
        for step in (self._drop_languages, self._drop_by_rules, self._drop_by_quality, self._drop_contaminated):
            if len(batch):
                batch, urls = step(batch, urls, report)
        report.counts["kept"] += len(batch)
        report.counts["kept_bytes"] += batch.texts.num_bytes
        return batch

    def _drop_languages(self, batch: KeptBatch, urls: TextBatch | None, report: UnitReport) -> _Batch:
        if self._language is None:
            return batch, urls
        kept, languages, scores = self._language.apply(batch.texts)
        report.drops.add(LANGUAGE, batch, ~kept, lambda i: f"{languages[i]}, {scores[i]:.2f}")
        return _select(batch, urls, kept)

    def _drop_by_rules(self, batch: KeptBatch, urls: TextBatch | None, report: UnitReport) -> _Batch:
        for rules in self._rules:
            verdict = rules.apply(batch.texts, urls, self._threads)
            for number, rule in enumerate(rules.rule_names):
                why = functools.partial(_why, rules, verdict, number)
                report.drops.add(f"{rules.name}: {rule}", batch, verdict.reason == number, why)
            batch, urls = _select(KeptBatch(verdict.texts, batch.names, batch.scores), urls, verdict.kept)
        return batch, urls

    def _drop_by_quality(self, batch: KeptBatch, urls: TextBatch | None, report: UnitReport) -> _Batch:
        if self._quality is None:
            return batch, urls
        scores = self._quality.scores(batch.texts, self._threads)
        kept = scores >= self._min_quality
        report.drops.add(QUALITY, batch, ~kept, lambda i: f"{scores[i]:.3f}, and {self._min_quality:g} is the least")
        return _select(KeptBatch(batch.texts, batch.names, scores), urls, kept)

    def _drop_contaminated(self, batch: KeptBatch, urls: TextBatch | None, report: UnitReport) -> _Batch:
        if self._decontaminator is None:
            return batch, urls
        from textmill.text.decontamination.report import hit_record

        found = self._decontaminator.apply(batch.texts, self._threads)
        report.contamination.add(found, self._decontaminator)
        report.hits += [
            hit_record(hit, self._decontaminator, lambda document: batch.names[document].decode()) for hit in found.hits
        ]
        report.drops.add(CONTAMINATED, batch, ~found.kept)
        return _select(KeptBatch(found.texts, batch.names, batch.scores), urls, found.kept)


_Batch = tuple[KeptBatch, TextBatch | None]


def rule_sets(source: SourceTable) -> list[RuleSet]:
    """Make the rules of a source; raises ``ConfigError`` for a preset or bound that there is not."""
    table = source.filter
    assert table is not None
    if not table.presets:
        return []
    from textmill.text.rules import named_rule_sets

    return named_rule_sets(
        table.presets,
        table.bounds,
        bad_words=Path(table.bad_words) if table.bad_words else None,
        blocked_urls=Path(table.blocked_urls) if table.blocked_urls else None,
    )


def _why(rules: RuleSet, verdict: Verdict, number: int, document: int) -> str:
    return rules.describe(number, float(verdict.values[document]))


def rules_off(pipeline: Pipeline) -> Iterator[str]:
    """Tell of each rule that is off because its list was not given, and of items that cannot be found, by source."""
    for name in pipeline.sources:
        source = pipeline.steps_of(name)
        for rules in rule_sets(source):
            yield from (f"{name}: {sentence}" for sentence in rules.rules_off)
        decontaminator = decontaminator_of(source)
        if decontaminator is not None:
            from textmill.text.decontamination.report import too_short

            told = too_short(decontaminator, 'decontaminate.profile = "bigram"')
            yield from [f"{name}: {told}"] if told is not None else []


def decontaminator_of(source: SourceTable) -> Decontaminator | None:
    """Make what looks for evaluation items in a source; None where it is not asked for."""
    table = source.decontaminate
    assert table is not None
    if not table.against:
        return None
    from textmill.text.decontamination import Decontaminator

    return Decontaminator.against(table.against, profile=table.profile, action=table.action)


def _given_scores(records: RecordBatch) -> tuple[NDArray[np.float32], int]:
    """The scores that records bring along, float32[n], 0 where one is no number; and how many are none."""
    if "score" not in records.fields:
        return np.zeros(len(records), np.float32), 0
    given = np.fromiter(map(_number, records.fields["score"]), np.float32, len(records))
    is_given = np.isfinite(given)
    return np.where(is_given, given, np.float32(0)), int(np.count_nonzero(~is_given))


def _number(text: bytes) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan


def _select(batch: KeptBatch, urls: TextBatch | None, chosen: NDArray[np.bool_]) -> _Batch:
    return batch.select(chosen), urls if urls is None else urls.select(chosen)
