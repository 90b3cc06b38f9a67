"""What was measured against what is to be reached, a line for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from inference_speed import cases, first_token
from inference_speed.cases import LLAMA_CPP, OURS, TRANSFORMERS, Case
from inference_speed.measure import Facts, Measured
from inference_speed.quality import Score


@dataclass(frozen=True)
class Line:
    """One bar: what was to be reached and what was, as text; ``theirs`` and ``spread`` may be empty."""

    work: str
    bar: str
    ours: str
    theirs: str
    ratio: str
    spread: str
    is_met: bool


def speed_lines(measured: Sequence[Measured], facts: Facts) -> list[Line]:
    """Lay the bars of all cases out, those of one kind of work together."""
    by_name = {case.name: case for case in cases.CASES}
    lines = []
    for kind in ("decode", "share", "prefill", "long prefill", "long decode", "batch"):
        for case in by_name.values():
            own = {(each.kind, each.number): each for each in measured if each.case == case.name}
            lines += _lines_of(kind, case, own, facts)
    return lines


def first_line(times: dict[str, list[float]]) -> Line:
    """Compare the time to the first token with its bar."""
    taken = times[first_token.GENERATE]
    seconds, bar = median(taken), cases.FIRST_TOKEN_S
    spread = f"{min(taken):.2f} to {max(taken):.2f}"
    return Line(
        f"{first_token.GENERATE}, to the first token",
        f"≤ {bar:g} s",
        f"{seconds:.2f} s",
        "",
        "",
        spread,
        seconds <= bar,
    )


def quality_lines(scores: Sequence[Score]) -> list[Line]:
    """Compare the perplexity of rounded weights with its bars, for each model."""
    lines = []
    for model in dict.fromkeys(score.model for score in scores):
        found = {(score.engine, score.weights): score for score in scores if score.model == model}
        int8, int4 = found[OURS, "int8"], found[OURS, "int4"]
        most = 1 + cases.INT8_PERPLEXITY
        lines.append(_quality_line(int8, None, f"≤ {_more(most)} over f32", is_met=int8.over_f32 <= most))
        for kind in ("q4_0", "q4_1"):
            theirs = found[LLAMA_CPP, kind]
            is_met = int4.over_f32 <= theirs.over_f32
            lines.append(_quality_line(int4, theirs, f"≤ llama.cpp's {kind}", is_met=is_met))
    return lines


def _quality_line(ours: Score, theirs: Score | None, bar: str, *, is_met: bool) -> Line:
    work = f"perplexity over f32, {ours.weights}, {ours.model}"
    return Line(work, bar, _shown(ours), _shown(theirs) if theirs else "", "", "", is_met)


def _shown(score: Score) -> str:
    return f"{_more(score.over_f32)} ({score.perplexity:.2f})"


def _more(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.2f} %"


def _lines_of(kind: str, case: Case, own: dict[tuple[str, int], Measured], facts: Facts) -> Iterator[Line]:
    decode, prefill = own.get(("decode", 1)), own.get(("prefill", 1))
    if kind == "decode" and decode:
        yield _ratio_line("decode", decode, LLAMA_CPP, case.decode)
    if kind == "share" and decode:
        yield _share_line(case, decode, facts)
    if kind == "prefill" and prefill:
        yield _ratio_line("prefill of 512", prefill, LLAMA_CPP, case.prefill)
        if case.over_transformers is not None:
            yield _ratio_line("prefill of 512", prefill, TRANSFORMERS, case.over_transformers)
    for name, work, bar in (
        ("long prefill", "prefill of 512 more", cases.LONG_PREFILL),
        ("long decode", "decode", cases.LONG_DECODE),
    ):
        for each in own.values() if kind == name else ():
            if each.kind == kind:
                yield _ratio_line(f"{work} after {each.number:,}", each, LLAMA_CPP, bar)
    batches = [own[key] for key in own if key[0] == "batch"]
    if kind == "batch" and batches:
        for size, bar in ((8, case.batch_of_8), (32, case.batch_of_32)):
            yield _ratio_line(f"batch of {size}", own["batch", size], LLAMA_CPP, bar)
        yield _rise_line(case, [*([decode] if decode else []), *batches])


def _ratio_line(work: str, measured: Measured, peer: str, bar: float) -> Line:
    values, ratios = measured.medians(), measured.ratios(peer)
    ours, theirs, ratio = values[OURS], values[peer], median(ratios)
    return Line(
        f"{work}, {measured.case}",
        f"≥ {bar:g}× {peer}",
        f"{ours:,.0f} tokens/s",
        f"{theirs:,.0f} tokens/s",
        f"{ratio:.2f}×",
        f"{min(ratios):.2f} to {max(ratios):.2f}",
        ratio >= bar,
    )


def _share_line(case: Case, measured: Measured, facts: Facts) -> Line:
    bandwidth, num_bytes = median(facts.bandwidths), facts.bytes_a_token[case.name]
    shares = [speed * num_bytes / bandwidth for speed in measured.speeds[OURS]]
    return Line(
        f"decode, {case.name}: share of bandwidth / bytes a token",
        f"≥ {_percent(case.share)}",
        f"{_percent(median(shares))} of {bandwidth / num_bytes:,.0f} tokens/s",
        "",
        "",
        f"{_percent(min(shares))} to {_percent(max(shares))}",
        median(shares) >= case.share,
    )


def _rise_line(case: Case, measured: Sequence[Measured]) -> Line:
    """Check that more texts make more tokens a second in all, up to 8, and hardly fewer beyond."""
    speeds = {each.number: each.medians()[OURS] for each in measured}
    rises = all(speeds[more] > speeds[fewer] for fewer, more in pairwise(speeds) if more <= 8)
    best, stays = 0.0, True
    for size, speed in speeds.items():
        stays &= size <= 8 or speed >= (1 - cases.BATCH_FALL) * best
        best = max(best, speed)
    return Line(
        f"batches of {', '.join(map(str, speeds))}, {case.name}",
        "more up to 8, then never 5 % fewer",
        f"{', '.join(f'{speed:,.0f}' for speed in speeds.values())} tokens/s",
        "",
        "",
        "",
        rises and stays,
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
