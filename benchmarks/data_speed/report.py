"""What was measured, as Markdown."""

from __future__ import annotations

from data_speed.bars import LINES
from data_speed.parts import PARTS
from data_speed.tables import SECTIONS, bars_table
from records import Records, origin


def page(records: Records) -> str:
    """Lay out all that was measured: when and where, the bars, and the figures behind them."""
    lines = (line for part, lay_out in LINES.items() if part in records for line in lay_out(records[part]["figures"]))
    texts = [origin(records, PARTS), bars_table(lines)]
    for part, heading, lay_out in SECTIONS:
        if part in records:
            texts.append(f"### {heading}\n\n{lay_out(records[part]['figures'])}")
    return "\n".join(texts)
