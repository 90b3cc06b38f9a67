"""Recipes: what is read, what is refused, and where paths start."""

import json

import pytest

from textmill.base.errors import ConfigError
from textmill.train.recipe import load_recipe, recipe_names

SMALL = """
[run]
dir = "runs/x"
[tokenizer]
vocab_size = 512
[model]
preset = "tiny"
[data.sources.web]
path = "texts"
[budget]
steps = 10
"""


@pytest.fixture
def recipe_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(SMALL)
    return path


def test_the_shipped_recipes_load():
    assert "tiny" in recipe_names()
    for name in recipe_names():
        assert load_recipe(name) == load_recipe(f"{name}.toml")


def test_paths_start_at_the_recipes_folder_and_the_run_does_not(recipe_file):
    recipe = load_recipe(recipe_file)
    assert recipe.data.sources["web"].path == str(recipe_file.parent / "texts")
    assert recipe.run.dir == "runs/x"
    recipe_file.write_text(SMALL.replace('path = "texts"', 'path = "stdlib"'))
    assert load_recipe(recipe_file).data.sources["web"].path == "stdlib"


def test_settings_lie_over_the_recipe(recipe_file):
    recipe = load_recipe(recipe_file, ["model.num_hidden_layers=8", "run.seed=7"])
    assert (recipe.model.num_hidden_layers, recipe.run.seed) == (8, 7)


def test_paths_in_settings_start_at_the_working_directory(recipe_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe(recipe_file, ["data.sources.web.path=here", "eval.data=there"])
    assert recipe.data.sources["web"].path == str(tmp_path / "here")
    assert recipe.eval.data == str(tmp_path / "there")


def test_one_budget_unsets_the_others(recipe_file):
    budget = load_recipe(recipe_file, ["budget.minutes=3"]).budget
    assert (budget.steps, budget.minutes) == (None, 3.0)
    assert load_recipe(recipe_file, ["budget.minutes=3", "budget.tokens=6e3"]).budget.tokens == 6000


def test_sources_weigh_the_same_unless_the_mixture_says(recipe_file):
    assert load_recipe(recipe_file).mixture == {"web": 1.0}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("modle.preset=tiny", r'unknown key "modle"; did you mean "model"\?'),
        ("model.hiden_size=3", r'unknown key "model.hiden_size"; did you mean "hidden_size"\?'),
        ("budget.hours=3", r'unknown key "budget.hours"'),
        ("budget.steps=0", "budget.steps is 0, and must be above 0"),
        ("budget={ steps = 3, minutes = 2 }", "takes one of steps, tokens and minutes, and has steps and minutes"),
        ("budget={}", "does not say how long to train"),
        ("stages=[{ mixture = { wbe = 1 } }]", r'the mixture names "wbe", which is no source; did you mean "web"\?'),
        ("stages=[]", r"the recipe has no \[\[stages\]\]"),
        ("stages=[{}, { mixture = { wbe = 1 } }]", r'the mixture names "wbe"'),
        ("stages=[{ tokens = 0 }]", "must be 1 or more"),
        ("data.sources={ web = { part = [0.5, 0.5] } }", "must be two shares of 1"),
        ("data.sources={ web = { part = [0.5] } }", "must be two shares of 1"),
        ("data.sources={ web = { tokens = 0 } }", "tokens are 0, and must be 1 or more"),
        ("data.sources={ web = { max_epochs = 0 } }", "max_epochs is 0"),
        ('schedule={ kind = "cosine", decay_fraction = 0.1 }', 'decay_fraction is given, and kind = "cosine" has none'),
        ('schedule={ kind = "cosine", decay = "linear" }', 'decay is given, and kind = "cosine" has none'),
        ("schedule.min_lr_ratio=0.1", 'min_lr_ratio is given, and kind = "wsd" has none'),
        ('schedule={ kind = "cosine", min_lr_ratio = 2 }', "min_lr_ratio is 2"),
        ("schedule.decay=square", '"schedule.decay" is "square"'),
        ("data.sources={}", r"\[data.sources\] is empty"),
        ("batch={ rows = 6, micro_rows = 4 }", "micro_rows must divide rows"),
        ("schedule.peak_lr=-1", "schedule.peak_lr is -1"),
        ("schedule.decay_fraction=2", "must be between 0 and 1"),
        ("schedule.warmup_steps=-2", "must be 0 or more"),
        ("schedule.kind=step", '"schedule.kind" is "step"'),
        ("checkpoint.keep=0", "must be 1 or more"),
        ("eval.every_steps=0", "must be 1 or more"),
        ("tokenizer={}", "takes either path"),
        ('tokenizer={ path = "x", pattern = "gpt2" }', "pattern is for one that is trained"),
        ('model={ from = "x", preset = "tiny" }', "leave preset out"),
        ("run.dir=1979-05-27", "must be a string"),
        ("run.threads=0", "must be 1 to 1024"),
        ("run.threads=-1", "must be 1 to 1024"),
        ("optimizer.betas=[2, 0.95]", r"optimizer.betas is \[2.0, 0.95\]"),
        ("optimizer.betas=[0.9]", "must be two numbers from 0 to below 1"),
        ("optimizer.eps=-1", "optimizer.eps is -1"),
        ("optimizer.clip_grad_norm=0", "must be above 0"),
        ("budget.minutes=inf", "must be above 0 and finite"),
        ("budget.minutes=nan", "must be above 0 and finite"),
        ("stages=[{ context = 0 }]", "must be 1 or more"),
        ('data.sources={ "../x" = { path = "y" } }', "cannot be the name of a source"),
        ('data.sources={ all = { path = "y" } }', "cannot be the name of a source"),
        ("eval.holdout=1.5", "must be between 0 and 1"),
    ],
)
def test_what_is_wrong_is_named(recipe_file, setting, message):
    with pytest.raises(ConfigError, match=message):
        load_recipe(recipe_file, [setting])


