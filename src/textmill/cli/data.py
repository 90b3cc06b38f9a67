"""``textmill data``: from raw files to the exact batch."""

from __future__ import annotations

from cyclopts import App

data_app = App(
    name="data",
    help="""Prepare text for training, plan a run's data, and look into both.

For example:
    textmill data prepare pipeline.toml          raw files to shard sets
    textmill data show shards --verify           what they hold, and whether all is whole
    textmill data plan smollm2-1.7b              tokens, epochs and days of a recipe
    textmill data inspect runs/mine --step 900   the documents of a batch
    textmill data decontaminate web.jsonl --against gsm8k.jsonl -o clean.jsonl
    textmill data quality train --good wiki/ --bad web.jsonl -o quality.safetensors
""",
    help_format="plaintext",
)
# By name: only the module of the command that is asked for is imported.
_COMMANDS = {
    "prepare": "data_prepare:prepare",
    "show": "data_show:show",
    "plan": "data_plan:plan",
    "inspect": "data_inspect:inspect",
    "decontaminate": "data_decontaminate:decontaminate",
    "quality": "data_quality:quality_app",
}
for _name, _place in _COMMANDS.items():
    data_app.command(f"textmill.cli.{_place}", name=_name)
