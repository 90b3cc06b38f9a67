"""What was measured, as tables and charts; what the model wrote, item by item."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from textmill.eval.measure import sum_sources
from textmill.eval.results import Results
from textmill.eval.table_rows import BITS_HEADS, bits_row, interval_text
from textmill.eval.tasks.summary import summarise_task
from textmill.eval.text_bits import SourceBits
from textmill.train.chart import Axes, Series, draw_chart
from textmill.train.page import figure, table

_SHOWN = 5
_MOST_CHARS = 3000


def bits(sources: Sequence[Results]) -> str:
    """Bits per byte by source, and by the place in a document."""
    found = sum_sources({one.header["source"]: one.records for one in sources})
    if not found:
        return ""
    cut = [html.escape(one.header["source"]) for one in sources if not one.is_whole]
    note = f" Interrupted, and so of their first documents only: {', '.join(cut)}." if cut else ""
    return (
        "<h2>Bits per byte</h2><p>What the model needs to write a text down, whatever its tokenizer; less is better. "
        f"Each document is scored by itself; the interval is of 95 %, over documents. Perplexity is of a token.{note}"
        "</p>" + table(BITS_HEADS, [bits_row(one) for one in found]) + _by_position(found)
    )


def _by_position(found: Sequence[SourceBits]) -> str:
    lines = []
    for number, one in enumerate(found):
        ends = np.array([part["to"] or 4 * part["from"] for part in one.by_position], np.float64)
        values = np.array([part["bits_per_byte"] for part in one.by_position], np.float64)
        if len(ends) > 1:
            lines.append(Series(one.name, ends, values, number))
    chart = draw_chart(Axes("byte of the document", "bits per byte", log_x=True), lines)
    return f'<div class="charts">{figure("By the place in a document", {"step": chart})}</div>' if chart else ""


def tasks(results: Sequence[Results]) -> str:
    """The metrics of each task."""
    rows = []
    for one in results:
        score = summarise_task(one.header, one.records)
        rows += [
            [
                score.name,
                metric.name,
                f"{metric.value:.4f}",
                interval_text(metric.interval),
                _num_items(one),
                f"{score.shots}",
            ]
            for metric in score.metrics
        ]
    if not rows:
        return ""
    return (
        "<h2>Tasks</h2><p>The interval is of 95 %. acc_norm divides log-probabilities by the characters of an answer, "
        "acc_bytes by its bytes.</p>"
        + table(("task", "metric", "score", "95 %", "items", "shots"), rows, text_columns=2)
    )


def _num_items(results: Results) -> str:
    """The items that a score is of; of how many where the evaluation was interrupted."""
    count = f"{len(results.records):,}"
    return count if results.is_whole else f"{count} of {results.num_expected:,}"


def outputs(results: Sequence[Results]) -> str:
    """What the model wrote for the first items of tasks that ask for it."""
    blocks = []
    for one in results:
        written = [record for record in one.records if "outputs" in record][:_SHOWN]
        blocks += [_output(one.header["task"], record) for record in written]
    return f"<h2>What it answered</h2>{''.join(blocks)}" if blocks else ""


def _output(task: str, record: Mapping[str, Any]) -> str:
    first = record["outputs"][0]
    mark = "right" if first["correct"] else "wrong"
    error = f"<p>{html.escape(first['error'])}</p>" if first.get("error") else ""
    return (
        f"<details><summary>{html.escape(task)}, {html.escape(record['id'])}: {mark}</summary><pre>"
        f"<b>{html.escape(record['prompt'][-_MOST_CHARS:])}</b>{html.escape(first['text'][:_MOST_CHARS])}</pre>{error}"
        "</details>"
    )
