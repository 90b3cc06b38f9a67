"""``textmill tune``: a model tuned on conversations, on preferences, or by rewards."""

from __future__ import annotations

import shlex
from typing import Annotated

from cyclopts import App, Parameter

from textmill.base.errors import require_extra
from textmill.cli.arguments import program
from textmill.cli.output import Output

tune_app = App(name="tune", help="Tune a model: on conversations, on preferences, or by rewards for its own answers.")

Recipe = Annotated[
    str, Parameter(help="A TOML file, a run folder (its recipe again), or the name of a recipe that comes along.")
]
Settings = Annotated[
    list[str] | None,
    Parameter(
        name="--set",
        negative="",
        help="Change a key of the recipe, as in table.key=value; may be given several times.",
    ),
]
Resume = Annotated[
    bool,
    Parameter(negative="", help="Go on from the run's last whole checkpoint; start afresh where there is none."),
]


@tune_app.command
def sft(recipe: Recipe, /, *, set_: Settings = None, resume: Resume = False) -> int:
    """Tune a model on conversations: it learns the assistant's answers.

    For example:
        textmill tune sft mine.toml
        textmill tune sft smollm2-135m-sft --set tune.data=chats.jsonl
        textmill tune sft mine.toml --set tune.rank=16     an adapter (LoRA), and not all weights
        textmill tune sft runs/mine --resume               go on after Ctrl-C or a crash

    A line of tune.data is an object with messages (OpenAI), conversations (ShareGPT), or instruction, input and output
    (Alpaca); see docs/guides/tuning.md.
    """
    return _tune("sft", recipe, set_, resume=resume)


@tune_app.command
def dpo(recipe: Recipe, /, *, set_: Settings = None, resume: Resume = False) -> int:
    """Tune a model on pairs of answers, of which one is preferred.

    For example:
        textmill tune dpo mine.toml
        textmill tune dpo smollm2-135m-dpo --set tune.data=pairs.jsonl
        textmill tune dpo mine.toml --set tune.beta=0.5
        textmill tune dpo runs/mine --resume               go on after Ctrl-C or a crash

    A line of tune.data is an object with prompt, chosen and rejected: texts, or lists of messages
    (docs/guides/preferences.md).
    """
    return _tune("dpo", recipe, set_, resume=resume)


@tune_app.command
def grpo(recipe: Recipe, /, *, set_: Settings = None, resume: Resume = False) -> int:
    """Tune a model by rewards for the answers that it writes itself.

    For example:
        textmill tune grpo mine.toml
        textmill tune grpo mine.toml --set tune.reward=rewards.py:score
        textmill tune grpo runs/mine --resume              go on after Ctrl-C or a crash

    A line of tune.data is an object with a prompt; tune.reward is a Python function that says how good an answer is
    (docs/guides/preferences.md). Its file is run: use only what you trust.
    """
    return _tune("grpo", recipe, set_, resume=resume)


def _tune(kind: str, recipe: str, settings: list[str] | None, *, resume: bool) -> int:
    require_extra("torch", "train", "tuning")
    from textmill.cli.listener import TrainListener
    from textmill.train.loop import ADAPTER, MODEL
    from textmill.train.recipe import load_recipe
    from textmill.tune.pipeline import run_tuning

    output = Output()
    with TrainListener(output) as listener:
        run = run_tuning(load_recipe(recipe, settings or ()), kind, listener, resume=resume)
    output.say(f"the model is in {run.folder / MODEL}, the report in {run.folder / 'report.html'}")
    if run.recipe.tune is not None and run.recipe.tune.rank is not None:
        output.say(f"the adapter by itself is in {run.folder / ADAPTER}, in PEFT's format")
    output.hint(f"next: {program()} chat {shlex.quote(str(run.folder / MODEL))}")
    output.data(str(run.folder))
    return 0
