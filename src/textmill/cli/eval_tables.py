"""Figures of an evaluation as tables for people and for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from textmill.cli.output import for_terminal
from textmill.cli.table import Column, draw_table
from textmill.eval.table_rows import BITS_HEADS, bits_row, interval_text

if TYPE_CHECKING:
    from textmill.eval.compare import Difference
    from textmill.eval.tasks.summary import TaskScore
    from textmill.eval.text_bits import SourceBits

_BITS = (
    Column(BITS_HEADS[0], is_text=True, least=12),
    *(Column(head, rank=rank) for head, rank in zip(BITS_HEADS[1:], (0, 1, 3, 2, 4, 5), strict=True)),
)
_TASKS = (
    Column("task", is_text=True, least=12),
    Column("metric", is_text=True),
    Column("score"),
    Column("95 %", rank=1),
    Column("items", rank=2),
    Column("shots", rank=3),
)
_DIFFERENCES = (
    Column("task or source", is_text=True, least=12),
    Column("metric", is_text=True),
    Column("a"),
    Column("b"),
    Column("b - a"),
    Column("95 %", rank=1),
    Column("only a", rank=3),
    Column("only b", rank=3),
    Column("p", rank=2),
    Column("differ", is_text=True),
)


def bits_lines(bits: Sequence[SourceBits], width: int) -> list[str]:
    """Bits per byte by source."""
    rows = []
    for one in bits:
        name, *figures = bits_row(one)
        rows.append([for_terminal(name), *figures])
    return draw_table(_BITS, rows, width)


def position_lines(bits: Sequence[SourceBits], width: int) -> list[str]:
    """Bits per byte by the place in a document, a row for each stretch."""
    places = {(part["from"], part["to"]): None for one in bits for part in one.by_position}
    columns = [Column("bytes of the document", is_text=True)]
    for one in bits:
        columns += [Column(for_terminal(one.name)), Column("95 %", rank=1)]
    rows = []
    for low, high in sorted(places, key=lambda place: place[0]):
        row = [f"{low:,} to {high:,}" if high else f"from {low:,}"]
        for one in bits:
            part = next((part for part in one.by_position if part["from"] == low), None)
            row += ["", ""] if part is None else [f"{part['bits_per_byte']:.4f}", interval_text(part["interval"])]
        rows.append(row)
    return ["", *draw_table(columns, rows, width)]


def task_lines(scores: Sequence[TaskScore], width: int) -> list[str]:
    """The metrics of each task."""
    rows = [
        [
            for_terminal(score.name) if place == 0 else "",
            metric.name,
            f"{metric.value:.4f}",
            interval_text(metric.interval),
            f"{score.num_items:,}" if place == 0 else "",
            f"{score.shots}" if place == 0 else "",
        ]
        for score in scores
        for place, metric in enumerate(score.metrics)
    ]
    return draw_table(_TASKS, rows, width)


def difference_lines(differences: Sequence[Difference], width: int) -> list[str]:
    """Two models beside each other."""
    rows = [
        [
            for_terminal(one.name),
            one.metric,
            f"{one.a:.4f}",
            f"{one.b:.4f}",
            f"{one.b - one.a:+.4f}",
            interval_text(one.interval, "+.4f"),
            "" if one.only_a is None else f"{one.only_a:,}",
            "" if one.only_b is None else f"{one.only_b:,}",
            f"{one.p_value:.2g}",
            "yes" if one.differ else "no",
        ]
        for one in differences
    ]
    return draw_table(_DIFFERENCES, rows, width)


def bits_as_table(one: SourceBits) -> dict[str, Any]:
    """A source's figures as JSON can hold them."""
    return {
        "source": one.name,
        "bits_per_byte": one.bits_per_byte,
        "interval": one.interval,
        "documents": one.num_documents,
        "bytes": one.num_bytes,
        "tokens": one.num_tokens,
        "perplexity": one.perplexity,
        "by_position": one.by_position,
    }


def task_as_table(score: TaskScore) -> dict[str, Any]:
    """A task's figures as JSON can hold them."""
    return {
        "task": score.name,
        "kind": score.of,
        "shots": score.shots,
        "items": score.num_items,
        "cut": score.num_cut,
        "metrics": {metric.name: {"value": metric.value, "interval": metric.interval} for metric in score.metrics},
    }


def difference_as_table(one: Difference) -> dict[str, Any]:
    """A comparison as JSON can hold it."""
    return {
        "name": one.name,
        "metric": one.metric,
        "count": one.count,
        "a": one.a,
        "b": one.b,
        "difference": one.b - one.a,
        "interval": one.interval,
        "only_a": one.only_a,
        "only_b": one.only_b,
        "p_value": one.p_value,
        "differ": one.differ,
    }
