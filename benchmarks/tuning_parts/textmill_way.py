"""A case by ``textmill tune sft``'s own code, in a process of its own: textmill_way.py CASE.json OUT.json."""

from __future__ import annotations

import json
import resource
import shutil
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from textmill.train.recipe import load_recipe
from textmill.tune.pipeline import run_tuning
from training_parts.silent import Silent

RECIPE = """
[run]
dir = "{folder}/run"
precision = "f32"
threads = {threads}

[tune]
kind = "sft"
model = "{model}"
data = "{data}"
context = {context}
rank = {rank}

[budget]
steps = {steps}

[batch]
rows = {rows}

[schedule]
peak_lr = 2e-4
warmup_steps = 0

[optimizer]
weight_decay = 0.0

[spikes]
action = "off"
"""


def main() -> None:
    """Tune, and write tokens a second (padding not counted) and the most memory."""
    case = json.loads(Path(sys.argv[1]).read_text())
    shutil.rmtree(Path(case["folder"]) / "run", ignore_errors=True)
    recipe = Path(case["folder"]) / "recipe.toml"
    recipe.write_text(RECIPE.format(**{"context": 1024, **case}))
    speeds: list[float] = []
    losses: list[float] = []

    def observe(event) -> None:
        if event.kind == "step":
            speeds.append(event.fields["tokens_per_s"])
            losses.append(event.fields["loss"])

    run_tuning(load_recipe(str(recipe)), "sft", Silent(observe))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    figures = {"tokens_per_s": statistics.median(speeds[2:]), "peak_bytes": peak, "first_loss": losses[0]}
    Path(sys.argv[2]).write_text(json.dumps(figures))


main()
