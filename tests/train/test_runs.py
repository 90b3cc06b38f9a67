"""Whole runs: exact, resumable, observed without being changed, and what they do when something is in the way."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from fakes.listener import Silent
from fakes.tiny_run import write_recipe

pytest.importorskip("torch")

from textmill.base.errors import ConfigError, DataError, StorageError
from textmill.base.events import read_events
from textmill.checkpoint.store import list_checkpoints
from textmill.cli.run_sampler import write_sample
from textmill.train.pipeline import run_recipe
from textmill.train.recipe import load_recipe
from textmill.train.run import load_run


def train(path, *settings, resume=False, listener=None):
    return run_recipe(load_recipe(path, settings), listener or Silent(), resume=resume)


def weights(run_folder):
    """The last checkpoint's tensors, model and optimizer, as one hash."""
    folder = list_checkpoints(run_folder)[-1]
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in ("model.safetensors", "optimizer.safetensors")
    }


def losses(run_folder):
    return {
        event.step: event.fields["loss"] for event in read_events(run_folder / "events.jsonl") if event.kind == "step"
    }


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """A run that went through without a stop."""
    folder = tmp_path_factory.mktemp("straight")
    train(write_recipe(folder))
    return folder / "run"


def test_a_run_leaves_everything_in_its_folder(straight):
    names = {path.name for path in straight.iterdir()}
    assert names == {
        "config.json", "events.jsonl", "tokenizer.json", "tokenizer.report.json", "shards", "heldout", "checkpoints",
        "model", "report.html",
    }  # fmt: skip
    assert [path.name for path in list_checkpoints(straight)] == ["step-00000010", "step-00000012"]
    assert {"config.json", "model.safetensors", "tokenizer.json", "generation_config.json"} <= {
        path.name for path in (straight / "model").iterdir()
    }


def test_the_loss_falls(straight):
    loss = losses(straight)
    assert list(loss) == list(range(1, 13))
    assert loss[12] < loss[1] - 0.5


def test_events_tell_the_story(straight):
    kinds = [event.kind for event in read_events(straight / "events.jsonl")]
    assert kinds[0] == "start"
    assert kinds[-1] == "end"
    assert kinds.count("eval") == 3
    assert kinds.count("checkpoint") == 3
    evals = [event for event in read_events(straight / "events.jsonl") if event.kind == "eval"]
    assert set(evals[-1].fields["bits_per_byte"]) == {"words", "sums", "all"}
    for name, (low, high) in evals[-1].fields["intervals"].items():
        assert low <= evals[-1].fields["bits_per_byte"][name] <= high


def test_a_run_of_format_2_has_adamws_numbers_apart(straight, tmp_path):
    """As releases before had them; the recipe that is read is the same."""
    table = json.loads((straight / "config.json").read_text())
    first, second = table["recipe"]["optimizer"].pop("betas")
    table["recipe"]["optimizer"] |= {"beta1": first, "beta2": second}
    table["format_version"] = 2
    (tmp_path / "config.json").write_text(json.dumps(table))
    assert load_run(tmp_path).recipe == load_run(straight).recipe


def test_the_same_recipe_gives_the_same_bytes(straight, tmp_path):
    train(write_recipe(tmp_path))
    assert weights(tmp_path / "run") == weights(straight)
    assert losses(tmp_path / "run") == losses(straight)


def test_another_seed_gives_another_model(straight, tmp_path):
    train(write_recipe(tmp_path), "run.seed=2")
    assert weights(tmp_path / "run") != weights(straight)


def test_observing_changes_nothing(straight, tmp_path):
    train(write_recipe(tmp_path), "eval.every_steps=1", "checkpoint.every_steps=1")
    assert weights(tmp_path / "run") == weights(straight)


def test_events_go_to_the_tools_that_the_recipe_names(straight, tmp_path, monkeypatch):
    seen = []

    class Tool:
        def __call__(self, event):
            seen.append(event.kind)

        def close(self):
            seen.append("closed")

    monkeypatch.setattr("textmill.train.pipeline.check_installed", lambda name: None)
    monkeypatch.setattr("textmill.train.adapters.opening.open_adapter", lambda name, folder, config: Tool())
    train(write_recipe(tmp_path), 'run.log_to=["trackio"]')
    assert seen[0] == "start"
    assert seen[-2:] == ["end", "closed"]
    assert weights(tmp_path / "run") == weights(straight)


