"""The shipped recipes against the figures of their papers."""

from itertools import pairwise

import pytest

from textmill.train.compute_plan import DEFAULT_MFU, PEAK_FLOPS, plan_compute
from textmill.train.data_plan import plan_data
from textmill.train.recipe import load_recipe, recipe_names
from textmill.train.schedule import learning_rate_factor

MINIS = [name for name in recipe_names() if name.endswith("-mini")]
LLAMA_EPOCHS = {
    "commoncrawl": 1.10, "c4": 1.06, "github": 0.64, "wikipedia": 2.45, "books": 2.23, "arxiv": 1.06,
    "stackexchange": 1.03,
}  # fmt: skip


def plan(name):
    return plan_data(load_recipe(name))


def test_every_big_recipe_has_a_small_one():
    trained = [name for name in recipe_names() if load_recipe(name).tune is None]
    big = [name for name in trained if name not in ("tiny", "small") and not name.endswith("-mini")]
    assert [f"{name}-mini" for name in big] == MINIS
    assert set(big) == {
        "llama-7b", "llama-13b", "llama-33b", "llama-65b", "smollm2-135m", "smollm2-360m", "smollm2-1.7b",
        "tinyllama-1.1b",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["llama-33b", "llama-65b", "llama-33b-mini", "llama-65b-mini"])
def test_llamas_table_of_epochs(name):
    """arXiv:2302.13971 table 1, at 1.4T tokens."""
    sources = plan(name).stages[0].sources
    assert {source.name: round(source.epochs_so_far, 2) for source in sources} == LLAMA_EPOCHS
    assert [source.weight for source in sources] == pytest.approx([0.67, 0.15, 0.045, 0.045, 0.045, 0.025, 0.02])


@pytest.mark.parametrize(("name", "tokens"), [("llama-7b", 1e12), ("llama-13b", 1e12), ("llama-33b", 1.4e12)])
def test_llamas_tokens(name, tokens):
    planned = plan(name)
    assert planned.num_tokens == pytest.approx(tokens, rel=1e-5)
    assert planned.tokens_per_step == 2**22
    assert planned.stages[0].last_lr == pytest.approx(0.1 * load_recipe(name).schedule.peak_lr)


def test_llama_65b_takes_three_weeks():
    """arXiv:2302.13971: 380 tokens/s a GPU, about 21 days on 2,048 A100, 1,022,362 GPU-hours."""
    compute = plan_compute(plan("llama-65b"), gpu="a100", num_gpus=2048, mfu=0.476)
    assert compute.days == pytest.approx(21, abs=0.5)
    assert compute.gpu_hours == pytest.approx(1_022_362, rel=0.01)
    assert compute.tokens_per_s == pytest.approx(380, abs=1)
    assert compute.mfu < compute.mfu_with_attention < 0.5


@pytest.mark.parametrize(
    ("name", "tokens", "tokens_per_step", "steps", "decay_start"),
    [
        ("smollm2-135m", 2.10e12, 2**20, 2_000_000, 1_600_000),
        ("smollm2-360m", 4.09e12, 3 * 2**19, 2_600_000, 2_080_000),
        ("smollm2-1.7b", 10.99e12, 2**21, 5_240_000, 4_716_000),
    ],
)
def test_smollm2s_steps_and_tokens(name, tokens, tokens_per_step, steps, decay_start):
    """The published training configurations: steps x batch, and where the decay begins."""
    planned = plan(name)
    assert (planned.num_steps, planned.tokens_per_step) == (steps, tokens_per_step)
    assert planned.num_tokens == steps * tokens_per_step
    assert planned.num_tokens == pytest.approx(tokens, abs=0.005e12)
    decay_fraction = load_recipe(name).schedule.decay_fraction
    assert steps - round(decay_fraction * steps) == decay_start


def test_smollm2s_stages():
    """arXiv:2502.02737 §4.2 to §4.6."""
    stages = plan("smollm2-1.7b").stages
    assert [round(stage.num_tokens / 1e12, 3) for stage in stages] == [6, 2, 2, 0.914, 0.075]
    assert [(stage.context, stage.rope_theta, stage.rows) for stage in stages[-2:]] == [
        (2048, 1e4, 1024),
        (8192, 1.3e5, 256),
    ]
    weights = [{source.name: source.weight for source in stage.sources} for stage in stages]
    assert all(sum(stage.values()) == pytest.approx(1) for stage in weights)
    assert [stage["fineweb-edu"] / (stage["fineweb-edu"] + stage["dclm"]) for stage in weights] == pytest.approx(
        [0.6, 0.6, 0.4, 0.4, 0.4]
    )
    assert [stage["fineweb-edu"] + stage["dclm"] for stage in weights[:4]] == pytest.approx([0.9, 0.75, 0.74, 0.58])
    long = sum(weight for name, weight in weights[4].items() if name.endswith("-long") or name == "dolma-books")
    assert long == pytest.approx(0.4)
    short = {name: weight for name, weight in weights[4].items() if name in weights[3]}
    assert short == pytest.approx({name: 0.6 * weight for name, weight in weights[3].items()})


