"""A pipeline's report as lines for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from textmill.base import units
from textmill.data.prepare_report import PrepareReport
from textmill.data.unit_report import UnitReport


def report_lines(report: PrepareReport) -> Iterator[str]:
    """Write a paragraph for each source: what was read, what was dropped by which rule, what came of it."""
    for rule in report.rules_off:
        yield f"off: {rule}"
    for name, source in report.sources.items():
        yield f"{name}:"
        for line in (*_counts(source), *_tokens(report.totals[name])):
            yield f"  {line}"
    yield from _duplicates(report.duplicates)


def sample_lines(report: PrepareReport) -> Iterator[str]:
    """Write the beginnings of documents that each rule dropped."""
    for name, source in report.sources.items():
        for rule, samples in source.drops.samples.items():
            yield f"\n{name}, dropped by {rule}:"
            for sample in samples:
                why = f" ({sample['why']})" if "why" in sample else ""
                yield f"  {sample['id']}{why}"
                yield f"    {' '.join(sample['text'].split())}"


def _duplicates(found: dict[str, Any]) -> Iterator[str]:
    """Write what deduplication found, and how many near duplicates it finds of those that were planted."""
    if not found:
        return
    yield f"duplicates: {found['exact_dropped']:,} copies and {found['near_dropped']:,} near ones dropped"
    if found["pairs_verified"]:
        yield (
            f"  {found['pairs_verified']:,} candidate pairs compared, {found['pairs_rejected']:,} of them too unlike; "
            f"{found['clusters']:,} clusters"
        )
    for point in found.get("recall", ()):
        share = 100 * point["found"] / point["planted"]
        yield (
            f"  of {point['planted']:,} copies planted at a Jaccard index of {point['jaccard']:.2f}, {share:.0f} % are "
            f"found (theory: {100 * point['expected'] / point['planted']:.0f} %)"
        )


def _counts(source: UnitReport) -> Iterator[str]:
    counts = source.counts
    yield f"{counts['read']:>14,} documents read, {units.num_bytes(counts['read_bytes'])}"
    if counts["empty"]:
        yield f"{counts['empty']:>14,} records without text passed over"
    if counts["bad"]:
        plural = "s" if counts["bad"] > 1 else ""
        yield f"{counts['bad']:>14,} bad record{plural} passed over; the first: {source.bad[0]}"
    for rule, count in source.drops.counts.items():
        yield f"{count:>14,} dropped, {rule} ({100 * count / counts['read']:.1f} %)"


def _tokens(totals: dict[str, int]) -> Iterator[str]:
    for part, what in (("train", "to train on"), ("heldout", "held out")):
        documents, tokens = totals[f"{part}_num_documents"], totals[f"{part}_num_tokens"]
        if documents:
            bytes_per_token = totals[f"{part}_num_bytes"] / tokens
            yield f"{documents:>14,} documents {what}: {tokens:,} tokens ({bytes_per_token:.2f} bytes of text each)"
