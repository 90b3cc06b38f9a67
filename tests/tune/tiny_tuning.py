"""Recipes that tune a model of a few kilobytes in a second, and a run of one that dies on its way."""

import json
import os
import signal

from fakes.listener import Silent
from fakes.tiny_model import write_model

WORDS = "the quick brown fox jumps over the lazy dog while seven wizards box".split()
REWARD = """
def share(completion, letter):
    return completion.count(letter) / (len(completion) + 1)
"""
RECIPE = """
[run]
dir = "{run}"
precision = "f32"
threads = 1

[tune]
model = "base"
{tune}

[batch]
rows = {rows}
micro_rows = {micro_rows}

[schedule]
peak_lr = {peak_lr}
warmup_fraction = 0.1

[optimizer]
weight_decay = 0.0

[checkpoint]
every_steps = 4
"""
TUNE = {
    "sft": 'kind = "sft"\ndata = "chats.jsonl"\ncontext = 128\nepochs = 4',
    "dpo": 'kind = "dpo"\ndata = "pairs.jsonl"\ncontext = 128\nepochs = 4',
    "grpo": 'kind = "grpo"\ndata = "prompts.jsonl"\nreward = "rewards.py:share"\ncontext = 64\nmax_tokens = 8',
}
COMMON = {
    "sft": {"rows": 8, "micro_rows": 2, "peak_lr": 1e-2},
    "dpo": {"rows": 8, "micro_rows": 4, "peak_lr": 3e-3},
    "grpo": {"rows": 32, "micro_rows": 8, "peak_lr": 2e-2},
}


def write_recipe(folder, kind):
    """Write a model, data and a recipe for them into a folder; returns the recipe's path."""
    folder.mkdir(parents=True, exist_ok=True)
    write_model(folder / "base")
    (folder / "chats.jsonl").write_text("".join(json.dumps(_chat(i)) + "\n" for i in range(24)))
    (folder / "pairs.jsonl").write_text("".join(json.dumps(_pair(i)) + "\n" for i in range(24)))
    (folder / "prompts.jsonl").write_text(
        "".join(json.dumps({"prompt": _asked(i), "letter": "o"}) + "\n" for i in range(10))
    )
    (folder / "rewards.py").write_text(REWARD)
    path = folder / "recipe.toml"
    path.write_text(RECIPE.format(run=folder / "run", tune=TUNE[kind], **COMMON[kind]))
    return path


def _asked(number):
    return " ".join(WORDS[(number * 7 + k) % len(WORDS)] for k in range(3))


def _chat(number):
    turns = [
        {"role": "user", "content": _asked(number)},
        {"role": "assistant", "content": WORDS[number % 5] + " fox"},
    ]
    more = [{"role": "user", "content": "seven"}, {"role": "assistant", "content": "wizards box"}]
    return {"messages": turns + more * (number % 3)}


def _pair(number):
    return {
        "prompt": [{"role": "user", "content": _asked(number)}],
        "chosen": WORDS[number % 5] + " fox",
        "rejected": WORDS[(number + 3) % 11] + " box box",
    }


def tune(path, kind, settings, at=None, by=signal.SIGKILL):
    """Tune, or go on; the process gets a signal ``by`` once the step ``at`` is told."""
    from textmill.train import decide
    from textmill.train.recipe import load_recipe
    from textmill.tune.pipeline import run_tuning

    os.fsync = lambda file: None  # what is written outlives its process without it
    decide.peak_flops_per_s = lambda precision, device: 1e12

    def strike(event):
        if event.kind == "step" and event.step == at:
            os.kill(os.getpid(), by)

    listener = Silent(strike)
    run_tuning(load_recipe(path, settings), kind, listener, resume=True)
    return listener
