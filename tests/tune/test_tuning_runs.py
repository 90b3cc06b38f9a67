"""Whole runs of SFT, DPO and GRPO on the trainer: they learn, and end in the same bytes if they are killed."""

import hashlib
import json
import signal

import pytest

pytest.importorskip("torch")

import textmill
from fakes import warm_process
from textmill.base.errors import ConfigError, DataError, TextmillError
from textmill.base.events import read_events
from textmill.checkpoint.store import list_checkpoints
from textmill.cli import main
from textmill.train.recipe import load_recipe
from textmill.train.report import write_report
from textmill.tune.pipeline import run_tuning
from tune.tiny_tuning import TUNE, tune, write_recipe

# Several updates on the same answers, and a reference: all that a resume has to bring back.
HARD = {
    "sft": ("tune.packing=all", "batch.rows=2", "tune.epochs=7", "run.remat=full", "run.precision=bf16"),
    "dpo": ("tune.label_smoothing=0.1", "run.precision=bf16", "optimizer.ema_decay=0.9"),
    "grpo": ("budget.steps=11", "tune.updates=3", "tune.beta=0.05"),
}

ADAPTS = ("tune.rank=3", "tune.dropout=0.2")
HEAD = (*ADAPTS, 'tune.targets=["q_proj", "down_proj", "lm_head"]')
DORA = (*ADAPTS, "tune.dora=true")


def steps_of(folder):
    return {event.step: event.fields for event in read_events(folder / "run" / "events.jsonl") if event.kind == "step"}


def result(folder):
    """Every tensor, the model's files, and what was told of each step."""
    run = folder / "run"
    last = list_checkpoints(run)[-1]
    files = [last / "model.safetensors", last / "optimizer.safetensors", *(run / "model").iterdir()]
    files += (run / "adapter").glob("*.safetensors")  # its configuration names the base, which lies elsewhere
    dropped = ("tokens_per_s", "flops_per_s", "mfu", "memory_bytes")
    told = {
        step: {name: value for name, value in fields.items() if name not in dropped}
        for step, fields in steps_of(folder).items()
    }
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}, told


def test_sft_learns_the_answers(tmp_path):
    path = write_recipe(tmp_path, "sft")
    tune(path, "sft", ())
    steps = steps_of(tmp_path)
    assert len(steps) == 12, "4 epochs of 24 conversations, 8 a step"
    assert steps[12]["loss"] < 0.6 * steps[1]["loss"]
    assert 0 < steps[12]["num_targets"] < 8 * 60


def test_batches_that_are_passed_over_are_named_by_file_and_line(tmp_path):
    path = write_recipe(tmp_path, "sft")
    with pytest.raises(TextmillError):
        tune(path, "sft", ("schedule.peak_lr=1e30", "optimizer.weight_decay=1.0"))
    found = [event for event in read_events(tmp_path / "run/events.jsonl") if event.kind == "discard"]
    assert found
    places = {f"{tmp_path / 'chats.jsonl'}:{line}" for line in range(1, 25)}
    assert all(set(event.fields["documents"]) <= places for event in found)


def test_dpo_learns_which_answers_are_preferred(tmp_path):
    path = write_recipe(tmp_path, "dpo")
    tune(path, "dpo", ())
    steps = steps_of(tmp_path)
    assert len(steps) == 12, "4 epochs of 24 pairs, 8 a step"
    assert steps[1]["loss"] == pytest.approx(0.6931, abs=1e-3)
    assert steps[1]["reward_margin"] == pytest.approx(0.0, abs=1e-6)
    assert steps[12]["loss"] < 0.3
    assert steps[12]["accuracy"] == 1.0
    assert steps[12]["chosen_reward"] > 0 > steps[12]["rejected_reward"]
    page = write_report(tmp_path / "run").read_text()
    assert "Reward margin" in page
    assert "Accuracy" in page


def test_grpo_learns_what_is_rewarded(tmp_path):
    path = write_recipe(tmp_path, "grpo")
    tune(path, "grpo", ("budget.steps=24", "schedule.peak_lr=3e-2"))
    steps = steps_of(tmp_path)
    assert steps[24]["reward"] > 5 * steps[1]["reward"]
    assert steps[24]["reward"] > 0.3
    answers = [json.loads(line) for line in (tmp_path / "run/rollouts/step-0000023.jsonl").read_text().splitlines()]
    assert len(answers) == 32
    assert sum(answer["reward"] for answer in answers) / 32 == pytest.approx(steps[24]["reward"])
    assert "Reward" in write_report(tmp_path / "run").read_text()