def test_a_tool_that_is_not_there_is_refused_before_any_text_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("textmill.train.adapters.tools.importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r'log_to names "wandb", which is not installed: pip install wandb'):
        train(write_recipe(tmp_path), 'run.log_to=["wandb"]')
    assert not (tmp_path / "run").exists()


def test_a_log_that_went_missing_does_not_hide_what_went_wrong(tmp_path):
    def lose(event):
        if event.step == 2:
            (tmp_path / "run" / "events.jsonl").unlink()
            raise RuntimeError("the cause")

    with pytest.raises(RuntimeError, match="the cause"):
        train(write_recipe(tmp_path), listener=Silent(lose))


@pytest.mark.parametrize(("precision", "optimizer"), [("f32", "adamw"), ("bf16", "muon")])
def test_a_stopped_run_goes_on_to_the_same_bytes(tmp_path, precision, optimizer):
    """SIGINT after step 7, resumed: the same weights, optimizer state and losses as a run that was left alone."""
    for name in ("whole", "stopped"):
        write_recipe(tmp_path / name, precision=precision, optimizer=optimizer)
    train(tmp_path / "whole" / "recipe.toml")

    def stop(event):
        if event.kind == "step" and event.step == 7:
            os.kill(os.getpid(), signal.SIGINT)

    recipe = tmp_path / "stopped" / "recipe.toml"
    with pytest.raises(Exception, match=r"stopped at step 7 of 12, which is saved; go on with: .* --resume") as error:
        train(recipe, listener=Silent(stop))
    assert error.value.exit_code == 130
    assert list_checkpoints(tmp_path / "stopped" / "run")[-1].name == "step-00000007"
    train(recipe, resume=True)
    assert weights(tmp_path / "stopped" / "run") == weights(tmp_path / "whole" / "run")
    assert losses(tmp_path / "stopped" / "run") == losses(tmp_path / "whole" / "run")


def test_a_run_never_takes_a_folder_that_holds_something_else(tmp_path):
    path = write_recipe(tmp_path)
    for name in ("config.json", "shards/mine.txt", "notes.txt"):
        folder = tmp_path / "used" / name.partition(".")[0]
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text("mine")
        with pytest.raises(ConfigError, match="is not empty and holds no run"):
            train(path, f"run.dir={folder}")
        assert (folder / name).read_text() == "mine"
    with pytest.raises(ConfigError, match='source "words" lies inside run.dir'):
        train(path, f"run.dir={tmp_path / 'new'}", f"data.sources.words.path={tmp_path / 'new' / 'words'}")


def test_what_was_decided_is_kept_without_a_checkpoint_too(tmp_path):
    path = write_recipe(tmp_path)

    def die(event):
        if event.step == 2:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        train(path, "budget.minutes=0.02", listener=Silent(die))
    config = tmp_path / "run" / "config.json"
    table = json.loads(config.read_text())
    table["plan"]["stages"][0]["num_steps"] = 7
    config.write_text(json.dumps(table))
    assert train(path, "budget.minutes=0.02", resume=True).plan.num_steps == 7


def test_a_text_that_is_validated_on_is_not_trained_on(tmp_path):
    path = write_recipe(tmp_path)
    with pytest.raises(DataError, match='all 30 documents of the source "words" .* came before'):
        train(path, f"eval.data={tmp_path / 'words'}")


def test_one_long_text_is_validated_on_in_part(tmp_path):
    path = write_recipe(tmp_path)
    _only(tmp_path / "words", "a.txt", b"one two three four five six " * 3000)
    train(path, "eval.max_tokens=500", "budget.steps=4", "eval.holdout=0.5")
    events = read_events(tmp_path / "run" / "events.jsonl")
    assert next(event for event in events if event.kind == "eval").fields["bits_per_byte"]["all"] > 0


def test_a_run_needs_no_compiler(straight, tmp_path):
    """Nothing is compiled on the way: where there is no C++ compiler a run is the same."""
    path = write_recipe(tmp_path)
    nowhere = {"CXX": "/nonexistent", "CC": "/nonexistent", "PATH": str(tmp_path)}
    command = [sys.executable, "-m", "textmill", "train", str(path)]
    result = subprocess.run(command, env={**os.environ, **nowhere}, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert weights(tmp_path / "run") == weights(straight)


def test_a_second_run_in_the_same_folder_is_refused(straight, tmp_path):
    path = write_recipe(tmp_path, run=str(straight))
    with pytest.raises(ConfigError, match=r"holds a run that has saved 2 checkpoints; choose another folder"):
        train(path)


def test_a_suggested_command_quotes_the_folder(straight, tmp_path):
    folder = tmp_path / "my run"
    folder.symlink_to(straight.resolve())
    with pytest.raises(ConfigError, match=r"go on with: textmill train '.*/my run' --resume"):
        train(write_recipe(tmp_path, run=str(folder)))


def test_resuming_with_another_recipe_is_refused(straight):
    with pytest.raises(ConfigError, match=r"another recipe: schedule.peak_lr was 0.01 and is 0.02"):
        train(straight, "schedule.peak_lr=2e-2", resume=True)


def test_resuming_a_finished_run_changes_nothing(straight):
    before = weights(straight)
    train(straight, resume=True)
    assert weights(straight) == before


def test_resuming_what_never_began_starts_it(straight, tmp_path):
    train(write_recipe(tmp_path), resume=True)
    assert weights(tmp_path / "run") == weights(straight)


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(straight, tmp_path):
    path = write_recipe(tmp_path)
    train(path)
    last = list_checkpoints(tmp_path / "run")[-1] / "model.safetensors"
    data = bytearray(last.read_bytes())
    data[-5] ^= 16
    last.write_bytes(data)
    listener = Silent()
    train(path, resume=True, listener=listener)
    assert str(last) in listener.events[0].fields["passed_over"][0]
    assert listener.events[0].step == 10
    assert weights(tmp_path / "run") == weights(straight)


def test_a_moved_run_with_notes_in_it_goes_on(tmp_path):
    train(write_recipe(tmp_path), "budget.steps=3")
    (tmp_path / "run" / "notes.txt").write_text("mine")
    (tmp_path / "run").rename(tmp_path / "moved")
    train(tmp_path / "moved", resume=True)


def test_a_full_disk_while_saving_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    path = write_recipe(tmp_path)

    def fill(event):
        if event.kind == "step" and event.step == 9:

            def no_space(*_):
                raise OSError(28, os.strerror(28))

            for thread in threading.enumerate():
                if thread.name.startswith("save-"):
                    thread.join()  # the checkpoint before is whole

            monkeypatch.setattr("textmill.base.files.os.fsync", no_space)

    with pytest.raises(
        StorageError, match=r"cannot write .*step-00000012.*no space left.*nothing that was there.*--resume"
    ):
        train(path, listener=Silent(fill))
    assert [folder.name for folder in list_checkpoints(tmp_path / "run")] == ["step-00000005"]
    (failed,) = [event for event in read_events(tmp_path / "run" / "events.jsonl") if event.kind == "save_failed"]
    assert failed.step == 10
    assert "no space left" in failed.fields["error"]
    monkeypatch.undo()
    train(path, resume=True)


def test_a_disk_too_small_for_a_checkpoint_is_refused_before_the_first_step(tmp_path, monkeypatch):
    path = write_recipe(tmp_path)
    monkeypatch.setattr("textmill.train.beginning.shutil.disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(StorageError, match=r"has 1 kB free, and a checkpoint and the model take \d+ kB"):
        train(path)
    assert losses(tmp_path / "run") == {}
    monkeypatch.undo()
    train(path, resume=True)


def test_a_limit_on_file_sizes_is_a_full_disk(tmp_path):
    """The kernel's own refusal, in a process of its own: exit code 1, and no half checkpoint."""
    path = write_recipe(tmp_path)
    limit = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000)); "
    code = limit + f"from textmill.cli import main; raise SystemExit(main(['train', {str(path)!r}]))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 1, result.stderr
    assert "cannot write" in result.stderr
    assert "Traceback" not in result.stderr
    assert list_checkpoints(tmp_path / "run") == []


def test_shards_of_another_tokenizer_are_refused(straight, tmp_path):
    path = write_recipe(tmp_path)
    shards = straight / "shards" / "words"
    other = ["tokenizer.vocab_size=310", f'data.sources.words.path="{shards}"', "tokenizer.pattern=gpt2"]
    with pytest.raises(DataError, match=r"was written with another tokenizer \(300 ids"):
        train(path, *other)
    train(path, f'tokenizer={{ path = "{straight / "tokenizer.json"}" }}', f'data.sources.words.path="{shards}"')
    assert "words" not in {p.name for p in (tmp_path / "run" / "shards").iterdir()}


def test_minutes_become_steps_once(tmp_path):
    path = write_recipe(tmp_path)
    run = train(path, "budget.minutes=0.02")
    assert run.plan.num_steps >= 1
    saved = json.loads((tmp_path / "run" / "config.json").read_text())
    assert saved["plan"]["stages"][0]["num_steps"] == run.plan.num_steps
    assert saved["plan"]["step_time_s"] > 0
    assert train(path, "budget.minutes=0.02", resume=True).plan == run.plan


def test_a_run_starts_from_a_model(straight, tmp_path):
    path = write_recipe(tmp_path)
    settings = [
        f'model={{ from = "{straight / "model"}" }}',
        f'tokenizer={{ path = "{straight / "tokenizer.json"}" }}',
        "budget.steps=2",
        "schedule.peak_lr=1e-3",
        "optimizer.muon_lr=1e-3",
    ]
    train(path, *settings)
    assert losses(tmp_path / "run")[1] < losses(straight)[1] - 0.5


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda f: _clear(f / "words"), DataError, "words is an empty folder"),
        (lambda f: _only(f / "words", "x.png", b"\x89PNG"), DataError, "holds 1 file, and none is text"),
        (lambda f: (f / "words" / "0.txt").write_bytes(b"ab\xff"), DataError, r"0.txt, line 1, byte 2 is not UTF-8"),
        (lambda f: _only(f / "words", "x.txt", b""), DataError, "holds no text"),
    ],
)
def test_bad_text_is_refused_before_anything_is_written(tmp_path, change, error, message):
    path = write_recipe(tmp_path)
    change(tmp_path)
    with pytest.raises(error, match=message):
        train(path)
    assert not (tmp_path / "run").exists()


