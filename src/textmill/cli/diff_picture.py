"""The differences of two tokenizers, drawn for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text

from textmill.base import units
from textmill.cli.token_picture import clipped, display_width, padded, visible
from textmill.tokenizer.difference import OwnToken, Setting, Stretch, TokenizerDiff, Usage

_MAX_SETTINGS = 20
_TIE = 0.005  # bytes per token that are shown as equal


def draw_diff(difference: TokenizerDiff, width: int, top: int) -> Iterator[Text]:
    """Draw the differences of a and b: settings, what each needs for each source, tokens and stretches."""
    yield from _settings(difference.settings, width)
    yield Text(
        f"\n{difference.num_shared:,} tokens are in both, {difference.num_only_a:,} only in a, "
        f"{difference.num_only_b:,} only in b"
    )
    if not difference.total.num_bytes:
        return
    yield from _usage(difference, width, top)
    yield from _verdict(difference.total)
    for title, tokens in (("a", difference.only_a), ("b", difference.only_b)):
        other = "b" if title == "a" else "a"
        heading = f"tokens only in {title}, the most used first, and what {other} makes of them"
        yield from _own_tokens(heading, tokens[:top], width)
    for title, stretches in (
        ("where a needs fewer tokens", difference.shorter_a),
        ("where b needs fewer tokens", difference.shorter_b),
        ("where they cut elsewhere, with equally many tokens", difference.other),
    ):
        yield from _stretches(title, stretches[:top], width)
    if difference.num_forgotten:
        yield Text(f"\n{difference.num_forgotten:,} stretches, rare or long, are in the totals and not in these lists")


def _settings(settings: Sequence[Setting], width: int) -> Iterator[Text]:
    if not settings:
        yield Text("the settings are the same", "bold")
        return
    yield Text("settings that differ", "bold")
    rows = [(setting.name, _value(setting.a), _value(setting.b)) for setting in settings[:_MAX_SETTINGS]]
    name_width = min(30, max(display_width(clipped(name, 30)) for name, _, _ in rows))
    cell_width = max(12, (width - name_width - 6) // 2)
    a_width = min(cell_width, max(display_width(a) for _, a, _ in rows))
    for name, a, b in [("", "a", "b"), *rows]:
        line = Text(f"  {padded(clipped(name, 30), name_width)}  ")
        line.append(padded(clipped(a, a_width), a_width), "cyan")
        line.append("  ")
        line.append(clipped(b, cell_width), "magenta")
        yield line
    if len(settings) > _MAX_SETTINGS:
        yield Text(f"  and {len(settings) - _MAX_SETTINGS:,} more; --json has all")


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list):
        return visible("  then  ".join(map(str, value)).encode()).replace("·", " ") or "none"
    if value is None or value == "":
        return "none"
    return visible(str(value).encode()).replace("·", " ")


def _usage(difference: TokenizerDiff, width: int, top: int) -> Iterator[Text]:
    yield Text("\nbytes per token, more is better; agree: the share of the text in equal tokens", "bold")
    sources = sorted(difference.sources, key=lambda usage: -usage.num_bytes)
    shown = [*sources[:top], difference.total] if len(sources) > 1 else [difference.total]
    names = [usage.source or "all of it" for usage in shown]
    name_width = min(max(map(display_width, names)), max(12, width - 54))
    yield Text(f"  {'':<{name_width}} {'text':>9} {'a':>7} {'b':>7} {'b has':>15} {'agree':>8}", "dim")
    for name, usage in zip(names, shown, strict=True):
        change = usage.num_tokens_b / usage.num_tokens_a - 1 if usage.num_tokens_a else 0.0
        line = Text(f"  {padded(_clipped_left(name, name_width), name_width)} {units.num_bytes(usage.num_bytes):>9} ")
        line.append(f"{usage.bytes_per_token_a:>7.2f} ", "cyan")
        line.append(f"{usage.bytes_per_token_b:>7.2f} ", "magenta")
        line.append(f"{100 * change:>+8.1f}% tokens {100 * usage.agreement:>6.1f}%")
        yield line
    if len(sources) > top:
        yield Text(f"  and {len(sources) - top:,} smaller ones; --json has all")


def _verdict(total: Usage) -> Iterator[Text]:
    a, b = total.num_tokens_a, total.num_tokens_b
    if a == b and total.agreement == 1:
        yield Text("\nBoth cut all of it into the same tokens.")
    elif abs(total.bytes_per_token_a - total.bytes_per_token_b) < _TIE:
        yield Text(f"\na needs {a:,} tokens and b {b:,}: about the same")
    else:
        better, fewer, more = ("a", a, b) if a < b else ("b", b, a)
        yield Text(
            f"\n{better} needs {fewer:,} tokens where the other needs {more:,}: {100 * (1 - fewer / more):.1f}% fewer"
        )


def _own_tokens(heading: str, tokens: Sequence[OwnToken], width: int) -> Iterator[Text]:
    if not tokens:
        return
    yield Text(f"\n{heading}", "bold")
    rows = [(f"{token.count:,}", visible(token.text), _segmented(token.instead)) for token in tokens]
    yield from _table(rows, width)


def _stretches(heading: str, stretches: Sequence[Stretch], width: int) -> Iterator[Text]:
    if not stretches:
        return
    yield Text(f"\n{heading}", "bold")
    saves = any(stretch.num_saved for stretch in stretches)
    rows = []
    for stretch in stretches:
        gain = f" saves {abs(stretch.num_saved):,}" if saves else ""
        rows.append((f"{stretch.count:,} times{gain}", _segmented(stretch.a), _segmented(stretch.b)))
    yield from _table([("", "a", "b"), *rows], width)


def _segmented(tokens: Sequence[bytes]) -> str:
    return "│".join(map(visible, tokens)) or "nothing"


def _table(rows: Sequence[tuple[str, str, str]], width: int) -> Iterator[Text]:
    first_width = max(display_width(row[0]) for row in rows)
    cell_width = max(10, (width - first_width - 6) // 2)
    second_width = min(cell_width, max(display_width(row[1]) for row in rows))
    for first, second, third in rows:
        line = Text(f"  {' ' * (first_width - display_width(first))}{first}  ")
        line.append(padded(clipped(second, second_width), second_width), "cyan")
        line.append("  ")
        line.append(clipped(third, width - first_width - second_width - 6), "magenta")
        yield line


def _clipped_left(name: str, width: int) -> str:
    """Cut a path at its beginning: its end tells more."""
    while display_width(name) > width:
        name = "…" + name[2:]
    return name
