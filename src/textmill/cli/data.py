"""``textmill data``: from raw files to the batches of a run."""

from __future__ import annotations

from cyclopts import App

from textmill.cli.data_decontaminate import decontaminate
from textmill.cli.data_quality import quality_app

data_app = App(
    name="data",
    help="""Prepare text for training.

For example:
    textmill data decontaminate web.jsonl --against gsm8k.jsonl -o clean.jsonl
    textmill data quality train --good wiki/ --bad web/ -o q.safetensors
""",
    help_format="plaintext",
)
data_app.command(decontaminate)
data_app.command(quality_app)
