"""What was measured, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from inference_speed import first_token, peers
from inference_speed.bars import Line, first_line, quality_lines, speed_lines
from inference_speed.cases import LLAMA_CPP, OURS, TRANSFORMERS
from inference_speed.measure import Facts, Measured
from inference_speed.places import PAGE
from inference_speed.quality import Score
from machine import machine
from marked_page import with_measured

_FLAGS = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")


def write(measured: str) -> None:
    """Put what was measured into the page, between its markers."""
    PAGE.write_text(with_measured(PAGE, measured))


def page(
    measured: Sequence[Measured],
    facts: Facts,
    first: dict[str, list[float]],
    scores: Sequence[Score],
    rounds: int,
) -> str:
    """Lay out all that was measured: the machine, the bars, and every figure behind them."""
    lines = speed_lines(measured, facts) + ([first_line(first)] if first else []) + quality_lines(scores)
    parts = [machine_lines(facts, rounds), bars_table(lines)]
    for heading, rows in (
        ("### All speeds", speeds_table(measured) if measured else ""),
        ("### The first token", first_table(first) if first else ""),
        ("### All perplexities", quality_table(scores) if scores else ""),
    ):
        if rows:
            parts.append(f"{heading}\n\n{rows}")
    return "\n".join(parts)


def machine_lines(facts: Facts, rounds: int) -> str:
    """Say where it was measured, what ran there, and how fast memory was read."""
    lines = [f"{machine(_FLAGS)} {rounds} rounds ({first_token.ROUNDS} of the first token), 2 threads."]
    if OURS in facts.engines:
        lines.append(f"textmill runs its `{facts.engines[OURS]['isa']}` kernels.")
    if LLAMA_CPP in facts.engines:
        lines.append(f"{peers.PACKAGE} {peers.version()} says of itself: `{facts.engines[LLAMA_CPP]['system']}`.")
    if TRANSFORMERS in facts.engines:
        lines.append(", ".join(f"{name} {version}" for name, version in facts.engines[TRANSFORMERS].items()) + ".")
    if facts.bandwidths:
        speeds = [speed / 1e9 for speed in facts.bandwidths]
        lines.append(f"Memory is read at {median(speeds):.1f} GB/s ({min(speeds):.1f} to {max(speeds):.1f}).")
    return "\n".join(lines) + "\n"


def bars_table(lines: Sequence[Line]) -> str:
    """Lay the bars out, a line each."""
    rows = ["| work | bar | textmill | peer | ratio | range | met |", "|---|---|---|---|---|---|---|"]
    for line in lines:
        cells = (line.work, line.bar, line.ours, line.theirs, line.ratio, line.spread, "yes" if line.is_met else "no")
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join([*rows, ""])


def speeds_table(measured: Sequence[Measured]) -> str:
    """Lay out tokens a second of every engine for all that was measured, and how llama.cpp was fastest."""
    rows = ["| work | weights | engine | tokens/s, median | range | llama.cpp's options |", "|---|---|---|---|---|---|"]
    for each in measured:
        for engine, speed in each.medians().items():
            speeds = each.speeds[engine]
            options = _options(each.way) if engine == LLAMA_CPP else ""
            spread = f"{min(speeds):,.0f} to {max(speeds):,.0f}"
            rows.append(f"| {each.work} | {each.case} | {engine} | {speed:,.0f} | {spread} | {options} |")
    return "\n".join([*rows, ""])


def first_table(times: dict[str, list[float]]) -> str:
    """Lay out the time to the first token."""
    rows = ["| from the start of the command to the first token | seconds, median | range |", "|---|---|---|"]
    for name, taken in times.items():
        rows.append(f"| {name} | {median(taken):.2f} | {min(taken):.2f} to {max(taken):.2f} |")
    return "\n".join([*rows, ""])


def quality_table(scores: Sequence[Score]) -> str:
    """Lay out all perplexities."""
    rows = ["| model | weights | engine | perplexity | over the engine's f32 |", "|---|---|---|---|---|"]
    for score in scores:
        more = f"{100 * (score.over_f32 - 1):+.2f} %"
        rows.append(f"| {score.model} | {score.weights} | {score.engine} | {score.perplexity:.3f} | {more} |")
    return "\n".join([*rows, ""])


def _options(way: dict[str, bool]) -> str:
    words = {"flash": ("flash attention", "no flash attention"), "unified": ("one cache for all", "a cache for each")}
    return ", ".join(words[name][0 if value else 1] for name, value in way.items())
