"""The small recipes run as they are: their sources are prepared, have rows for every stage, and are trained on."""

import os
import signal

import pytest

from fakes.listener import Silent
from textmill.base.errors import StoppedError
from textmill.base.events import read_events
from textmill.data.manifest import read_manifest
from textmill.data.prepare_listener import Silence
from textmill.data.stages import DataStage, StagedLoader
from textmill.train.corpus import make_corpus, open_shards
from textmill.train.data_plan import plan_data
from textmill.train.recipe import load_recipe
from textmill.train.stage_steps import rows_of, stage_steps

pytestmark = pytest.mark.slow


# One of each mixture: seven sources, four stages with an extension, one source, two.
@pytest.mark.parametrize("name", ["llama-65b-mini", "smollm2-1.7b-mini", "smollm2-135m-mini", "tinyllama-1.1b-mini"])
def test_every_stage_finds_its_rows_and_tokens_are_about_what_the_recipe_says(tmp_path, name):
    recipe = load_recipe(name)
    tokenizer = make_corpus(tmp_path, recipe, None, Silence())
    shards, held_out = open_shards(tmp_path, recipe, tokenizer)
    assert list(shards) == list(recipe.data.sources)
    assert sum(read_manifest(tmp_path / "shards" / source).num_bytes for source in shards) > 10e6
    assert held_out
    stages = [
        DataStage(
            num_steps=num_steps, mixture=recipe.mixture_of(stage), rows=rows_of(recipe, stage), context=stage.context
        )
        for stage, num_steps in zip(recipe.stages, stage_steps(recipe), strict=True)
    ]
    loader = StagedLoader(shards, stages, seed=1)
    assert loader.num_steps == plan_data(recipe).num_steps
    step = 0
    for stage in stages:
        for batch in (loader.batch(step), loader.batch(step + stage.num_steps - 1)):
            assert batch.inputs.shape == (stage.rows, stage.context)
            assert set(batch.sources) <= set(stage.mixture)
        step += stage.num_steps
    if not name.startswith("smollm2-1.7b"):  # whose tokens are the paper's, scaled
        for source, table in recipe.data.sources.items():
            assert shards[source].num_tokens == pytest.approx(table.tokens, rel=0.25), source


def test_four_stages_are_trained_on(tmp_path):
    pytest.importorskip("torch")
    from textmill.train.pipeline import run_recipe

    def stop(event):
        if event.kind == "step" and event.step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    recipe = load_recipe("smollm2-1.7b-mini", [f"run.dir={tmp_path / 'run'}", "run.precision=f32"])
    with pytest.raises(StoppedError, match="stopped at step 2 of 1342"):
        run_recipe(recipe, Silent(stop))
    start = next(event for event in read_events(tmp_path / "run" / "events.jsonl") if event.kind == "start")
    assert [stage["name"] for stage in start.fields["stages"]][-2:] == ["decay", "context-extension"]
