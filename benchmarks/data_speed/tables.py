"""The figures behind the bars, as Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median
from typing import Any

from data_speed.bars import Line, percent
from data_speed.loader import BATCHES, FIRST
from data_speed.recall import recalls
from marked_page import table

PROJECTS = ("textmill", "datatrove", "datasketch", "rensa")


def bars_table(lines: Iterable[Line]) -> str:
    """Lay the bars out, a line each."""
    heads = ("work", "bar", "textmill", "peer", "ratio", "range", "met")
    met = {True: "yes", False: "no", None: ""}
    return table(
        heads,
        ((line.work, line.bar, line.ours, line.theirs, line.ratio, line.spread, met[line.is_met]) for line in lines),
    )


def kept_text(figures: dict[str, Any]) -> str:
    """Tell how many documents each project kept."""
    kept = {name: runs[0]["documents"] for name, runs in figures["runs"].items()}
    return (
        f"Of {figures['documents']:,} documents ({figures['bytes'] / 1e6:.1f} MB in {figures['files']} files) textmill "
        f"kept {kept['textmill']:,} and datatrove {kept['datatrove']:,}.\n"
    )


def recall_table(figures: dict[str, Any]) -> str:
    """Lay out how many planted pairs each project found, and whether that is within theory's band."""
    points = list(recalls(figures))
    rows = []
    for point in points:
        found = [
            f"{percent(point.found[name] / point.planted)} {'in' if point.is_within(name) else '**out**'}"
            for name in PROJECTS
        ]
        low, high = point.low / point.planted, point.high / point.planted
        theory = [percent(point.chance, ".1f"), f"{percent(low)} to {percent(high)}"]
        rows.append([f"{point.wanted:.2f} ({point.jaccard:.3f})", str(point.planted), *theory, *found])
    return table(("index wanted (mean)", "pairs", "theory", "95 % of cases", *PROJECTS), rows)


def near_table(figures: dict[str, Any]) -> str:
    """Lay out documents a second, of the whole search and of signatures alone."""
    rows = []
    for name in PROJECTS:
        cells = [name]
        for key in ("time_s", "signature_s"):
            rates = [figures["documents"] / run[key] for run in figures["runs"][name]]
            cells += [f"{median(rates):,.0f}", f"{min(rates):,.0f} to {max(rates):,.0f}"]
        rows.append(cells)
    return table(("documents/s", "in all", "range", "signatures alone", "range"), rows)


def loader_table(figures: dict[str, Any]) -> str:
    """Lay out MB/s of all ways to pack, and the steps of starting up."""
    rows = []
    for name, rounds in figures["mb_per_s"].items():
        cells = [f"{median(each):.0f} ({min(each):.0f} to {max(each):.0f})" for each in zip(*rounds, strict=True)]
        rows.append([_way(name), *cells])
    rates = table(("MB/s of tokens", f"the first {FIRST} batches", f"the first {BATCHES}"), rows)
    steps = [
        [f"files {state}", *(f"{1000 * median(each):.1f} ms" for each in zip(*rounds, strict=True))]
        for state, rounds in figures["start_up_s"].items()
    ]
    start = table(("start-up, from the beginning", "set opened", "loader ready", "first batch"), steps)
    packed = f"{figures['pack_documents_per_s'] / 1e6:.1f} M documents/s, padding {percent(figures['padding'], '.3f')}"
    return f"{rates}\n{start}\nPacking best-fit, the table on disk: {packed}.\n"


def filters_table(figures: dict[str, Any]) -> str:
    """Lay out MB/s a core of each filter."""
    rows = []
    for group, filters in figures["mb_per_s"].items():
        for name, rates in filters.items():
            rows.append([group, name, f"{median(rates):,.1f}", f"{min(rates):,.1f} to {max(rates):,.1f}"])
    sizes = f"{figures['documents']:,} documents, {figures['bytes'] / 1e6:.1f} MB"
    slow = f"ftfy and py3langid on {figures['slow_documents']:,} of them; {figures['items']:,} items to be found"
    return f"{table(('', 'filter', 'MB/s a core', 'range'), rows)}\nOn {sizes}; {slow}.\n"


def words_table(figures: dict[str, Any]) -> str:
    """Lay out the share of documents that datatrove decides otherwise with its own words, by corpus and rule pack."""
    packs = [name for name in next(iter(figures.values())) if name not in ("documents", "versions")]
    rows = [
        [corpus, f"{of['documents']:,}", *(percent(of[pack]["decided_otherwise"], ".2f") for pack in packs)]
        for corpus, of in figures.items()
    ]
    return table(("corpus", "documents", *packs), rows)


def _way(name: str) -> str:
    way, is_cold, _ = name.partition(", cold")
    return f"{way} {'thread' if way.endswith(' 1') else 'threads'}{is_cold}"


# What stands below a heading of its own, by part.
SECTIONS = (
    ("prepare", "What is kept", kept_text),
    ("dedup", "Near duplicates: how many are found", recall_table),
    ("dedup", "Near duplicates: how fast", near_table),
    ("loader", "Batches", loader_table),
    ("filters", "Filters, on one core", filters_table),
    ("word_split", "What word splitting alone changes", words_table),
)
