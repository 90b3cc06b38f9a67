"""What was measured, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from data_speed.bars import LINES
from data_speed.parts import PARTS
from data_speed.tables import SECTIONS, bars_table

Records = dict[str, dict[str, Any]]


def page(records: Records) -> str:
    """Lay out all that was measured: when and where, the bars, and the figures behind them."""
    lines = (line for part, lay_out in LINES.items() if part in records for line in lay_out(records[part]["figures"]))
    texts = [origin(records), bars_table(lines)]
    for part, heading, lay_out in SECTIONS:
        if part in records:
            texts.append(f"### {heading}\n\n{lay_out(records[part]['figures'])}")
    return "\n".join(texts)


def origin(records: Records) -> str:
    """Say when and where each part ran."""
    lines = []
    for machine in dict.fromkeys(record["machine"] for record in records.values()):
        own = {part: record for part, record in records.items() if record["machine"] == machine}
        lines.append(f"{machine} {'; '.join(_runs(own))}.\n")
    missing = [part for part in PARTS if part not in records]
    return "".join([*lines, f"Not measured: {', '.join(missing)}.\n" if missing else ""])


def _runs(records: Records) -> Iterator[str]:
    """Name the parts that ran alike: the day, the rounds, and how busy the machine was before."""
    for alike, of in groupby(records, lambda part: [records[part][key] for key in ("date", "load", "rounds")]):
        date, load, rounds = alike
        yield f"{date}, load {load:.1f} before, {rounds} round{'s' if rounds != 1 else ''}: {', '.join(of)}"
