"""How much there is to set: the keys of a recipe, and the options of ``textmill train``. All numbers are frozen.

A model's sizes, by the names of its config.json, say what is trained and not how: they are counted by themselves.
So are the keys of ``[tune]``: a run of pretraining has none of them, and a run of tuning those of its kind.
"""

import dataclasses
import inspect
import typing
from pathlib import Path

from textmill.cli.train import train
from textmill.model.config import ModelConfig
from textmill.train.recipe import Recipe

# The last keys are optimizer.ema_decay and optimizer.z_loss: what they are worth depends on the run, and no rule that
# is published gives them from its size or length; and schedule.warmup_fraction: where epochs of data say how long a run
# is, its steps are not known when the recipe is written. Of tuning it is tune.dora: whether rows learn magnitudes is
# another way to adapt, which costs memory, and none that data or sizes would tell.
NUM_RECIPE_KEYS, NUM_SIZES, NUM_TUNE_KEYS = 60, 13, 26
# The last is --mesh: which processes there are, and what joins them, is of the machines and not of the run.
NUM_TRAIN_OPTIONS = 9
REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "recipes.md"
WHAT_TO_DO = (
    "\nEvery knob is one more thing to understand, to test with all others and to keep working for ever. First try to "
    "do without: derive the value and tell it with its reason (textmill.train.dial), or measure it. Where it has to "
    "be, put its row into docs/reference/recipes.md, and the new number here, in a commit that says why."
)


def keys_of(cls, where=""):
    """The dotted names of all keys below a table; ``[]`` is a list, ``NAME`` any name."""
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        if field.metadata.get("not_a_key"):
            continue
        name, kind = where + field.name.rstrip("_"), hints[field.name]
        parts = [kind, *typing.get_args(kind)]
        table = next((part for part in parts if dataclasses.is_dataclass(part)), None)
        if table is None:
            yield name
        else:
            several = {tuple: "[].", dict: ".NAME."}.get(typing.get_origin(kind), ".")
            yield from keys_of(table, name + several)


def test_the_number_of_recipe_keys_is_frozen():
    sizes = {f"model.{field.name}" for field in dataclasses.fields(ModelConfig)}
    every = set(keys_of(Recipe))
    tune = sorted(key for key in every if key.startswith("tune."))
    keys, of_models = sorted(every - sizes - set(tune)), sorted(every & sizes)
    assert len(keys) == NUM_RECIPE_KEYS, f"a recipe has {len(keys)} keys: {', '.join(keys)}.{WHAT_TO_DO}"
    assert len(of_models) == NUM_SIZES, f"a model has {len(of_models)} sizes: {', '.join(of_models)}.{WHAT_TO_DO}"
    assert len(tune) == NUM_TUNE_KEYS, f"[tune] has {len(tune)} keys: {', '.join(tune)}.{WHAT_TO_DO}"


def test_the_number_of_options_of_train_is_frozen():
    options = list(inspect.signature(train).parameters)
    assert len(options) == NUM_TRAIN_OPTIONS, f"textmill train has {len(options)} options: {options}.{WHAT_TO_DO}"


def test_every_key_is_in_the_reference():
    rows = [line for line in REFERENCE.read_text().splitlines() if line.startswith("| `")]
    for key in keys_of(Recipe):
        table, leaf = key.rpartition(".")[::2]
        in_rows = [row for row in rows if row.startswith(f"| `{table}.")]
        assert any(f"`{name}`" in row for row in in_rows for name in (key, leaf)), f"{key} is not in {REFERENCE.name}"
