"""``textmill data``: from raw files to the exact batch of a step."""

from __future__ import annotations

from cyclopts import App

from textmill.cli.data_inspect import inspect
from textmill.cli.data_show import show

data_app = App(
    name="data",
    help="""Look into shard sets and batches.

For example:
    textmill data show runs/tiny/shards
    textmill data inspect runs/tiny --step 100
""",
    help_format="plaintext",
)
for command in (show, inspect):
    data_app.command(command)