@pytest.mark.parametrize("kind", TUNE)
def test_a_tuned_model_begins_and_ends_texts_as_its_base(tmp_path, kind):
    path = write_recipe(tmp_path, kind)
    tune(path, kind, ("budget.steps=1",) if kind == "grpo" else ("tune.epochs=0.1",))
    base, tuned = (textmill.load(tmp_path / name) for name in ("base", "run/model"))
    messages = [{"role": "user", "content": "the fox?"}]
    assert tuned.chat_ids(messages) == base.chat_ids(messages)
    assert tuned.prompt_ids("the fox") == base.prompt_ids("the fox")
    assert tuned.rules == base.rules
    assert tuned.tokenizer.chat_template == base.tokenizer.chat_template


@pytest.fixture(
    scope="module",
    params=[*((kind, ()) for kind in TUNE), ("sft", HEAD), ("dpo", DORA), ("grpo", HEAD)],
    ids=[*TUNE, "sft head", "dpo dora", "grpo head"],
)
def alone(request, tmp_path_factory):
    """A run that nobody disturbed, of all weights or of adapters: of the head, or with magnitudes; they drop inputs."""
    folder = tmp_path_factory.mktemp("alone")
    kind, adapts = request.param
    settings = (*HARD[kind], *adapts)
    path = write_recipe(folder, kind)
    assert warm_process.finish(warm_process.start(tune, path, kind, settings)) == 0
    return kind, settings, result(folder)


@pytest.mark.slow
def test_a_run_killed_again_and_again_ends_in_the_same_bytes(tmp_path, alone):
    """Before its first checkpoint, and between one and the next; ``SIGTERM`` saves in the midst of a cycle, too."""
    kind, settings, wanted = alone
    path = write_recipe(tmp_path, kind)
    for at, by in ((2, signal.SIGKILL), (5, signal.SIGTERM), (6, signal.SIGKILL), (9, signal.SIGKILL)):
        process = warm_process.start(tune, path, kind, settings, at, by)
        assert warm_process.finish(process) == (-9 if by == signal.SIGKILL else 1)
    assert warm_process.finish(warm_process.start(tune, path, kind, settings)) == 0
    assert result(tmp_path) == wanted


@pytest.mark.parametrize(("kind", "micro_rows"), [("sft", 1), ("dpo", 1), ("dpo", 2)])
def test_how_many_rows_go_through_at_once_changes_next_to_nothing(tmp_path, kind, micro_rows):
    losses = []
    for rows, place in ((8, "all"), (micro_rows, "few")):
        path = write_recipe(tmp_path / place, kind)
        tune(path, kind, (f"batch.micro_rows={rows}",))
        losses.append([fields["loss"] for _, fields in sorted(steps_of(tmp_path / place).items())])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def lines_of(path, *lines):
    path.write_text("".join(line + "\n" for line in lines))


@pytest.mark.parametrize(
    ("kind", "line", "what"),
    [
        ("sft", '{"messages": [{"role": "assistant", "content": "a"}]}', "roles are out of order"),
        ("sft", json.dumps({"instruction": "a", "output": "b " * 200}), "context is 128"),
        ("dpo", '{"prompt": "a", "chosen": "b", "rejected": "b"}', "the same"),
        ("dpo", '{"prompt": "a", "chosen": "b"}', '"rejected" is missing'),
        ("dpo", json.dumps({"prompt": "a", "chosen": "b " * 200, "rejected": "c"}), "context is 128"),
        ("grpo", '{"prompt": ""}', '"prompt" is empty'),
        ("grpo", json.dumps({"prompt": "fox " * 80}), "context is 64"),
    ],
)
def test_bad_lines_are_named_before_anything_is_written(tmp_path, capsys, kind, line, what):
    path = write_recipe(tmp_path, kind)
    data = tmp_path / {"sft": "chats.jsonl", "dpo": "pairs.jsonl", "grpo": "prompts.jsonl"}[kind]
    lines_of(data, data.read_text().splitlines()[0], line)
    settings = () if kind != "grpo" else ("--set", "budget.steps=2")
    assert main(["tune", kind, str(path), *settings]) == 3
    said = capsys.readouterr().err
    assert f"{data}:2: " in said
    assert what in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("return float('nan')", "rewards.py:1) returned nan"),
        ("return [1]", "rewards.py:1) returned [1]"),
        ("return 1 / 0", "rewards.py:2: division by zero"),
    ],
)
def test_a_reward_that_fails_is_named_and_can_be_mended(tmp_path, capsys, body, what):
    path = write_recipe(tmp_path, "grpo")
    (tmp_path / "rewards.py").write_text(f"def share(completion):\n    {body}\n")
    command = ["tune", "grpo", str(path), "--set", "budget.steps=2"]
    assert main(command) == 3
    said = capsys.readouterr().err
    assert what in said
    assert "prompts.jsonl:" in said
    (tmp_path / "rewards.py").write_text("def share(completion):\n    return len(completion)\n")
    assert main([*command, "--resume"]) == 0


