"""What a recipe leaves open: derived from parameters or minutes, kept where it is given, refused where it cannot be."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.base.errors import ConfigError
from textmill.model.flops import training_flops_per_token
from textmill.train.data_plan import plan_data
from textmill.train.dial import rules
from textmill.train.dial.derive import derive
from textmill.train.planned_model import planned_model
from textmill.train.recipe import DERIVED_KEYS, load_recipe

RECIPE = """
[run]
dir = "runs/x"
[tokenizer]
vocab_size = 8192
[data.sources.web]
tokens = 1e12
"""


@pytest.fixture
def load(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(RECIPE)
    return lambda *settings: load_recipe(path, settings)


def machine(flops_per_s):
    """A machine that does so many operations a second, and counts how often it was measured."""

    def speed(recipe, config):
        speed.looks.append((recipe, config))
        return flops_per_s

    speed.looks = []
    return speed


def told(derivation):
    return {value.key: value.value for value in derivation.values}


def test_parameters_give_everything_that_is_left_open(load):
    recipe = load("model.params=30M")
    assert recipe.left_open == (*DERIVED_KEYS, "budget.tokens")
    derivation = derive(recipe, vocab_size=8192)
    settled = derivation.recipe
    assert settled.left_open == ()
    assert set(told(derivation)) == set(recipe.left_open)
    assert {key: settled.value_of(key) for key in recipe.left_open} == told(derivation)
    model = planned_model(settled)
    assert model.num_parameters == pytest.approx(30e6, rel=0.1)
    assert settled.budget.tokens == 20 * model.num_parameters
    assert settled.model.params is None


def test_each_value_is_told_in_one_line_with_its_reason(load):
    for value in derive(load("model.params=30M"), vocab_size=8192).values:
        assert str(value).startswith(f"{value.key} = ")
        assert "\n" not in str(value)
        assert len(value.reason) > 20


@settings(max_examples=60, deadline=None)
@given(st.floats(6.7, 11))
def test_the_rules_hold_whatever_the_size(exponent):
    params = round(10**exponent)
    recipe = load_recipe("tiny", [f"model.params={params}", "model.tie_word_embeddings=true", "budget.tokens=1e9"])
    derivation = derive(recipe, vocab_size=4096)
    model = planned_model(derivation.recipe)
    assert model.num_parameters == pytest.approx(params, rel=0.1)
    assert set(told(derivation)) == set(recipe.left_open)
    assert recipe.schedule.peak_lr == 3e-3 == derivation.recipe.schedule.peak_lr, "the recipe gives it"


@settings(max_examples=100, deadline=None)
@given(st.floats(5, 13))
def test_batches_grow_and_rates_fall(exponent):
    tokens = 10**exponent
    assert rules.batch_tokens(10 * tokens) / rules.batch_tokens(tokens) == pytest.approx(10**0.383)
    assert rules.peak_lr(10 * tokens) <= rules.peak_lr(tokens) <= rules.MAX_LR
    steps = max(1, round(tokens / rules.batch_tokens(tokens)))
    assert rules.batch_tokens_of_steps(steps) == pytest.approx(rules.batch_tokens(tokens), rel=0.7 / steps + 1e-9)


def test_rules_give_what_their_sources_have():
    assert rules.best_tokens_per_parameter(1e21) == 20
    assert rules.best_tokens_per_parameter(1.5e12) == pytest.approx(575_379 / 370e3, rel=0.05)
    assert rules.batch_tokens(2.1e12) == pytest.approx(2**20)  # SmolLM2-135M
    assert rules.batch_tokens(1.73e6) == pytest.approx(4096, rel=0.25)  # the demo's, which was chosen by measuring
    assert rules.peak_lr(1e18) == pytest.approx(0.3118 * 10**-2.25, rel=5e-3)
    assert rules.warmup_steps(1_000_000) == 2000


@pytest.mark.parametrize(
    ("setting", "key", "value"),
    [
        ("model.hidden_size=384", "model.hidden_size", 384),
        ("model.num_hidden_layers=12", "model.num_hidden_layers", 12),
        ("model.num_attention_heads=4", "model.num_attention_heads", 4),
        ("model.num_key_value_heads=1", "model.num_key_value_heads", 1),
        ("model.head_dim=32", "model.head_dim", 32),
        ("model.intermediate_size=1024", "model.intermediate_size", 1024),
        ("model.tie_word_embeddings=true", "model.tie_word_embeddings", True),
        ("batch.rows=7", "batch.rows", 7),
        ("schedule.peak_lr=1e-4", "schedule.peak_lr", 1e-4),
        ("schedule.warmup_steps=3", "schedule.warmup_steps", 3),
        ("budget.tokens=5e6", "budget.tokens", 5_000_000),
    ],
)
def test_what_is_given_stays_and_the_others_follow(load, setting, key, value):
    derivation = derive(load("model.params=30M", setting), vocab_size=8192)
    assert derivation.recipe.value_of(key) == value
    assert key not in told(derivation), "what is given is not told as derived"
    assert planned_model(derivation.recipe).num_parameters == pytest.approx(30e6, rel=0.1)


def test_a_shorter_run_has_a_smaller_batch_and_a_higher_rate(load):
    long = derive(load("model.params=100M"), vocab_size=8192).recipe
    short = derive(load("model.params=100M", "budget.tokens=1e8"), vocab_size=8192).recipe
    assert short.batch.rows < long.batch.rows
    assert short.schedule.peak_lr > long.schedule.peak_lr
    assert short.model == long.model


@pytest.mark.parametrize("steps", [1, 50, 20_000])
def test_steps_give_the_batch_that_their_tokens_would(load, steps):
    by_steps = derive(load("model.params=30M", f"budget.steps={steps}"), vocab_size=8192).recipe
    tokens = steps * by_steps.batch.rows * 512
    by_tokens = derive(load("model.params=30M", f"budget.tokens={tokens}"), vocab_size=8192).recipe
    ratio = by_steps.batch.rows / by_tokens.batch.rows
    assert 0.5 <= ratio <= 2
    assert by_steps.schedule.peak_lr == by_tokens.schedule.peak_lr


def test_rows_can_be_cut_for_every_stage_and_into_micro_rows(load):
    stages = "stages=[{ name = 'a', tokens = 1e7, context = 256 }, { name = 'b', tokens = 1e6, context = 768 }]"
    rows = derive(load("model.params=30M", stages, "batch.micro_rows=5"), vocab_size=8192).recipe.batch.rows
    assert rows % 15 == 0


def test_no_more_than_four_times_the_text_there_is(load):
    recipe = load("model.params=30M")
    assert derive(recipe, vocab_size=8192, unique_tokens=10**6).recipe.budget.tokens == 4 * 10**6
    plenty = derive(recipe, vocab_size=8192, unique_tokens=10**12)
    assert plenty.recipe == derive(recipe, vocab_size=8192).recipe


def test_minutes_give_the_size_that_has_the_best_tokens_a_parameter(load):
    for flops_per_s, best in ((2e11, 3.2), (1e14, 9.2), (1e17, 20)):
        speed = machine(flops_per_s)
        derivation = derive(load("budget.minutes=10"), vocab_size=8192, speed=speed)
        model = planned_model(derivation.recipe)
        tokens = 600 * flops_per_s / training_flops_per_token(model, 512)
        assert tokens / model.num_parameters == pytest.approx(best, rel=0.25)
        assert derivation.values[0].key == "model.params"
        assert derivation.values[0].value == pytest.approx(model.num_parameters, rel=0.1)
        assert len(speed.looks) <= 3
        assert derivation.recipe.budget.minutes == 10, "minutes stay minutes"


def test_minutes_that_are_few_give_the_smallest_model_and_say_so(load):
    derivation = derive(load("budget.minutes=0.01"), vocab_size=8192, speed=machine(1e9))
    assert derivation.recipe.model.num_hidden_layers == 1
    assert "no smaller model is possible" in derivation.values[0].reason


def test_a_machine_that_slows_down_is_looked_at_again(load):
    speeds = iter([1e12, 1e11, 0.99e11])
    derivation = derive(load("budget.minutes=10"), vocab_size=8192, speed=lambda *_: next(speeds))
    same = derive(load("budget.minutes=10"), vocab_size=8192, speed=machine(0.99e11))
    assert derivation.recipe == same.recipe


def test_minutes_keep_their_meaning_where_the_size_is_given():
    recipe = load_recipe("tiny", ["budget.minutes=10"])
    assert recipe.left_open == ()
    assert derive(recipe, vocab_size=4096).recipe is recipe


def test_parameters_with_minutes_take_the_size_asked_for(load):
    speed = machine(2e11)
    derivation = derive(load("model.params=30M", "budget.minutes=10"), vocab_size=8192, speed=speed)
    assert planned_model(derivation.recipe).num_parameters == pytest.approx(30e6, rel=0.1)
    assert "model.params" not in told(derivation)
    by_tokens = 600 * 2e11 / training_flops_per_token(speed.looks[0][1], 512)
    same = derive(load("model.params=30M", f"budget.tokens={round(by_tokens)}"), vocab_size=8192).recipe
    assert derivation.recipe.batch == same.batch
    assert derivation.recipe.schedule == same.schedule


def test_a_size_that_is_set_takes_the_place_of_the_files_preset():
    assert load_recipe("tiny", ["model.params=5M"]).model.preset is None
    recipe = load_recipe("tiny", ["model.params=5M"])
    assert recipe.batch.rows == 16, "tiny gives its rows"
    assert "batch.rows" not in recipe.left_open


@pytest.mark.parametrize("text", ["30M", "30m", "3e7", "30_000_000", "0.03B", "30000k"])
def test_a_size_is_written_as_people_write_it(load, text):
    assert load(f"model.params={text}").model.num_parameters == 30_000_000


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["model.params=30Q"], 'model.params is "30Q", which is no number of parameters; write it as in 30M'),
        (["model.params=0"], "model.params is 0, and must be 1 or more, 1T at most"),
        (["model.params=-3"], "model.params is -3, and must be 1 or more"),
        (["model.params=-30M"], "model.params is -30M, and must be 1 or more"),
        (["model.params=2T"], "model.params is 2T, and must be 1 or more, 1T at most"),
        (["model.params=1e99"], "must be 1 or more"),
        (["model.params=inf"], "must be a whole number"),
        (["model.params="], "is no number of parameters"),
        (["model.params=true"], "must be a whole number"),
        (["model.params=30M", "model.preset=tiny"], "has preset, which says the size already; leave one of them out"),
        (
            ["model.params=30M", "model.hidden_size=64", "model.num_hidden_layers=2"],
            "hidden_size and num_hidden_layers",
        ),
        (["model.params=30M", "model.from=x"], "leave params out"),
        (["model.params=30M", "model.width=64"], 'unknown key "model.width"'),
    ],
)
def test_what_cannot_be_is_named(load, settings, message):
    with pytest.raises(ConfigError, match=message):
        load(*settings)


def test_a_recipe_that_says_nothing_of_the_size_is_refused(load):
    with pytest.raises(ConfigError, match=r'\[model\] lacks hidden_size, num_hidden_layers; .* params = "30M"'):
        derive(load("budget.steps=10"), vocab_size=8192)
    with pytest.raises(ConfigError, match="does not say how long to train"):
        load()


def test_heads_that_do_not_divide_the_width_are_refused(load):
    with pytest.raises(ConfigError, match="no multiple of num_attention_heads"):
        derive(load("model.params=30M", "model.hidden_size=512", "model.num_attention_heads=7"), vocab_size=8192)


def test_a_plan_shows_what_is_derived(load):
    planned = plan_data(load("model.params=30M"))
    assert planned.num_parameters == pytest.approx(30e6, rel=0.1)
    assert {value.key for value in planned.derived} == {*DERIVED_KEYS, "budget.tokens"}
    assert planned.num_tokens == pytest.approx(20 * planned.num_parameters, rel=0.01)
    assert plan_data(load("model.preset=tiny", "budget.steps=10")).derived == ()
    with pytest.raises(ConfigError, match="10 minutes, and what they allow is measured"):
        plan_data(load("budget.minutes=10"))


def test_what_is_left_open_is_not_in_the_table(load):
    table = load("model.params=30M", "schedule.peak_lr=1e-3").to_table()
    assert "rows" not in table["batch"]
    assert "warmup_steps" not in table["schedule"]
    assert table["schedule"]["peak_lr"] == 1e-3
    assert table["model"] == {"params": 30_000_000}
    assert "left_open" not in table
    with pytest.raises(ConfigError, match='unknown key "left_open"'):
        load("left_open=3")