def test_smollm2_reads_its_code_about_four_times():
    last = {source.name: source for stage in plan("smollm2-1.7b").stages for source in stage.sources}
    assert last["starcoderdata"].epochs_so_far == pytest.approx(4, abs=0.01)
    assert [name for name, source in last.items() if source.epochs_so_far is not None] == [
        "fineweb-edu", "dclm", "starcoderdata",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["smollm2-135m", "smollm2-360m"])
def test_the_small_sizes_say_that_their_weights_are_not_published(name):
    (stage,) = plan(name).stages
    assert [(source.weight, source.epochs) for source in stage.sources] == [(1.0, None)]
    assert "not published" in stage.note


def test_tinyllamas_steps():
    """Its README: 3T tokens, about 1,430k steps, slightly more than 3 epochs."""
    planned = plan("tinyllama-1.1b")
    assert planned.num_steps == pytest.approx(1_430_000, rel=1e-3)
    assert [round(source.epochs, 1) for source in planned.stages[0].sources] == [3.2, 3.2]


def shares_of_stages(recipe):
    planned = plan_data(recipe)
    return [stage.num_tokens / planned.num_tokens for stage in planned.stages]


@pytest.mark.parametrize("mini", MINIS)
def test_a_mini_has_the_shape_of_its_model(mini):
    small, big = load_recipe(mini), load_recipe(mini.removesuffix("-mini"))
    assert list(small.data.sources) == list(big.data.sources)
    assert [stage.name for stage in small.stages] == [stage.name for stage in big.stages]
    assert [stage.mixture for stage in small.stages] == [stage.mixture for stage in big.stages]
    assert [stage.rope_theta for stage in small.stages] == [stage.rope_theta for stage in big.stages]
    assert [8 * stage.context for stage in small.stages] == [stage.context for stage in big.stages]
    assert small.schedule.kind == big.schedule.kind
    assert small.schedule.decay_fraction == big.schedule.decay_fraction
    assert small.model.tie_word_embeddings in (None, True)
    assert shares_of_stages(small) == pytest.approx(shares_of_stages(big), abs=2e-3)


@pytest.mark.parametrize("mini", MINIS)
def test_parts_of_a_mini_do_not_overlap(mini):
    sources = load_recipe(mini).data.sources.values()
    assert all(source.path is not None for source in sources)
    for path in {source.path for source in sources}:
        parts = sorted(source.part for source in sources if source.path == path)
        assert parts[0][0] == 0
        assert parts[-1][1] == 1
        assert all(before[1] == after[0] for before, after in pairwise(parts))


@pytest.mark.parametrize("name", ["tiny", "small"])
def test_a_cpus_recipes_can_be_planned_once_they_have_steps(name):
    assert plan_data(load_recipe(name, ["budget.steps=100"])).num_steps == 100


@pytest.mark.parametrize(
    ("mfu", "gpu", "gpus"), [(0, "a100", 1), (1.1, "a100", 1), (0.4, "a1000", 1), (0.4, "a100", 0)]
)
def test_gpus_that_cannot_be_are_refused(mfu, gpu, gpus):
    with pytest.raises(ValueError, match="must be|is unknown"):
        plan_compute(plan("tinyllama-1.1b"), gpu=gpu, num_gpus=gpus, mfu=mfu)


def test_without_a_number_of_gpus_there_are_hours_and_no_days():
    compute = plan_compute(plan("smollm2-1.7b"), gpu="h100")
    assert (compute.mfu, compute.peak_flops) == (DEFAULT_MFU, PEAK_FLOPS["h100"])
    assert sum(compute.stage_gpu_hours) == pytest.approx(compute.gpu_hours)
    assert compute.days is compute.stage_days is None


def test_smollm2_on_preferences():
    """arXiv:2502.02737 and its authors' configuration: UltraFeedback, beta 0.5, 1e-6 cosine, 128 pairs, two epochs."""
    recipe = load_recipe("smollm2-135m-dpo")
    assert (recipe.tune.kind, recipe.tune.beta, recipe.tune.epochs) == ("dpo", 0.5, 2)
    assert (recipe.tune.context, recipe.tune.prompt_context) == (1024, 512)
    assert recipe.batch.rows == 128
    schedule = recipe.schedule
    assert (schedule.kind, schedule.peak_lr, schedule.warmup_of(1000)) == ("cosine", 1e-6, 100)
    assert learning_rate_factor(schedule, 999, 1000) == pytest.approx(0.0)


@pytest.mark.parametrize(("size", "peak_lr"), [("135m", 1e-3), ("360m", 1e-3), ("1.7b", 3e-4)])
def test_smollm2_on_conversations(size, peak_lr):
    """arXiv:2502.02737 and its authors' configuration: 2 epochs, cosine, warmup of a tenth, 128 rows of 8,192."""
    recipe = load_recipe(f"smollm2-{size}-sft")
    assert (recipe.tune.kind, recipe.tune.epochs, recipe.tune.context) == ("sft", 2, 8192)
    assert (recipe.tune.packing, recipe.batch.rows) == ("all", 128)
    schedule = recipe.schedule
    assert (schedule.kind, schedule.peak_lr, schedule.warmup_of(1000)) == ("cosine", peak_lr, 100)
    assert learning_rate_factor(schedule, 999, 1000) == pytest.approx(0.0)
