"""``textmill runs``: what became of them."""

from __future__ import annotations

from cyclopts import App

runs_app = App(
    name="runs",
    help="""List runs, look into one, compare several.

For example:
    textmill runs ls                          where each run stands
    textmill runs show tiny                   its curve, scores, checkpoints
    textmill runs compare tiny wide           what differs, and what came of it
    textmill runs compare tiny wide --html compare.html
""",
    help_format="plaintext",
)
# By name: only the module of the command that is asked for is imported.
_COMMANDS = {"ls": "runs_ls:ls", "show": "runs_show:show", "compare": "runs_compare:compare"}
for _name, _place in _COMMANDS.items():
    runs_app.command(f"textmill.cli.{_place}", name=_name)