def test_a_context_longer_than_the_text(tmp_path):
    with pytest.raises(DataError, match=r'source "words" has \d+ tokens, and a row takes 1000001'):
        train(write_recipe(tmp_path), "stages=[{ context = 1000000 }]")


def _clear(folder: Path):
    for path in folder.iterdir():
        path.unlink()


def _only(folder: Path, name: str, content: bytes):
    _clear(folder)
    (folder / name).write_bytes(content)


def test_samples_change_nothing_and_are_in_the_log(straight, tmp_path):
    """By the engine that serves models, at every validation: the same bytes at the end."""
    recipe = load_recipe(
        write_recipe(tmp_path), ["eval.every_steps=3", "eval.prompt=the quick", "eval.sample_tokens=5"]
    )
    run_recipe(recipe, Silent(), sampler=write_sample)
    samples = [event for event in read_events(tmp_path / "run" / "events.jsonl") if event.kind == "sample"]
    assert [event.step for event in samples] == [3, 6, 9, 12]
    assert {event.fields["prompt"] for event in samples} == {"the quick"}
    assert all(isinstance(event.fields["text"], str) for event in samples)
    assert weights(tmp_path / "run") == weights(straight)


def test_a_sample_that_fails_costs_nothing_but_itself(straight, tmp_path):
    def fail(*_):
        raise StorageError("the disk for temporary files is full")

    run_recipe(load_recipe(write_recipe(tmp_path)), Silent(), sampler=fail)
    failed = [event for event in read_events(tmp_path / "run" / "events.jsonl") if event.kind == "sample_failed"]
    assert len(failed) == 3
    assert "is full" in failed[0].fields["error"]
    assert weights(tmp_path / "run") == weights(straight)
