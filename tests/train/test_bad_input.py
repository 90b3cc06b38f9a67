"""What is wrong with a recipe, data, a checkpoint or the disk: told with the fix, and what was saved stays whole."""

import hashlib
import shutil
import signal

import pytest

from fakes.listener import Silent
from fakes.tiny_run import write_recipe
from textmill.cli import main

pytest.importorskip("torch")

from fakes import killed_run, warm_process
from textmill.checkpoint.store import latest_checkpoint, list_checkpoints
from textmill.train.pipeline import run_recipe
from textmill.train.recipe import load_recipe

SETTINGS = ("optimizer.kind=adamw", "eval.sample_tokens=0")


def train(path, *settings):
    run_recipe(load_recipe(path, [*SETTINGS, *settings]), Silent())


def hashes(run):
    """Of every file of its whole checkpoints."""
    files = [path for folder in list_checkpoints(run) for path in folder.iterdir()]
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    train(write_recipe(folder))
    return folder / "run"


@pytest.fixture
def stopped(tmp_path):
    """A recipe and its run, which died after the checkpoint of step 5."""
    path = write_recipe(tmp_path)
    process = warm_process.start(killed_run.train, path, SETTINGS, "checkpoint:before-rename@2")
    assert warm_process.finish(process) == -signal.SIGKILL
    assert [folder.name for folder in list_checkpoints(tmp_path / "run")] == ["step-00000005"]
    return path


def resume(path, *settings):
    words = [word for setting in (*SETTINGS, *settings) for word in ("--set", setting)]
    return main(["train", str(path), "--resume", *words])


def ends_well(path, whole):
    """What stood there is as good as it was: the run comes to its end, and to the same bytes."""
    assert resume(path) == 0
    assert killed_run.result(path.parent / "run")["files"] == killed_run.result(whole)["files"]


@pytest.mark.parametrize(
    ("setting", "code", "told"),
    [
        ("modle.preset=tiny", 2, ['unknown key "modle"', 'did you mean "model"?']),
        ("model.hidden_size=wide", 2, ["\"model.hidden_size\" is 'wide', and must be a whole number"]),
        ("run.log_to=trackio", 2, ['"run.log_to"', "must be a list"]),
        ("data=3", 2, ['"data"', "must be a table"]),
        ("stages=[{ context = 32, mixture = { wrods = 1 } }]", 2, ['names "wrods"', 'did you mean "words"?']),
        ("stages=[{ context = 1000000 }]", 2, ["another recipe: ", "Resume with the recipe as it was"]),
        ("model.hidden_size=64", 2, ["model.hidden_size was 32 and is 64", "run.dir=FOLDER"]),
    ],
)
def test_a_recipe_that_is_wrong_leaves_the_run_alone(stopped, capsys, setting, code, told):
    before = hashes(stopped.parent / "run")
    assert resume(stopped, setting) == code
    said = " ".join(capsys.readouterr().err.split())
    assert all(words in said for words in told), said
    assert "Traceback" not in said
    assert hashes(stopped.parent / "run") == before


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            ["stages=[{{ context = 1000000 }}]"],
            ['source "words" has', "a row takes 1000001", "give it more text, or shorten the context"],
        ),
        (
            ["tokenizer.vocab_size=310", 'data.sources.words.path="{run}/shards/words"'],
            ["was written with another tokenizer (300 ids", "set tokenizer.path to the right one"],
        ),
    ],
)
def test_data_that_does_not_fit_is_refused_before_a_step(whole, tmp_path, capsys, settings, told):
    settings = [setting.format(run=whole) for setting in settings]
    assert resume(write_recipe(tmp_path), *settings) == 3
    said = " ".join(capsys.readouterr().err.split())
    assert all(words in said for words in told), said
    assert list_checkpoints(tmp_path / "run") == []


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (["model.num_hidden_layers=3"], "model.layers.2.input_layernorm.weight"),
        (["model.intermediate_size=64"], "as [64, 32], and its configuration asks for [48, 32]"),
        (["optimizer.kind=muon"], "optimizer.safetensors lacks model.layers.0.self_attn.q_proj.weight/step"),
    ],
)
def test_a_checkpoint_of_another_run_is_not_gone_on_from(whole, stopped, capsys, settings, told):
    tmp_path = stopped.parent
    other = write_recipe(tmp_path / "other")
    train(other, *settings)
    foreign = stopped.parent / "run" / "checkpoints" / "step-00000012"
    shutil.copytree(tmp_path / "other" / "run" / "checkpoints" / "step-00000012", foreign)
    before = hashes(stopped.parent / "run")
    assert resume(stopped) == 3
    said = " ".join(capsys.readouterr().err.split())
    assert told in said, said
    assert f"remove {foreign} to go on from the one before it" in said
    assert hashes(stopped.parent / "run") == before
    shutil.rmtree(foreign)
    ends_well(stopped, whole)


def test_a_disk_that_fills_during_a_save_leaves_the_last_checkpoint(whole, stopped, tmp_path):
    before = hashes(stopped.parent / "run")
    process = warm_process.start(killed_run.resume_on_a_full_disk, stopped, SETTINGS, tmp_path / "said")
    assert warm_process.finish(process) == 1
    said = " ".join((tmp_path / "said").read_text().split())
    assert "cannot write" in said
    assert "Free some space" in said
    assert "--resume" in said
    assert "Traceback" not in said
    assert latest_checkpoint(stopped.parent / "run", on_damage=pytest.fail).name == "step-00000005"
    assert hashes(stopped.parent / "run") == before
    ends_well(stopped, whole)
