"""What was measured of the trainer, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean, median
from typing import Any

from marked_page import table
from records import Records, origin

PARTS = ("remat", "checkpoint", "extension")
FEWER_BYTES, SLOWER = 0.35, 0.08
PAUSE_S, COST_S, RESUME_S = 0.3, 1.5, 3.0
MOST_LOST = 0.01


def page(records: Records) -> str:
    """Lay out all that was measured: when and where, the bars, and the figures behind them."""
    rows = [row for part, rows_of in _BARS.items() if part in records for row in rows_of(records[part]["figures"])]
    texts = [origin(records, PARTS), table(("work", "bar", "measured", "range", "met"), rows)]
    if "remat" in records:
        texts.append(f"### What blocks save, and what a step takes\n\n{_remat_table(records['remat']['figures'])}")
    if "checkpoint" in records:
        texts.append(f"### Saving and going on\n\n{_checkpoint_table(records['checkpoint']['figures'])}")
    if "extension" in records:
        scores = _extension_table(records["extension"]["figures"])
        texts.append(f"### A context of 256 tokens taken to 1,024\n\n{scores}")
    return "\n".join(texts)


def _remat_bars(figures: dict[str, Any]) -> Iterator[Sequence[str]]:
    for name, ways in figures.items():
        fewer = 1 - ways["llama"]["saved"] / ways["none"]["saved"]
        work = f"`--remat llama` beside `none`, 135M, context 1,024, {name}"
        yield (f"{work}: bytes saved by blocks", "≥ 35 % fewer", f"{100 * fewer:.1f} %", "", _met(fewer >= FEWER_BYTES))
        slower = [ours / none - 1 for ours, none in zip(ways["llama"]["time_s"], ways["none"]["time_s"], strict=True)]
        measured = f"{100 * median(slower):+.1f} %"
        spread = f"{100 * min(slower):+.1f} to {100 * max(slower):+.1f} %"
        yield (f"{work}: time of a step", "≤ 8 % slower", measured, spread, _met(median(slower) <= SLOWER))


def _checkpoint_bars(figures: dict[str, Any]) -> Iterator[Sequence[str]]:
    for work, key, bar in (
        ("the loop pauses for a save, 135M", "pause_s", PAUSE_S),
        ("a save costs the run, in all", "cost_s", COST_S),
        ("resuming, to the start of the first step, files not in memory", "resume_cold_s", RESUME_S),
    ):
        values = figures[key]
        yield (work, f"≤ {bar} s", f"{median(values):.2f} s", _spread(values), _met(median(values) <= bar))


def _extension_bars(figures: dict[str, Any]) -> Iterator[Sequence[str]]:
    after = figures["after"]
    near, far = after[1], fmean(after[4:8])
    work = "extended from 256 to 1,024 tokens: bits per byte at positions 512 to 1,023"
    yield (work, f"below {near:.3f}, at 128 to 255", f"{far:.3f}", "", _met(far < near))
    for name, words in (("before", "the model it came from"), ("without", "one trained on at 256")):
        lost = fmean(after[:2]) / fmean(figures[name][:2]) - 1
        work = f"the same, below 256, beside {words}"
        yield (work, "≤ 1 % more", f"{100 * lost:+.1f} %", "", _met(lost <= MOST_LOST))


def _extension_table(figures: dict[str, Any]) -> str:
    steps, more = figures["steps"]
    names = {
        f"before: {steps:,} steps at 256": figures["before"],
        f"after: {more:,} steps more at 1,024": figures["after"],
        f"without: {more:,} steps more at 256": figures["without"],
    }
    blocks = range(len(figures["after"]))
    rows = [
        (name, *(f"{scores[block]:.3f}" if block < len(scores) else "" for block in blocks))
        for name, scores in names.items()
    ]
    return table(("bits per byte at position", *(f"{128 * b} to {128 * b + 127}" for b in blocks)), rows)


def _remat_table(figures: dict[str, Any]) -> str:
    rows = []
    for name, ways in figures.items():
        base = ways["none"]["time_s"]
        for way, of in ways.items():
            ratio = median([own / none for own, none in zip(of["time_s"], base, strict=True)])
            rows.append(
                (
                    name,
                    "torch's own functions" if way == "plain" else f"`{way}`",
                    f"{of['saved'] / 1e3:.1f}",
                    f"{of['formula'] / 1e3:.1f}" if "formula" in of else "",
                    f"{median(of['time_s']):.2f} s",
                    _spread(of["time_s"]),
                    f"{ratio:.3f}",
                    f"{of['peak'] / 1e6:,.0f} MB" if "peak" in of else "",
                )
            )
    heads = ("activations", "way", "KB a token and block", "by formula", "forward and backward", "range", "of `none`")
    return table((*heads, "a process grows by"), rows)


def _checkpoint_table(figures: dict[str, Any]) -> str:
    rows = [
        (work, f"{median(figures[key]):.2f} s", _spread(figures[key]))
        for work, key in (
            ("the loop pauses", "pause_s"),
            ("a save costs the run, in all", "cost_s"),
            ("until the checkpoint is whole", "until_whole_s"),
            ("from the call to the first step; files not in memory", "resume_cold_s"),
            ("the same, files in memory", "resume_s"),
        )
    ]
    step, low, high = figures["step_s"]
    sizes = (
        f"A checkpoint has {figures['num_bytes'] / 1e9:.2f} GB; a step takes {step:.2f} s ({low:.2f} to {high:.2f})."
    )
    return f"{table(('', 'median', 'range'), rows)}\n{sizes}\n"


def _spread(values: Sequence[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f}"


def _met(is_met: bool) -> str:
    return "yes" if is_met else "no"


_BARS = {"remat": _remat_bars, "checkpoint": _checkpoint_bars, "extension": _extension_bars}
