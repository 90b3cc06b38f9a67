"""Plans: steps, tokens, epochs and learning rates by stage, and what is refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.byte_tokenizer import ByteTokenizer
from textmill.base.errors import ConfigError, DataError
from textmill.data.shards import write_shards
from textmill.text.documents import Document
from textmill.train.data_plan import plan_data
from textmill.train.recipe import load_recipe

RECIPE = """
[run]
dir = "runs/x"
[tokenizer]
vocab_size = 512
[model]
preset = "tiny"
[data.sources.web]
tokens = 1e6
[data.sources.books]
tokens = 4e4
[data.sources.unknown]
[[stages]]
name = "stable"
tokens = 400e3
context = 100
mixture = { web = 0.75, books = 0.25 }
[[stages]]
name = "decay"
context = 200
rope_theta = 2e4
mixture = { web = 0.5, books = 0.25, unknown = 0.25 }
[batch]
rows = 4
[schedule]
peak_lr = 1.0
warmup_steps = 99
decay_fraction = 0.25
[budget]
steps = 1500
"""


@pytest.fixture
def plan(tmp_path):
    (tmp_path / "recipe.toml").write_text(RECIPE)
    return lambda *settings: plan_data(load_recipe(tmp_path / "recipe.toml", settings))


def test_stages_share_the_budget_and_a_step_has_the_same_tokens_in_each(plan):
    stable, decay = plan().stages
    assert (stable.first_step, stable.num_steps, stable.rows, stable.num_tokens) == (0, 1000, 4, 400_000)
    assert (decay.first_step, decay.num_steps, decay.rows, decay.num_tokens) == (1000, 500, 2, 200_000)
    assert (stable.rope_theta, decay.rope_theta) == (10_000, 20_000)
    assert (plan().num_steps, plan().num_tokens, plan().tokens_per_step) == (1500, 600_000, 400)


def test_epochs_add_up_over_stages(plan):
    stable, decay = plan().stages
    web, books = stable.sources
    assert (web.name, web.weight, web.num_tokens, web.num_tokens_so_far) == ("web", 0.75, 300_000, 300_000)
    assert (web.epochs, web.epochs_so_far) == (0.3, 0.3)
    assert (books.epochs, books.epochs_so_far) == (2.5, 2.5)
    web, books, unknown = decay.sources
    assert (web.num_tokens, web.num_tokens_so_far, web.epochs_so_far) == (100_000, 400_000, 0.4)
    assert (books.epochs, books.epochs_so_far) == (1.25, 3.75)
    assert (unknown.num_tokens, unknown.unique_tokens, unknown.epochs, unknown.epochs_so_far) == (
        50_000,
        None,
        None,
        None,
    )


def test_learning_rates_at_the_borders(plan):
    stable, decay = plan().stages
    assert stable.first_lr == pytest.approx(0.01)
    assert stable.last_lr == decay.first_lr == 1
    assert decay.last_lr == pytest.approx(1 / 376)


def test_operations_are_counted_with_and_without_attention(plan):
    planned = plan()
    assert planned.flops == 6 * planned.num_parameters * planned.num_tokens
    per_token = [stage.flops_with_attention / stage.num_tokens for stage in planned.stages]
    # Attention: 12 x layers x width x context.
    assert per_token[1] - per_token[0] == 12 * 3 * 192 * 100


def test_a_folder_of_shards_says_its_own_tokens(plan, tmp_path):
    documents = [Document("some text", "web", "0")]
    write_shards(tmp_path / "shards", documents, ByteTokenizer(257), source="web", document_end=256)
    num_tokens = 10
    planned = plan(f"data.sources.web={{ path = '{tmp_path / 'shards'}', max_epochs = 1e9 }}")
    assert planned.warnings[0].startswith('"web" is read 40000.00 times')
    web = planned.stages[0].sources[0]
    assert (web.unique_tokens, web.unique_tokens_from) == (num_tokens, "shards")
    planned = plan(f"data.sources.web.path={tmp_path / 'shards'}", "data.sources.web.max_epochs=1e9")
    assert any(f"{num_tokens:,} tokens by its shards, which counts, and 1,000,000 by the recipe" in w
               for w in planned.warnings)  # fmt: skip
    with pytest.raises(ConfigError, match="part is for text files"):
        plan(f"data.sources.web.path={tmp_path / 'shards'}", "data.sources.web.part=[0, 0.5]")
    (tmp_path / "shards" / "manifest.json").write_text("{}")
    with pytest.raises(DataError, match=r"manifest\.json is damaged"):
        plan(f"data.sources.web.path={tmp_path / 'shards'}")


def test_text_that_is_not_tokenized_counts_as_the_recipe_says(plan, tmp_path):
    (tmp_path / "text.txt").write_text("words")
    web = plan(f"data.sources.web.path={tmp_path / 'text.txt'}").stages[0].sources[0]
    assert (web.unique_tokens, web.unique_tokens_from) == (1_000_000, "recipe")


@pytest.mark.parametrize("weights", ["0.7, 0.25", "0.75, 0.2", "67, 33", "0.75, 0.2515"])
def test_weights_that_do_not_sum_to_one_are_refused(plan, weights):
    web, books = weights.split(", ")
    stage = f"stages=[{{ mixture = {{ web = {web}, books = {books} }} }}]"
    with pytest.raises(ConfigError, match=r'the weights of the stage "stable" sum to .*, and must sum to 1'):
        plan(stage)


def test_weights_of_three_digits_sum_to_one_and_none_are_equal(plan):
    planned = plan("stages=[{ mixture = { web = 0.333, books = 0.333, unknown = 0.333 } }]", "budget.steps=10")
    assert [source.weight for source in planned.stages[0].sources] == pytest.approx([1 / 3] * 3)
    planned = plan("stages=[{}]", "budget.steps=10")
    assert [source.weight for source in planned.stages[0].sources] == pytest.approx([1 / 3] * 3)


def test_sources_that_are_read_too_often_are_refused_unless_told(plan):
    with pytest.raises(
        ConfigError, match=r'"books" is read 5\.62 times \(225k tokens of 40k unique ones\), and may be 5 times'
    ):
        plan("budget.steps=2250")
    planned = plan("budget.steps=2250", "data.sources.books.max_epochs=6")
    assert any(warning.startswith('"books" is read 5.62 times; from 4 on') for warning in planned.warnings)
    with pytest.raises(ConfigError, match="and may be 2 times"):
        plan("data.sources.books.max_epochs=2")


def test_exactly_the_limit_is_allowed_and_four_is_warned_of(plan):
    assert plan().warnings == ()
    assert '"books" is read 5.00 times' in plan("budget.steps=2000").warnings[0]
    assert '"books" is read 4.00 times' in plan("budget.steps=1600").warnings[0]


def test_a_source_that_no_stage_reads_is_named(plan):
    assert plan("stages=[{ mixture = { web = 1 } }]").warnings == ("no stage reads books, unknown",)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["budget.minutes=2"], "the budget is 2 minutes, and what they allow is measured"),
        (["budget.steps=1000"], 'the stages with tokens take 1,000: nothing is left for "decay"'),
        (["budget.tokens=100e3"], "the budget is 250 steps, and the stages with tokens take 1,000"),
        (["stages=[{ name = 'a' }, { name = 'b' }]"], 'the stages "a", "b" have no tokens'),
        (["stages=[{ tokens = 8192e3 }]"], "the budget is 1,500 steps, and the stages' tokens are 4,000 steps"),
        (
            ["batch.rows=3", "stages=[{ tokens = 4e5, context = 100 }, { context = 200 }]"],
            "cannot be cut into rows of 200",
        ),
        (["tokenizer={ pattern = 'char' }"], "how many characters there are is known when the text is read"),
        (["tokenizer={ path = 'nowhere.json' }"], "nowhere.json"),
        (["model.preset=tinny"], r'model.preset "tinny" is unknown; did you mean "tiny"\?'),
        (["model.max_position_embeddings=150"], "raise the one or lower the other"),
    ],
)
def test_what_cannot_be_planned_is_named(plan, settings, message):
    with pytest.raises((ConfigError, DataError), match=message):
        plan(*settings)


def test_budget_and_stages_may_both_be_given_where_they_agree(plan):
    stages = "stages=[{ name = 'a', tokens = 400_100 }, { name = 'b', tokens = 199_900, context = 1024 }]"
    for budget, steps in (("budget.tokens=600e3", [195, 98]), ("budget.tokens=602e3", [195, 99])):
        planned = plan(stages, budget, "data.sources.books.max_epochs=6")
        assert [stage.num_steps for stage in planned.stages] == steps
        assert planned.stages[1].rows == 2


@settings(max_examples=15, deadline=None)
@given(
    tokens=st.lists(st.integers(1, 10**7), min_size=1, max_size=4),
    weights=st.lists(st.integers(1, 50), min_size=1, max_size=4),
    rows=st.integers(1, 64),
)
def test_tokens_of_sources_are_the_stages_and_stages_are_the_run(tokens, weights, rows):
    """Whatever the recipe: nothing is lost between sources, stages and the whole."""
    names = [f"s{number}" for number in range(len(weights))]
    total = sum(weights)
    mixture = ", ".join(f"{name} = {weight / total!r}" for name, weight in zip(names, weights, strict=True))
    stages = ", ".join(f"{{ tokens = {number}, context = 128, mixture = {{ {mixture} }} }}" for number in tokens)
    sources = ", ".join(f"{name} = {{}}" for name in names)
    recipe = load_recipe(
        "tiny", [f"data.sources={{ {sources} }}", f"stages=[{stages}]", "budget={}", f"batch.rows={rows}"]
    )
    planned = plan_data(recipe)
    assert planned.num_steps == sum(stage.num_steps for stage in planned.stages)
    assert planned.num_tokens == planned.num_steps * planned.tokens_per_step
    for stage, wanted in zip(planned.stages, tokens, strict=True):
        assert sum(source.num_tokens for source in stage.sources) == stage.num_tokens
        assert abs(stage.num_tokens - wanted) <= planned.tokens_per_step
        for source in stage.sources:
            assert abs(source.num_tokens - source.weight * stage.num_tokens) <= stage.num_tokens / 65_536 + 2 * 128
