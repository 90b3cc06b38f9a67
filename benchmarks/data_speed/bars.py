"""What was measured against what is to be reached, a line for each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

from data_speed.environments import VERSIONS
from data_speed.job import PROCESSES, THREADS
from data_speed.loader import BATCHES, CONTEXT, FIRST, ROWS
from data_speed.recall import recalls

DATATROVE, DATASKETCH, RENSA, SHARDS_SHARE = 5, 10, 1, 0.8
NEAR_DATATROVE = 10
BATCH_MB_PER_S, START_UP_S, MEMORY_GROWTH = 50, 0.1, 0.1


@dataclass(frozen=True)
class Line:
    """One bar: what was to be reached and what was, as text; ``is_met`` is None where nothing was to be reached."""

    work: str
    bar: str
    ours: str
    theirs: str = ""
    ratio: str = ""
    spread: str = ""
    is_met: bool | None = None


def times(figures: dict[str, Any], way: str, key: str = "time_s") -> list[float]:
    """Seconds of a way, in the order of the rounds."""
    return [run[key] for run in figures["runs"][way]]


def percent(share: float, form: str = ".0f") -> str:
    """Write a share in percent."""
    return f"{100 * share:{form}} %"


def prepare_lines(figures: dict[str, Any]) -> Iterator[Line]:
    """Compare raw jsonl to shards with datatrove."""
    work = "raw jsonl to shards: read, `gopher`, exact duplicates, tokens of 32k, written; "
    work += f"{figures['documents']:,} documents, {PROCESSES} processes"
    yield _ratio_line(work, figures, "datatrove", DATATROVE)


def near_lines(figures: dict[str, Any]) -> Iterator[Line]:
    """Compare the search for near duplicates, and signatures alone."""
    work = f"near duplicates, 14×8 over word 5-grams, {figures['documents']:,} documents, {THREADS} threads"
    for peer, bar in (("datatrove", NEAR_DATATROVE), ("datasketch", DATASKETCH), ("rensa", RENSA)):
        yield _ratio_line(work, figures, peer, bar, is_rate=True)
        work = "the same"
    points = list(recalls(figures))
    num_within = sum(point.is_within("textmill") for point in points)
    within = f"{num_within} of {len(points)} indices"
    yield Line("planted pairs found", "within theory's 95 %", within, is_met=num_within == len(points))
    for peer in ("rensa", "datasketch"):
        work = f"signatures alone, from shingles that are hashed already, beside {peer}"
        yield _ratio_line(work, figures, peer, None, is_rate=True, key="signature_s")


def shards_lines(figures: dict[str, Any]) -> Iterator[Line]:
    """Compare jsonl to shards with encoding the same texts in memory."""
    size = f"{figures['bytes'] / 1e6:,.0f} MB of jsonl of 4 KB documents to shards, hashes included, cold"
    for way, work in (
        ("one process", f"{size}; one process, {THREADS} threads"),
        ("processes", f"the same in {PROCESSES} processes"),
    ):
        ours, theirs = times(figures, way), times(figures, "encode_batch")
        shares = [b / a for a, b in zip(ours, theirs, strict=True)]
        is_met = median(shares) >= SHARDS_SHARE if way == "one process" else None
        yield Line(
            work,
            f"≥ {percent(SHARDS_SHARE)} of `encode_batch`, {THREADS} threads" if is_met is not None else "",
            f"{median(ours):.2f} s",
            f"{median(theirs):.2f} s",
            percent(median(shares)),
            f"{percent(min(shares))} to {percent(max(shares))}",
            is_met,
        )


def loader_lines(figures: dict[str, Any]) -> Iterator[Line]:
    """Compare batches and start-up with their bars."""
    size = f"{figures['set_bytes'] / 1e9:.1f} GB, {figures['documents'] / 1e6:.1f} M documents"
    work = f"batches of {ROWS}×{CONTEXT:,} from {size}, best-fit, document masks"
    for threads in (THREADS, 1):
        rounds = figures["mb_per_s"][f"best-fit, document masks, {threads}"]
        for number, count in enumerate((FIRST, BATCHES)):
            rates = [each[number] for each in rounds]
            yield Line(
                f"{work}: the first {count}, {threads} thread{'s' if threads > 1 else ''}",
                f"≥ {BATCH_MB_PER_S} MB/s of tokens",
                f"{median(rates):.0f} MB/s",
                spread=f"{min(rates):.0f} to {max(rates):.0f}",
                is_met=median(rates) >= BATCH_MB_PER_S,
            )
            work = "the same"
    for state, rounds in figures["start_up_s"].items():
        seconds = [each[-1] for each in rounds]
        yield Line(
            f"start-up on that set, to the first batch made; files {state}",
            f"≤ {1000 * START_UP_S:.0f} ms",
            f"{1000 * median(seconds):.1f} ms",
            spread=f"{1000 * min(seconds):.1f} to {1000 * max(seconds):.1f}",
            is_met=median(seconds) <= START_UP_S,
        )


def memory_lines(figures: dict[str, Any]) -> Iterator[Line]:
    """Compare peak memory of an input with that of a larger one."""
    small, large = figures["runs"]
    growth = large["peak_bytes"] / small["peak_bytes"] - 1
    sizes = " and ".join(f"{run['bytes'] / 1e9:g} GB" for run in (small, large))
    yield Line(
        f"peak memory of the largest process, {sizes} of input, everything on, {PROCESSES} processes",
        f"within {percent(MEMORY_GROWTH)}",
        " · ".join(f"{run['peak_bytes'] / 1e6:,.0f} MB" for run in (small, large)),
        ratio=percent(growth, "+.0f"),
        is_met=abs(growth) <= MEMORY_GROWTH,
    )


# The lines of each part, in the order of the page.
LINES = {
    "prepare": prepare_lines,
    "dedup": near_lines,
    "shards": shards_lines,
    "loader": loader_lines,
    "memory": memory_lines,
}


def _ratio_line(
    work: str,
    figures: dict[str, Any],
    peer: str,
    bar: float | None,
    *,
    is_rate: bool = False,
    key: str = "time_s",
) -> Line:
    """Compare seconds, shown as documents a second where ``is_rate``."""
    mine, others = times(figures, "textmill", key), times(figures, peer, key)
    ratios = [b / a for a, b in zip(mine, others, strict=True)]
    shown = [
        f"{figures['documents'] / median(each):,.0f} documents/s" if is_rate else f"{median(each):.2f} s"
        for each in (mine, others)
    ]
    return Line(
        work,
        "" if bar is None else f"{'≥' if bar > 1 else '>'} {bar:g}× {peer} {VERSIONS[peer]}",
        shown[0],
        shown[1],
        f"{_short(median(ratios))}×",
        f"{_short(min(ratios))} to {_short(max(ratios))}",
        None if bar is None else (median(ratios) >= bar if bar > 1 else median(ratios) > bar),
    )


def _short(ratio: float) -> str:
    return f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.3g}"
