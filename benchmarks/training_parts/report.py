"""What was measured of the trainer, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean, median
from typing import Any

from marked_page import table
from records import Records, origin

PARTS = ("remat", "checkpoint", "extension", "step", "characters")
FEWER_BYTES, SLOWER = 0.35, 0.08
PAUSE_S, COST_S, RESUME_S = 0.3, 1.5, 3.0
MOST_LOST = 0.01
FASTER = {"f32": 1.2, "bf16": 1.5}
FASTER_135M = {"f32": 1.2, "bf16": 2.0}
SHARE_OF_GEMM = 0.7
SHORT_NATS, SHORT_SHARE = 1.8857, 1 / 8
LONGER_NATS = {"middle": (1.5, 1.52), "long": (5.0, 1.4697)}
"""By the times of the baseline's that they may take, the nats to reach."""


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
    if "step" in records:
        texts.append(f"### A training step beside transformers\n\n{_step_table(records['step']['figures'])}")
    if "characters" in records:
        texts.append(f"### Characters beside nanoGPT's recipe\n\n{_characters_table(records['characters']['figures'])}")
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
    gain, *interval = figures["gain"]
    low, high = interval or (gain, gain)
    work = "the same, beside the last 128 positions of one trained on at 256: bits per byte less"
    yield (work, "> 0, its interval, too", f"{gain:.4f}", f"{low:.4f} to {high:.4f}", _met(low > 0))
    for name, words in (("before", "the model it came from"), ("without", "one trained on at 256")):
        lost = fmean(after[:2]) / fmean(figures[name][:2]) - 1
        work = f"the same, below 256, beside {words}"
        yield (work, "≤ 1 % more", f"{100 * lost:+.1f} %", "", _met(lost <= MOST_LOST))


def _step_bars(figures: dict[str, Any]) -> Iterator[Sequence[str]]:
    for size, by_precision in figures.items():
        for precision, of in by_precision.items():
            bar = (FASTER_135M if size == "135M" else FASTER)[precision]
            ratios = _ratios(of["peer_s"], of["ours_s"])
            work = f"a training step of {size}, {precision}, beside transformers with AdamW: tokens/s"
            yield (work, f"≥ {bar}x", f"{median(ratios):.2f}x", _spread(ratios), _met(median(ratios) >= bar))
            if precision == "bf16" and size != "3M":
                shares = _shares_of_gemm(of)
                measured = f"{100 * median(shares):.0f} %"
                spread = f"{100 * min(shares):.0f} to {100 * max(shares):.0f} %"
                work = f"the same, {size}: of the machine's own rate of bf16 products"
                yield (work, f"≥ {100 * SHARE_OF_GEMM:.0f} %", measured, spread, _met(median(shares) >= SHARE_OF_GEMM))


def _characters_bars(figures: dict[str, Any]) -> Iterator[Sequence[str]]:
    shares = [ours[0] / theirs[0] for ours, theirs in zip(figures["short"], figures["baseline"], strict=True)]
    worst = max(nats for _, nats in figures["short"])
    work = f"characters: time to {SHORT_NATS} nats, of that of nanoGPT's recipe (losses {worst:.4f} at most)"
    is_met = median(shares) <= SHORT_SHARE and worst <= SHORT_NATS
    yield (work, f"≤ {SHORT_SHARE:.3f}", f"{median(shares):.3f}", _spread(shares, 3), _met(is_met))
    for name, (allowed, bar) in LONGER_NATS.items():
        times = [ours[0] / theirs[0] for ours, theirs in zip(figures[name], figures["baseline"], strict=False)]
        nats = [each[1] for each in figures[name]]
        work = (
            f"characters: nats after {median(times):.2f} times its time ({len(nats)} {'seeds' if nats[1:] else 'seed'})"
        )
        is_met = median(nats) <= bar and median(times) <= allowed
        yield (f"{work}, {allowed} allowed", f"≤ {bar}", f"{median(nats):.4f}", _spread(nats, 4), _met(is_met))


def _step_table(figures: dict[str, Any]) -> str:
    rows = []
    for size, by_precision in figures.items():
        for precision, of in by_precision.items():
            rows.append(
                (
                    f"{size}: {of['parameters'] / 1e6:.1f}M",
                    precision,
                    f"{of['tokens'] / median(of['ours_s']):,.0f}",
                    f"{of['tokens'] / median(of['peer_s']):,.0f}",
                    f"{median(_ratios(of['peer_s'], of['ours_s'])):.2f}",
                    f"{of['tokens'] / median(of['peer_fused_s']):,.0f}",
                    f"{median(_ratios(of['peer_fused_s'], of['ours_s'])):.2f}",
                    f"{of['flops'] / median(of['ours_s']) / 1e9:,.0f}",
                    f"{median(of['peak']) / 1e9:,.0f}",
                    f"{100 * median(_shares_of_gemm(of)):.0f} %",
                )
            )
    heads = (
        *("parameters", "precision", "tokens/s", "transformers", "ratio", "with fused AdamW", "ratio"),
        *("GFLOP/s", "a product's", "share"),
    )
    return table(heads, rows)


def _characters_table(figures: dict[str, Any]) -> str:
    rows = [
        (
            "nanoGPT's recipe" if name == "baseline" else f"`{name}`",
            f"{median(time_s for time_s, _ in runs):.1f} s",
            _spread([time_s for time_s, _ in runs], 1),
            f"{median(nats for _, nats in runs):.4f}",
            _spread([nats for _, nats in runs], 4),
        )
        for name, runs in figures.items()
    ]
    return table(("", "time", "range", "nats a character", "range"), rows)


def _ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    return [first / second for first, second in zip(above, below, strict=True)]


def _shares_of_gemm(figures: dict[str, Any]) -> list[float]:
    """Of the median of the products' rates: each is a matter of milliseconds, which another program may take."""
    return [figures["flops"] / time_s / median(figures["peak"]) for time_s in figures["ours_s"]]


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


def _spread(values: Sequence[float], digits: int = 2) -> str:
    return f"{min(values):.{digits}f} to {max(values):.{digits}f}"


def _met(is_met: bool) -> str:
    return "yes" if is_met else "no"


_BARS = {
    "remat": _remat_bars,
    "checkpoint": _checkpoint_bars,
    "extension": _extension_bars,
    "step": _step_bars,
    "characters": _characters_bars,
}
