"""The twin of ``token_stream`` in plain Python."""

from __future__ import annotations

from collections.abc import Sequence

from textmill.text.token_stream import IGNORED, RowPlan


def gather(stream: Sequence[int], plan: RowPlan, *, context: int, padding: int) -> list[list[list[int]]]:
    """Gather rows from a stream of ids; returns inputs, targets, positions and segments of each row."""
    rows = []
    for row in range(len(plan.row_segments) - 1):
        inputs: list[int] = []
        targets: list[int] = []
        positions: list[int] = []
        segments: list[int] = []
        number = 0
        for segment in range(plan.row_segments[row], plan.row_segments[row + 1]):
            tokens = []
            for span in range(plan.segment_spans[segment], plan.segment_spans[segment + 1]):
                place = int(plan.span_places[span])
                tokens += [-1 - place] if place < 0 else stream[place : place + int(plan.span_lengths[span])]
            first = int(plan.segment_firsts[segment])
            inputs += ([-1 - first if first < 0 else stream[first], *tokens])[: len(tokens)]
            targets += tokens
            positions += range(len(tokens))
            segments += [number] * len(tokens)
            number += 1
        spare = context - len(targets)
        rows.append(
            [
                inputs + [padding] * spare,
                targets + [IGNORED] * spare,
                [*positions, *range(spare)],
                segments + [number] * spare,
            ]
        )
    return rows
