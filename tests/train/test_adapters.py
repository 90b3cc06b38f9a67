"""Adapters: the calls that tools see, what happens without them, and that none can stop a run."""

import json
import sys
from types import ModuleType, SimpleNamespace

import pytest

from textmill.base.errors import ConfigError, MissingExtraError
from textmill.base.events import Event
from textmill.train.adapters.figures import figures_of
from textmill.train.adapters.opening import ADAPTERS, Adapters, open_adapter
from textmill.train.adapters.tools import run_id

EVENTS = [
    Event("start", 0, 1.0, {"num_steps": 2, "stages": []}),
    Event("step", 1, 2.0, {"loss": 3.0, "mfu": None, "lr": float("nan"), "stage": "stable", "tokens": 64}),
    Event("eval", 1, 3.0, {"bits_per_byte": {"all": 2.0, "code": 1.5}}),
    Event("sample", 1, 4.0, {"prompt": "a", "text": "<b>"}),
    Event("spike", 2, 5.0, {"loss": 9.0, "rewind_to": 0}),
    Event("checkpoint", 2, 6.0, {"pause_s": 0.1, "num_bytes": 10}),
    Event("end", 2, 7.0, {}),
]
LOGGED = [
    ({"train/loss": 3.0, "train/tokens": 64.0}, 1),
    ({"held_out/all": 2.0, "held_out/code": 1.5}, 1),
    ({"sample": "a<b>"}, 1),
    ({"train/spike": 1.0}, 2),
    ({"save/pause_s": 0.1, "save/num_bytes": 10.0}, 2),
]


class FakeRun:
    def __init__(self):
        self.calls = []
        self.finished = 0

    def define_metric(self, *arguments, **options):
        self.calls.append(("define_metric", arguments, options))

    def log(self, logged, **options):
        self.calls.append((logged, options))

    def finish(self):
        self.finished += 1


@pytest.fixture
def fake_tool(monkeypatch):
    def make(name):
        run, opened = FakeRun(), {}
        module = ModuleType(name)
        module.init = lambda **options: opened.update(options) or run
        monkeypatch.setitem(sys.modules, name, module)
        return run, opened

    return make


def test_wandb_sees_steps_of_our_own(fake_tool, tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    run, opened = fake_tool("wandb")
    adapter = open_adapter("wandb", tmp_path / "my run", {"recipe": {"a": 1}})
    for event in EVENTS:
        adapter(event)
    adapter.close()
    assert opened["config"] == {"recipe": {"a": 1}}
    assert (opened["project"], opened["name"], opened["resume"]) == ("textmill", "my run", "allow")
    assert opened["id"] == run_id(tmp_path / "my run")
    assert run.calls[:2] == [("define_metric", ("step",), {}), ("define_metric", ("*",), {"step_metric": "step"})]
    assert run.calls[2:] == [(logged | {"step": step}, {}) for logged, step in LOGGED]
    assert run.finished == 1


def test_trackio_sees_figures_by_step(fake_tool, tmp_path):
    run, opened = fake_tool("trackio")
    adapter = open_adapter("trackio", tmp_path / "run", {})
    for event in EVENTS:
        adapter(event)
    adapter.close()
    assert (opened["project"], opened["name"], opened["resume"]) == ("textmill", run_id(tmp_path / "run"), "allow")
    assert run.calls == [(logged, {"step": step}) for logged, step in LOGGED]
    assert run.finished == 1


def test_tensorboard_reads_what_was_written(tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    adapter = open_adapter("tensorboard", tmp_path, {"recipe": {"a": 1}})
    for event in EVENTS:
        adapter(event)
    adapter.close()
    found = EventAccumulator(str(tmp_path / "tensorboard"))
    found.Reload()
    scalars = {
        name: [(one.step, one.value, one.wall_time) for one in found.Scalars(name)] for name in found.Tags()["scalars"]
    }
    expected = {name for logged, _ in LOGGED for name in logged} - {"sample"}
    assert set(scalars) == expected
    assert scalars["train/loss"] == [(1, 3.0, 2.0)]
    assert found.Tensors("sample/text_summary")[0].tensor_proto.string_val[0] == b"    a<b>"
    assert json.loads(found.Tensors("config/text_summary")[0].tensor_proto.string_val[0]) == {"recipe": {"a": 1}}


@pytest.mark.parametrize("name", ADAPTERS)
def test_a_tool_that_is_missing_is_named_with_the_command(name, monkeypatch, tmp_path):
    for module in [module for module in sys.modules if module.partition(".")[0] == name]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=f"pip install {name}"):
        open_adapter(name, tmp_path, {})


def test_a_wrong_name_is_refused(tmp_path):
    with pytest.raises(ConfigError, match='run.log_to names "wandd", which is no adapter; did you mean "wandb"'):
        Adapters(["wandd"], tmp_path, {}, print)


@pytest.mark.parametrize("at", ["open", "log", "finish"])
def test_a_tool_that_fails_is_dropped_with_one_warning(fake_tool, tmp_path, monkeypatch, at):
    run, _ = fake_tool("wandb")
    other, _ = fake_tool("trackio")

    def fail(*arguments, **options):
        raise RuntimeError("no network")

    if at == "open":
        monkeypatch.setattr(sys.modules["wandb"], "init", fail)
    else:
        setattr(run, at, fail)
    warnings = []
    adapters = Adapters(["wandb", "trackio", "trackio"], tmp_path, {}, warnings.append)
    for event in EVENTS:
        adapters(event)
    adapters.close()
    assert warnings == [
        "wandb failed and is left out from here on; the run goes on, and events.jsonl has all of it: "
        "RuntimeError: no network"
    ]
    assert len(other.calls) == len(LOGGED)
    assert other.finished == 1


def test_what_is_opened_is_closed_where_another_name_is_wrong(fake_tool, tmp_path):
    run, _ = fake_tool("trackio")
    with pytest.raises(ConfigError):
        Adapters(["trackio", "nothing"], tmp_path, {}, print)
    assert run.finished == 1


def test_a_run_has_one_id(tmp_path):
    assert run_id(tmp_path / "a b") == run_id(tmp_path / "x" / ".." / "a b")
    assert run_id(tmp_path / "a b") != run_id(tmp_path / "c" / "a b")


def test_what_tuning_holds_out_has_figures():
    assert figures_of(SimpleNamespace(kind="eval", fields={"held_out": {"loss": 1.5, "accuracy": "?"}})) == {
        "held_out/loss": 1.5
    }


def test_events_of_another_shape_have_no_figures():
    assert figures_of(SimpleNamespace(kind="eval", fields={"bits_per_byte": None})) == {}
    assert figures_of(SimpleNamespace(kind="odd", fields={"loss": 1.0})) == {}
