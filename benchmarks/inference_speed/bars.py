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
    lines: list[Line] = []
    for lay_out in (_decode_lines, _share_lines, _prefill_lines, _long_lines, _batch_lines):
        for case in cases.CASES:
            own = [each for each in measured if each.case == case.name]
            lines += lay_out(case, own, facts)
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


def _decode_lines(case: Case, own: Sequence[Measured], facts: Facts) -> Iterator[Line]:
    return (_ratio_line(each, LLAMA_CPP, case.decode) for each in own if each.kind == "decode")


def _share_lines(case: Case, own: Sequence[Measured], facts: Facts) -> Iterator[Line]:
    return (_share_line(case, each, facts) for each in own if each.kind == "decode")


def _prefill_lines(case: Case, own: Sequence[Measured], facts: Facts) -> Iterator[Line]:
    for each in own:
        if each.kind == "prefill":
            yield _ratio_line(each, LLAMA_CPP, case.prefill)
            if case.over_transformers is not None:
                yield _ratio_line(each, TRANSFORMERS, case.over_transformers)


def _long_lines(case: Case, own: Sequence[Measured], facts: Facts) -> Iterator[Line]:
    bars = {"long prefill": cases.LONG_PREFILL, "long decode": cases.LONG_DECODE}
    return (_ratio_line(each, LLAMA_CPP, bars[each.kind]) for each in own if each.kind in bars)


def _batch_lines(case: Case, own: Sequence[Measured], facts: Facts) -> Iterator[Line]:
    batches = [each for each in own if each.kind == "batch"]
    bars = {8: case.batch_of_8, 32: case.batch_of_32}
    yield from (_ratio_line(each, LLAMA_CPP, bars[each.number]) for each in batches if each.number in bars)
    if batches:
        yield _rise_line(case, [*(each for each in own if each.kind == "decode"), *batches])


def _ratio_line(measured: Measured, peer: str, bar: float) -> Line:
    values, ratios = measured.medians(), measured.ratios(peer)
    ours, theirs, ratio = values[OURS], values[peer], median(ratios)
    return Line(
        f"{measured.work}, {measured.case}",
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