@pytest.mark.parametrize(
    ("kind", "settings", "what"),
    [
        ("sft", ("tune.beta=1",), 'tune.beta is given, and kind = "sft" has none'),
        ("sft", ("tune.packing=some",), "packing"),
        ("sft", ("tune.context=100000",), "takes 256 tokens"),
        ("dpo", ("tune.beta=0",), "tune.beta is 0"),
        ("dpo", ("tune.label_smoothing=0.5",), "tune.label_smoothing is 0.5"),
        ("dpo", ("tune.reward=x.py:f",), 'tune.reward is given, and kind = "dpo" has none'),
        ("dpo", ("tune.betta=1",), 'did you mean "beta"'),
        ("dpo", ("budget.steps=3", "tune.epochs=1"), "must say once how long"),
        ("sft", ("eval.holdout=0.99",), r"eval.holdout is 0.99, which holds 24 of 24 out"),
        ("dpo", ("eval.holdout=0.0001",), r"holds 0 of 24 out.*eval.data"),
        ("sft", ("eval.data=nowhere.jsonl",), "cannot read .*nowhere.jsonl"),
        ("sft", ("eval.holdout_kind=tail",), "eval.holdout_kind is given, and does nothing where a model is tuned"),
        ("dpo", ("eval.prompt=Who?",), "eval.prompt is given"),
        ("sft", ("optimizer.z_loss=1e-4",), "optimizer.z_loss is given"),
        ("sft", ("run.branch=runs/a@5",), "run.branch is given"),
        ("dpo", ("model.preset=tiny",), r"has \[model\] and \[tune\]"),
        ("dpo", ("tune.context=100000",), "takes 256 tokens"),
        ("dpo", ("tune.model=nowhere",), 'no model "nowhere"'),
        ("dpo", ("tune.data=nowhere.jsonl",), "cannot read"),
        ("grpo", (), "must say once how long"),
        ("grpo", ("budget.steps=2", "tune.answers=1"), "tune.answers is 1"),
        ("grpo", ("budget.steps=2", "tune.answers=5"), "must be a multiple"),
        ("grpo", ("budget.steps=2", "tune.max_tokens=64"), "tune.max_tokens is 64"),
        ("grpo", ("budget.steps=2", "tune.temperature=0"), "tune.temperature is 0"),
        ("grpo", ("budget.steps=2", "tune.reward=rewards.py:none"), 'no function "none"'),
    ],
)
def test_settings_that_cannot_be_used(tmp_path, monkeypatch, kind, settings, what):
    path = write_recipe(tmp_path, kind)
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ConfigError, DataError), match=what):
        tune(path, kind, settings)
    assert not (tmp_path / "run").exists()


def test_a_recipe_for_tuning_is_not_trained_and_kinds_are_told_apart(tmp_path, capsys):
    path = write_recipe(tmp_path, "dpo")
    assert main(["train", str(path)]) == 2
    assert "textmill tune dpo" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="textmill tune dpo RECIPE"):
        run_tuning(load_recipe(path), "grpo", None)


def test_a_run_does_not_go_on_with_other_data_and_says_where_the_reward_has_changed(tmp_path, capsys):
    path = write_recipe(tmp_path, "grpo")
    command = ["tune", "grpo", str(path), "--set", "budget.steps=2"]
    assert main(command) == 0
    assert main(command) == 2, "it holds a run"
    assert f"textmill tune grpo {tmp_path / 'run'} --resume" in capsys.readouterr().err
    (tmp_path / "rewards.py").write_text("def share(completion):\n    return 0\n")
    assert main([*command, "--resume"]) == 0
    assert "reward's file has changed" in capsys.readouterr().err
    lines_of(tmp_path / "prompts.jsonl", '{"prompt": "another"}')
    assert main([*command, "--resume"]) == 3
    assert "not those that" in capsys.readouterr().err


def test_other_commands_know_what_a_tuned_run_is(tmp_path, capsys, monkeypatch):
    path = write_recipe(tmp_path, "dpo")
    tune(path, "dpo", ("tune.epochs=0.5",))
    run = str(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    generate = ["generate", run, "the fox", "--max-tokens", "4"]
    for command in (["runs", "show", run], ["runs", "ls", str(tmp_path)], generate):
        assert main(command) == 0, capsys.readouterr().err
    assert main(["data", "inspect", run, "--step", "1"]) == 2
    assert "tunes a model" in capsys.readouterr().err
    assert main(["data", "plan", str(path)]) == 2
    assert "textmill tune dpo" in capsys.readouterr().err
