"""What was measured, as Markdown: a line for each bar, and a table of all engines for each case."""

from __future__ import annotations

from statistics import median

from machine import machine
from tokenizer_speed.cases import OURS, Bar
from tokenizer_speed.corpora import MEGABYTE
from tokenizer_speed.measure import Measured
from tokenizer_speed.packages import versions
from tokenizer_speed.peers import VERSIONS

_MEMORY = {"peak": "peak memory", "added": "memory added at its peak", "held": "memory held"}
_FIGURES = {
    "cold": "cold",
    "warm": "warm",
    "best": "best round",
    "median": "median round",
    "load": "load",
    "first": "load and first call",
    "time": "time",
    **_MEMORY,
}
_HEAD = """# The tokenizer against others

`make bench-tokenizer` writes this page, on a machine that does nothing else. Every figure is the median of processes
that ran in turn, ours and theirs, forwards and backwards, each fresh; a ratio is theirs by ours, the median of the
rounds, with the least and the most. Ids (in training, merges) are compared first, and an encoder whose ids differ from
tiktoken's is not timed.

- **cold**: the library is imported and the vocabulary loaded; the first pass over the documents is timed. **warm**: the
  median of the passes after it, in the same process.
- Texts come in a list, of `bytes` for textmill and gigatoken and of `str` for the others and where it is written;
  "buffer" is gigatoken's own source, one buffer with a separator. Results stay as each project returns them fastest, in
  arrays.
- One thread is one core (`taskset`), two are two; rayon's pools are told by `RAYON_NUM_THREADS`.
- Memory is the process's resident memory: *added* is its peak less what was there after the import (and, for encoding,
  after loading and reading the texts).
- In training, everybody splits with GPT-2's pattern, which all of them know. textmill and gigatoken read the file as
  one text, the others by lines; merges are compared among those that read alike (rustbpe and bpeasy break ties
  otherwise).
- Where a `.tiktoken` is loaded: textmill, gigatoken, tiktoken, fastokens and splintr-rs read such a file.
"""


def page(measured: list[Measured], counted: dict[str, dict[str, float] | str], num_rounds: int) -> str:
    """Write the whole page."""
    parts = [_HEAD, f"{machine(('avx2', 'avx512bw'))}\n\n{num_rounds} rounds. {_versions()}\n", bars(measured)]
    parts += ["## All figures\n", *map(table, measured)]
    if counted:
        parts.append(instructions(counted))
    return "\n".join(parts)


def bars(measured: list[Measured]) -> str:
    """Lay out a line for each bar: the best peer, both figures, the ratio, and whether it is reached."""
    lines = ["| work | peer | theirs | ours | ratio (range) | bar | met |", "|---|---|---|---|---|---|---|"]
    lines += [_bar_line(each, bar) for each in measured for bar in each.case.bars]
    return "\n".join([*lines, ""])


def _bar_line(measured: Measured, bar: Bar) -> str:
    work = f"{measured.case.work}: {_FIGURES[bar.figure]}"
    values = measured.medians(bar.figure)
    if OURS not in values:
        return f"| {work} | | | {measured.refused.get(OURS, 'not measured')} | | | no |"
    ours = values[OURS]
    if bar.most is not None:
        met = "yes" if ours <= bar.most else "no"
        return f"| {work} | | | {_value(bar.figure, ours)} | | ≤ {_value(bar.figure, bar.most)} | {met} |"
    candidates = {name: values[name] for name in bar.peers if name in values}
    if not candidates:
        return f"| {work} | none ran | | {_value(bar.figure, ours)} | | {bar.ratio:g}× | |"
    peer = min(candidates, key=lambda name: candidates[name])
    ratios = [
        theirs[bar.figure] / max(mine[bar.figure], 1e-12)
        for theirs, mine in zip(measured.rounds[peer], measured.rounds[OURS], strict=True)
    ]
    met = "yes" if median(ratios) >= bar.ratio else "no"
    spread = f"{median(ratios):.2f}× ({min(ratios):.2f} to {max(ratios):.2f})"
    figures = f"{_value(bar.figure, candidates[peer])} | {_value(bar.figure, ours)}"
    return f"| {work} | {peer} | {figures} | {spread} | {bar.ratio:g}× | {met} |"


def table(measured: Measured) -> str:
    """Lay out the medians of all engines, and who was left out."""
    figures = [key for key in _FIGURES if any(key in rounds[0] for rounds in measured.rounds.values())]
    lines = [f"### {measured.case.work}\n"]
    if "bytes" in measured.sizes:
        lines += [
            f"{measured.sizes['bytes']:,} bytes" + _size(measured, "documents") + _size(measured, "num_tokens") + ".\n"
        ]
    lines += [f"| engine | {' | '.join(_FIGURES[key] for key in figures)} |", "|---" * (len(figures) + 1) + "|"]
    for name in measured.rounds:
        values = (_value(key, measured.medians(key)[name]) + _speed(measured, key, name) for key in figures)
        lines.append(f"| {name} | {' | '.join(values)} |")
    lines += [f"\n{name}: {reason}." for name, reason in measured.refused.items()]
    return "\n".join([*lines, ""])


def instructions(counted: dict[str, dict[str, float] | str]) -> str:
    """Lay out the instructions for each byte that callgrind counted."""
    lines = [
        "## Instructions for each byte, AVX2, one thread\n",
        "| engine | first pass | second pass |",
        "|---|---|---|",
    ]
    for name, counts in counted.items():
        values = f"{counts['cold']:.1f} | {counts['warm']:.1f}" if isinstance(counts, dict) else f"{counts} | "
        lines.append(f"| {name} | {values} |")
    return "\n".join([*lines, ""])


def _versions() -> str:
    peers = ", ".join(f"{name} {version}" for name, version in VERSIONS.items())
    packages = ", ".join(f"{name} {version}" for name, version in versions().items())
    return f"Peers: {peers}.\n\nCorpora: the standard library, and Debian's {packages}, without markup, no text twice."


def _size(measured: Measured, key: str) -> str:
    words = {"documents": "documents", "num_tokens": "tokens"}[key]
    return f", {measured.sizes[key]:,} {words}" if key in measured.sizes else ""


def _speed(measured: Measured, figure: str, name: str) -> str:
    if figure not in {"cold", "warm", "time"}:
        return ""
    return f" ({measured.sizes['bytes'] / measured.medians(figure)[name] / MEGABYTE:,.0f} MB/s)"


def _value(figure: str, value: float) -> str:
    if figure in _MEMORY:
        return f"{value / MEGABYTE:,.1f} MB"
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if value * factor >= 1:
            return f"{value * factor:,.2f} {unit}"
    return f"{value * 1e9:,.0f} ns"
