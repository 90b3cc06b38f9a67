"""Runs whose sizes are derived: to the end, resumed and branched from with the same values."""

import json

import pytest

from fakes.listener import Silent
from fakes.tiny_run import write_recipe

torch = pytest.importorskip("torch")

from textmill.base.errors import ConfigError  # noqa: E402
from textmill.checkpoint.store import list_checkpoints  # noqa: E402
from textmill.cli import main  # noqa: E402
from textmill.train import pipeline  # noqa: E402
from textmill.train.pipeline import run_recipe  # noqa: E402
from textmill.train.recipe import DERIVED_KEYS, load_recipe  # noqa: E402
from textmill.train.run import load_run  # noqa: E402

SIZES = "hidden_size = 32\nintermediate_size = 48\nnum_hidden_layers = 2\nnum_attention_heads = 4\n"
SIZES += "num_key_value_heads = 2\n"
STABLE = ("schedule.decay_fraction=0.5", "checkpoint.keep=9", "checkpoint.every_steps=2")


class Told(Silent):
    """Keeps what is said."""

    def __init__(self):
        super().__init__()
        self.said = []

    def say(self, message):
        self.said.append(message)


def open_recipe(folder, *, steps=6, model='params = "127k"'):
    """The tiny recipe without sizes, batch, learning rate and warmup."""
    path = write_recipe(folder, steps=steps)
    text = path.read_text()
    for given, instead in (
        (SIZES, f"{model}\n"),
        ("[batch]\nrows = 4\nmicro_rows = 2\n", ""),
        ("[schedule]\npeak_lr = 1e-2\nwarmup_steps = 2\n", ""),
    ):
        assert given in text
        text = text.replace(given, instead)
    path.write_text(text)
    return path


def train(path, *settings, resume=False, listener=None):
    return run_recipe(load_recipe(path, settings), listener or Silent(), resume=resume)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run of six steps, what was said, and its recipe's folder."""
    folder = tmp_path_factory.mktemp("dial")
    listener = Told()
    run = train(open_recipe(folder), *STABLE, listener=listener)
    return folder, run, listener.said


def test_a_run_by_its_number_of_parameters_goes_to_the_end(trained):
    folder, run, said = trained
    assert run.plan.model.num_parameters == pytest.approx(127_000, rel=0.1)
    assert list_checkpoints(folder / "run")[-1].name.endswith("6")
    assert run.recipe.left_open == ()
    for value in run.derived:
        assert str(value) in said, "each value is told in a line of its own"
        assert run.recipe.value_of(value.key) == value.value


def test_what_was_derived_is_in_the_runs_folder(trained):
    folder, run, _ = trained
    table = json.loads((folder / "run" / "config.json").read_text())
    assert table["asked"]["model"] == {"params": 127_000}
    assert "rows" not in table["asked"]["batch"]
    assert table["recipe"]["model"]["hidden_size"] == run.plan.model.hidden_size
    assert {value["key"] for value in table["derived"]} >= {"batch.rows", "schedule.peak_lr", "model.hidden_size"}
    assert load_run(folder / "run") == run


@pytest.mark.parametrize("settings", [(), ("model.params=127_000",)])
def test_a_resume_takes_what_was_derived_and_derives_nothing(trained, monkeypatch, settings):
    folder, run, _ = trained
    monkeypatch.setattr(pipeline, "derive", None)
    assert train(folder / "recipe.toml", *STABLE, *settings, resume=True) == run
    assert train(folder / "run", resume=True) == run


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("model.params=80k", "model.params was 127000 and is 80000"),
        ("batch.rows=16", "batch.rows was None and is 16"),
        ("schedule.peak_lr=1e-3", "schedule.peak_lr was None"),
    ],
)
def test_a_resume_with_another_wish_is_refused(trained, setting, message):
    folder, _, _ = trained
    with pytest.raises(ConfigError, match=message):
        train(folder / "recipe.toml", *STABLE, setting, resume=True)


def test_the_runs_recipe_again_is_the_same_on_any_machine(trained):
    folder, run, _ = trained
    again = load_recipe(folder / "run", ["run.dir=elsewhere"])
    assert again.left_open == ()
    assert (again.model, again.batch, again.schedule) == (run.recipe.model, run.recipe.batch, run.recipe.schedule)


def test_a_branch_takes_what_was_derived(trained):
    folder, run, _ = trained
    settings = (*STABLE, f"run.branch={folder / 'run'}@2", "budget.steps=2")
    branch = train(folder / "recipe.toml", *settings, f"run.dir={folder / 'branch'}")
    assert (branch.recipe.model, branch.recipe.batch) == (run.recipe.model, run.recipe.batch)
    assert branch.recipe.schedule == run.recipe.schedule
    assert branch.plan.model == run.plan.model
    with pytest.raises(ConfigError, match="model.params is 80,000, and .* was started with 127,000"):
        train(folder / "recipe.toml", *settings, f"run.dir={folder / 'other'}", "model.params=80k")


def test_minutes_alone_measure_and_train(tmp_path):
    listener = Told()
    path = open_recipe(tmp_path, model="")
    run = train(path, "budget.minutes=0.02", listener=listener)
    assert run.derived[0].key == "model.params"
    assert any("as measured here" in line for line in listener.said)
    assert run.recipe.budget.minutes == 0.02
    assert train(path, "budget.minutes=0.02", resume=True) == run


def test_the_command_tells_each_value_and_trains(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(open_recipe(tmp_path, model='preset = "tiny"').parent)
    assert main(["train", "recipe.toml", "--params", "127k"]) == 0
    told = capsys.readouterr().err
    for key in DERIVED_KEYS:
        assert f"{key} = " in told
    assert "budget.tokens" not in told, "the recipe gives its steps"
    assert main(["runs", "show", "run"]) == 0


def test_more_than_fits_is_refused_before_anything_is_read(tmp_path):
    path = open_recipe(tmp_path)
    with pytest.raises(
        ConfigError, match=r"a model of [\d,]+ parameters is too large for this machine: .* may be used"
    ):
        train(path, "model.params=100B")
    assert not (tmp_path / "run").exists()


def test_more_vocabulary_than_parameters_is_refused_before_anything_is_read(tmp_path):
    path = open_recipe(tmp_path)
    with pytest.raises(ConfigError, match="with 60,000 tokens of vocabulary the nearest model has"):
        train(path, "tokenizer.vocab_size=60_000")
    assert not (tmp_path / "run").exists()


def test_the_vocabulary_of_characters_is_known_when_the_text_is(tmp_path):
    run = train(open_recipe(tmp_path), "tokenizer={ pattern = 'char' }")
    assert run.plan.model.vocab_size < 300
    assert run.plan.model.num_parameters == pytest.approx(127_000, rel=0.15)
