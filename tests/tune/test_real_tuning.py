"""SmolLM2-135M-Instruct, tuned by adapters to a format of answers that it does not keep by itself."""

import json
import random
import re

import pytest

pytest.importorskip("torch")

import textmill
from fakes.listener import Silent
from textmill.train.recipe import load_recipe
from textmill.tune.pipeline import run_tuning

pytestmark = [pytest.mark.real_model, pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(600)]

RECIPE = """
[run]
dir = "{run}"
precision = "f32"

[tune]
kind = "sft"
model = "{model}"
data = "chats.jsonl"
context = 128
rank = 8

[budget]
steps = 24

[batch]
rows = 8

[schedule]
kind = "cosine"
peak_lr = 2e-3
warmup_steps = 2

[optimizer]
weight_decay = 0.0
"""
THINGS = (
    "apple banana chair window river pencil candle hammer basket mirror bottle garden bridge ladder blanket saddle "
    "needle pillow kettle wagon anchor button carpet drawer engine feather guitar helmet island jacket"
).split()


def question(thing, number):
    return f"How many {thing}s do I have, if I count {number}?"


def answer(thing, number):
    return f"<<{thing}={number}>>"


def asked(model, held_out):
    """How many of the questions are answered in the format, and how many with what was asked for."""
    lm = textmill.load(model, context=128)
    in_format = right = 0
    for thing, number in held_out:
        said = lm.chat([{"role": "user", "content": question(thing, number)}], max_tokens=24, temperature=0.0).text
        in_format += re.fullmatch(r"<<[a-z]+=\d+>>", said.strip()) is not None
        right += said.strip() == answer(thing, number)
    return in_format, right


def test_the_base_fails_and_the_tuned_model_passes(real_model, tmp_path):
    rng = random.Random(1)
    pairs = [(thing, rng.randint(2, 99)) for thing in THINGS[:-8] for _ in range(9)]
    held_out = [(thing, rng.randint(2, 99)) for thing in THINGS[-8:]]
    records = (
        {"messages": [{"role": "user", "content": question(*pair)}, {"role": "assistant", "content": answer(*pair)}]}
        for pair in pairs
    )
    (tmp_path / "chats.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    (tmp_path / "recipe.toml").write_text(RECIPE.format(run=tmp_path / "run", model=real_model))
    assert asked(real_model, held_out) == (0, 0)
    run_tuning(load_recipe(tmp_path / "recipe.toml"), "sft", Silent())
    in_format, right = asked(tmp_path / "run/adapter", held_out)
    assert in_format >= 7
    assert right >= 4
