"""A pipeline's report as lines for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from textmill.base import units
from textmill.data.prepare_report import PrepareReport
from textmill.data.unit_report import CONTAMINATION, UnitReport


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
    """Write the beginnings of documents that each rule dropped, and of the biggest clusters of duplicates."""
    for name, source in report.sources.items():
        for rule, samples in source.drops.samples.items():
            yield f"\n{name}, dropped by {rule}:"
            for sample in samples:
                why = f" ({sample['why']})" if "why" in sample else ""
                yield f"  {sample['id']}{why}"
                yield f"    {' '.join(sample['text'].split())}"
    for cluster in report.duplicates.get("biggest", ()):
        dropped = cluster["dropped"]
        more = cluster["size"] - 1 - len(dropped)
        names = ", ".join([*dropped, *([f"{more:,} more"] if more else [])])
        yield f"\n{cluster['size']:,} duplicates: {cluster['kept']} stays, and not {names}"
        if "text" in cluster:
            yield f"    {' '.join(cluster['text'].split())}"


def _duplicates(found: dict[str, Any]) -> Iterator[str]:
    """Write what deduplication found, and how many near duplicates it finds of those that were planted."""
    if not found:
        return
    copies = f"{found['exact_dropped']:,} {'copy' if found['exact_dropped'] == 1 else 'copies'}"
    near = f"{found['near_dropped']:,} near {units.plural(found['near_dropped'], 'one')}"
    yield f"duplicates: {copies} and {near} dropped"
    if found["pairs_verified"]:
        yield (
            f"  {found['pairs_verified']:,} candidate {units.plural(found['pairs_verified'], 'pair')} compared, "
            f"{found['pairs_rejected']:,} of them too unlike; "
            f"{found['clusters']:,} {units.plural(found['clusters'], 'cluster')}"
        )
    for point in found.get("recall", ()):
        share = 100 * point["found"] / point["planted"]
        yield (
            f"  of {point['planted']:,} copies planted at a Jaccard index of {point['jaccard']:.2f}, {share:.0f} % are "
            f"found (theory: {100 * point['expected'] / point['planted']:.0f} %)"
        )


def _counts(source: UnitReport) -> Iterator[str]:
    counts = source.counts
    yield f"{_counted(counts['read'], 'document')} read, {units.num_bytes(counts['read_bytes'])}"
    if counts["empty"]:
        yield f"{_counted(counts['empty'], 'record')} without text passed over"
    if counts["bad"]:
        yield f"{_counted(counts['bad'], 'bad record')} passed over; the first: {source.bad[0]}"
    if counts["without_url"]:
        yield f"{_counted(counts['without_url'], 'document')} without an address, which blocked_urls lets pass"
    if counts["without_score"]:
        yield f"{_counted(counts['without_score'], 'document')} whose score is no number and counts as 0 (fields.score)"
    for rule, count in source.drops.counts.items():
        yield f"{count:>14,} dropped, {rule} ({100 * count / counts['read']:.1f} %)"
    yield from _found(source)
    yield from _cleaned(source)


def _found(source: UnitReport) -> Iterator[str]:
    """Write which evaluation sets had items in how many documents, whatever became of these."""
    for file, count in source.contamination.documents_by_file.items():
        holds = "holds" if count == 1 else "hold"
        yield f"{_counted(count, 'document')} that {holds} an item of {file} ({CONTAMINATION})"
    if cut := source.contamination.num_cut:
        yield f"{cut:>14,} of these cut"


def _cleaned(source: UnitReport) -> Iterator[str]:
    """Write what cleaning changed."""
    if repaired := source.counts["repaired"]:
        yield f"{_counted(repaired, 'document')} with repaired Unicode"
    if emails := source.counts["masked_emails"]:
        yield f"{_counted(emails, 'e-mail address')} masked"
    if ips := source.counts["masked_ips"]:
        yield f"{_counted(ips, 'IP address')} masked"


def _tokens(totals: dict[str, int]) -> Iterator[str]:
    for part, what in (("train", "to train on"), ("heldout", "held out")):
        documents, tokens = totals[f"{part}_num_documents"], totals[f"{part}_num_tokens"]
        if documents:
            bytes_per_token = totals[f"{part}_num_bytes"] / tokens
            written = f"{tokens:,} tokens ({bytes_per_token:.2f} bytes of text each)"
            yield f"{_counted(documents, 'document')} {what}: {written}"


def _counted(count: int, noun: str) -> str:
    return f"{count:>14,} {units.plural(count, noun)}"