def test_a_recipe_without_a_tokenizer_starts_from_a_model(recipe_file):
    text = SMALL.replace("[tokenizer]\nvocab_size = 512\n", "")
    recipe_file.write_text(text)
    with pytest.raises(ConfigError, match=r"\[tokenizer\] is missing"):
        load_recipe(recipe_file)
    recipe_file.write_text(text.replace('preset = "tiny"', 'from = "base"'))
    (recipe_file.parent / "base").mkdir()
    assert load_recipe(recipe_file).model.from_ == str(recipe_file.parent / "base")


def test_a_name_that_is_no_recipe():
    with pytest.raises(ConfigError, match=r'there is no recipe "tinny"; did you mean "tiny"\?'):
        load_recipe("tinny")


def test_a_run_that_is_not_there_is_told_with_the_nearest(tmp_path, monkeypatch):
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    (tmp_path / "runs" / "mine" / "events.jsonl").touch()
    monkeypatch.chdir(tmp_path)
    for name in ("mine", "runs/mime"):
        with pytest.raises(ConfigError, match=rf'"{name}"; did you mean "runs/mine"\?'):
            load_recipe(name)


def test_a_runs_recipe_is_read_from_its_configuration(recipe_file, tmp_path):
    recipe = load_recipe(recipe_file)
    run = tmp_path / "moved"
    run.mkdir()
    (run / "config.json").write_text(json.dumps({"recipe": recipe.to_table()}))
    again = load_recipe(run)
    assert again.run.dir == str(run)
    assert again.data == recipe.data
    (run / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="is not the configuration of a run"):
        load_recipe(run)


def test_several_stages_are_read_each_with_its_own_mixture(recipe_file):
    stages = "stages=[{ name = 'a', tokens = 6e12 }, { name = 'b', rope_theta = 2e4, mixture = { web = 0.5 } }]"
    recipe = load_recipe(recipe_file, [stages])
    assert [stage.name for stage in recipe.stages] == ["a", "b"]
    assert recipe.stage.tokens == 6 * 10**12
    assert [recipe.mixture_of(stage) for stage in recipe.stages] == [{"web": 1.0}, {"web": 0.5}]
    assert [recipe.rope_theta_of(stage) for stage in recipe.stages] == [10_000, 20_000]


def test_one_rope_theta_counts(recipe_file):
    for stage in ("{}", "{ rope_theta = 5e5 }"):
        recipe = load_recipe(recipe_file, ["model.rope_theta=5e5", f"stages=[{stage}]"])
        assert recipe.rope_theta_of(recipe.stage) == 500_000
    with pytest.raises(ConfigError, match="has rope_theta = 10000, and .* 500000; leave one of them out"):
        load_recipe(recipe_file, ["model.rope_theta=5e5", "stages=[{ rope_theta = 1e4 }]"])


def test_a_schedule_without_its_keys_has_those_of_its_kind(recipe_file):
    schedule = load_recipe(recipe_file).schedule
    assert (schedule.decay_fraction, schedule.decay, schedule.min_lr_ratio) == (0.4, "linear", None)
    schedule = load_recipe(recipe_file, ["schedule.kind=cosine"]).schedule
    assert (schedule.decay_fraction, schedule.decay, schedule.min_lr_ratio) == (None, None, 0.1)


@pytest.mark.parametrize("kind", ["wsd", "cosine"])
def test_what_is_resolved_is_read_back(recipe_file, kind, tmp_path):
    settings = [f"schedule.kind={kind}", "data.sources.web.part=[0.25, 0.5]", "stages=[{ name = 'a' }]"]
    recipe = load_recipe(recipe_file, settings)
    (tmp_path / "config.json").write_text(json.dumps({"recipe": recipe.to_table()}))
    again = load_recipe(tmp_path)
    assert (again.schedule, again.data, again.stages) == (recipe.schedule, recipe.data, recipe.stages)
