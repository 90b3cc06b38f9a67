"""What was measured, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from machine import machine
from marked_page import table, with_measured
from serving_speed import cases
from serving_speed.cases import LLAMA_CPP, OURS
from serving_speed.measure import ENGINE, STREAMED, WHOLE, Load, Measured
from serving_speed.places import PAGE

_FLAGS = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
_Row = tuple[str, ...]


def write(measured: str) -> None:
    """Put what was measured into the page, between its marks."""
    PAGE.write_text(with_measured(PAGE, measured))


def page(measured: Sequence[Measured], commands: Sequence[str], rounds: int) -> str:
    """Lay out all that was measured: the machine, the bars, every figure behind them, and how servers were started."""
    bars = [row for each in measured for row in _bars(each)]
    parts = [
        f"{machine(_FLAGS)} {rounds} rounds, 2 threads.\n",
        table(("work", "model", "bar", "textmill", "llama.cpp", "ratio", "range", "met"), bars),
        "### All servers\n\n" + table(_LOAD_HEADS, [row for each in measured for row in _loads(each)]),
        "### At rest\n\n"
        + table(("server", "model", "up after", "idle"), [row for each in measured for row in _rest(each)]),
        "### What was tried\n\n"
        + table(
            ("work", "model", "server", "options", "best of two"), [row for each in measured for row in _tried(each)]
        ),
        "".join(f"- {command}\n" for command in commands),
    ]
    return "\n".join(parts)


def _bars(measured: Measured) -> Iterator[_Row]:
    for name, load, unit, bar in (
        ("chats", measured.chats, "tokens/s", cases.CHATS),
        ("shared prefix", measured.shared, "requests/s", cases.SHARED),
    ):
        if load.speeds:
            yield _faster(name, measured.case, load, unit, bar)
    if measured.chats.firsts:
        for place, name in enumerate(("first token, median", "first token, p99")):
            ours, theirs = (measured.chats.first(server)[place] for server in (OURS, LLAMA_CPP))
            met = _yes(ours <= cases.FIRST_TOKEN * theirs)
            bar = f"≤ {cases.FIRST_TOKEN:g}×"
            yield name, measured.case, bar, f"{ours:.2f} s", f"{theirs:.2f} s", f"{ours / theirs:.2f}×", "", met
    for name, bar in ((WHOLE, cases.OVERHEAD_WHOLE), (STREAMED, cases.OVERHEAD_STREAMED)):
        if measured.single:
            more = [mine / bare - 1 for mine, bare in zip(measured.single[name], measured.single[ENGINE], strict=True)]
            shown = f"{min(more):+.1%} to {max(more):+.1%}"
            ours = f"{median(measured.single[name]):.2f} s"
            middle = median(more)
            yield (
                f"one request, {name}",
                measured.case,
                f"≤ {bar:+.0%}",
                ours,
                "",
                f"{middle:+.1%}",
                shown,
                _yes(middle <= bar),
            )
    if measured.idle:
        share, start = measured.idle[OURS], median(measured.starts[OURS])
        theirs = f"{measured.idle[LLAMA_CPP]:.2%}" if LLAMA_CPP in measured.idle else ""
        yield (
            "idle, of a core",
            measured.case,
            f"< {cases.IDLE:.0%}",
            f"{share:.2%}",
            theirs,
            "",
            "",
            _yes(share < cases.IDLE),
        )
        theirs = f"{median(measured.starts[LLAMA_CPP]):.2f} s" if LLAMA_CPP in measured.starts else ""
        yield (
            "start",
            measured.case,
            f"< {cases.START_S:g} s",
            f"{start:.2f} s",
            theirs,
            "",
            "",
            _yes(start < cases.START_S),
        )


def _faster(name: str, case: str, load: Load, unit: str, bar: float) -> _Row:
    ratios = load.ratios(LLAMA_CPP)
    ours, theirs = (f"{median(load.speeds[server]):,.1f} {unit}" for server in (OURS, LLAMA_CPP))
    ratio = median(ratios)
    return (
        name,
        case,
        f"≥ {bar:g}×",
        ours,
        theirs,
        f"{ratio:.2f}×",
        f"{min(ratios):.2f} to {max(ratios):.2f}",
        _yes(ratio >= bar),
    )


def _yes(is_met: bool) -> str:
    return "yes" if is_met else "no"


_LOAD_HEADS = ("work", "model", "server", "median", "range", "first token: median", "p99")


def _loads(measured: Measured) -> Iterator[_Row]:
    for name, load, unit in (
        ("chats", measured.chats, "tokens/s"),
        ("shared prefix", measured.shared, "requests/s"),
    ):
        for server, speeds in load.speeds.items():
            first = [f"{seconds:.2f} s" for seconds in load.first(server)]
            spread = f"{min(speeds):,.1f} to {max(speeds):,.1f}"
            yield name, measured.case, server, f"{median(speeds):,.1f} {unit}", spread, *first


def _rest(measured: Measured) -> Iterator[_Row]:
    for server, starts in measured.starts.items():
        yield server, measured.case, f"{median(starts):.2f} s", f"{measured.idle[server]:.2%}"


def _tried(measured: Measured) -> Iterator[_Row]:
    for name, load in (("chats", measured.chats), ("shared prefix", measured.shared)):
        for server, tried in load.tried.items():
            for options, speeds in tried.items():
                mark = " (taken)" if load.ways.get(server) == options else ""
                yield name, measured.case, server, f"`{options}`{mark}", f"{max(speeds):,.1f}"
