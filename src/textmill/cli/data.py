"""``textmill data``: from raw files to the batches of a run."""

from __future__ import annotations

from cyclopts import App

data_app = App(
    name="data",
    help="""Prepare text for training.

For example:
    textmill data decontaminate web.jsonl --against gsm8k.jsonl -o clean.jsonl
    textmill data quality train --good wiki/ --bad web.jsonl -o quality.safetensors
""",
    help_format="plaintext",
)
_COMMANDS = {
    "decontaminate": "data_decontaminate:decontaminate",
    "quality": "data_quality:quality_app",
}
for _name, _place in _COMMANDS.items():
    data_app.command(f"textmill.cli.{_place}", name=_name)
