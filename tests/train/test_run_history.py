"""A log read as one course of steps, whatever stands in it: torn lines, steps done again, fields that are missing."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.run_log import write_log
from textmill.base.events import Event, iter_events, parse_event, read_events
from textmill.train.run_history import FIGURES, History
from textmill.train.run_list import last_events, summarise
from textmill.train.run_record import read_run

KINDS = ["start", "resume", "step", "eval", "sample", "checkpoint", "spike", "discard", "stage", "stop", "end", "odd"]
anything = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.just([]), st.just([[1, "a"], {}, 3]),
    st.just({"all": 1.5, "code": None}),
    st.just([{"name": 3, "first_step": "x", "num_steps": -4, "mixture": {"a": -1}}]),
)  # fmt: skip
names = st.sampled_from(
    [*FIGURES, "stages", "bits_per_byte", "num_steps", "tokens_per_step", "branch", "rewind_to", "skipped", "documents",
     "name", "mixture", "first_step", "prompt", "text", "scores", "num_bytes", "stage"]
)  # fmt: skip
events = st.builds(
    Event,
    kind=st.sampled_from(KINDS),
    step=st.integers(0, 20),
    time_s=st.floats(0, 1e10),
    fields=st.dictionaries(names, anything, max_size=3),
)


def line(event):
    return json.dumps({"v": 1, "t": event.time_s, "step": event.step, "kind": event.kind, **event.fields}).encode()


@given(st.lists(events, max_size=20))
def test_any_log_has_a_history(log):
    history = History(log)
    steps = history.steps
    assert np.all(np.diff(steps) > 0)
    assert all(len(history.figures(name)) == len(steps) for name in FIGURES)
    with np.errstate(all="ignore"):
        assert all(len(history.axis(name)) == len(steps) for name in ("step", "tokens", "time", "flops"))
    assert all(math.isfinite(value) for points in history.held_out().values() for _, value in points)
    for points in history.held_out().values():
        assert [step for step, _ in points] == sorted({step for step, _ in points})
    history.stages()
    history.stage_at(3)


@given(
    st.lists(st.tuples(st.sampled_from(["step", "step", "step", "resume", "spike"]), st.integers(1, 12)), max_size=40)
)
def test_the_last_event_of_a_step_counts(course):
    """Against a dictionary of steps; what lies beyond the last step was taken back."""
    log, expected = [], {}
    for place, (kind, step) in enumerate(course):
        log.append(Event(kind, step, float(place), {"loss": float(place), "rewind_to": step - 1}))
        back_to = {"step": step - 1, "resume": step, "spike": step - 1}[kind]
        expected = {done: loss for done, loss in expected.items() if done <= back_to}
        if kind == "step":
            expected[step] = float(place)
    history = History(log)
    assert history.steps.tolist() == list(expected)
    assert history.figures("loss").tolist() == list(expected.values())


def test_a_rewind_takes_back_what_came_of_its_steps(tmp_path):
    history = read_run(write_log(tmp_path / "run", spike_at=33)).history
    assert history.steps.tolist() == list(range(1, 61))
    assert [event.step for event in history.events("eval")] == [10, 20, 30, 40, 50, 60]
    assert len(history.events("spike")) == 1
    assert history.state == "finished"


def test_intervals_are_those_of_the_last_evaluation():
    def of(*told):
        return History([Event("eval", n, float(n), {"intervals": each}) for n, each in enumerate(told)]).intervals()

    assert of({"all": [1.0, 2.0]}, {"all": [1.5, 1.75], "code": [0.5, 0.75]}) == {
        "all": (1.5, 1.75),
        "code": (0.5, 0.75),
    }
    assert of({"all": [1.0, 2.0]}, None) == of() == {}
    assert of({"all": [1.0], "a": None, "b": ["x", 1.0], "c": [0.0, float("nan")], "d": [1, 2]}) == {"d": (1.0, 2.0)}


def test_axes(tmp_path):
    history = read_run(write_log(tmp_path / "run", spike_at=33)).history
    assert history.axis("tokens")[-1] == 60 * 64
    assert history.axis("time")[-1] == pytest.approx(60 * 64 / 640)
    assert history.axis("flops")[-1] == pytest.approx(60 * 64 * 10)


def test_an_old_log_without_most_fields():
    steps = [Event("step", step, float(step), {"loss": 3.0, "tokens_per_s": 10.0}) for step in (1, 2, 3)]
    history = History([Event("start", 0, 0.0, {}), *steps])
    assert history.last("mfu") is None
    assert history.stages() == []
    assert history.axis("tokens").tolist() == [0.0, 0.0, 0.0]


@given(st.lists(events | st.binary(max_size=20), max_size=20), st.binary(max_size=30), st.integers(0, 40))
def test_torn_lines_are_passed_over(tmp_path_factory, parts, garbage, cut):
    path = tmp_path_factory.mktemp("log") / "events.jsonl"
    whole = [part for part in parts if isinstance(part, Event)]
    lines = [line(part) if isinstance(part, Event) else part.replace(b"\n", b"") + b"{" for part in parts]
    torn = line(Event("step", 99, 1.0, {"loss": 1.0}))
    path.write_bytes(b"".join(one + b"\n" for one in lines) + torn[: min(cut, len(torn) - 1)])
    found = read_events(path)
    assert [(event.kind, event.step) for event in found] == [(event.kind, event.step) for event in whole]
    with path.open("ab") as file:
        file.write(b"\n" + garbage.replace(b"\n", b"") + b"{\n")
    assert len(list(iter_events(path))) == len(whole)
    ends = last_events(path, tuple(KINDS))
    expected = {}
    for event in found:
        expected.pop(event.kind, None)
        expected[event.kind] = event
    assert [line(event) for event in ends.values()] == [line(event) for event in expected.values()]


@pytest.mark.parametrize(
    "text",
    [b"", b"null", b"[1]", b'{"kind": 1, "step": 1, "t": 1}', b'{"kind": "step", "step": true, "t": 1}',
     b'{"kind": "step", "step": -1, "t": 1}', b'{"kind": "step", "step": 1, "t": "x"}', b"[" * 100_000,
     b'{"kind": "step", "step": 1, "t": NaN}', b'{"kind": "step", "step": 99999999999999999999, "t": 1}',
     b"\xff\xfe", b'{"kind": "st'],
)  # fmt: skip
def test_what_is_no_event(text):
    assert parse_event(text) is None


@pytest.mark.parametrize(
    ("end", "age_s", "state"), [(True, 1e6, "finished"), (False, 1.0, "running"), (False, 1e6, "failed")]
)
def test_where_a_run_stands(tmp_path, end, age_s, state):
    folder = write_log(tmp_path / "run", steps=40, end=end, spike_at=20)
    now_s = read_run(folder).history.last_time_s + age_s
    found = summarise(folder, now_s)
    assert found.state == state
    assert (found.step, found.num_steps, found.tokens, found.num_parameters) == (40, 60, 40 * 64, 1_234_567)
    assert found.bits_per_byte == pytest.approx(2.1 + 1 / 40)


def test_an_evaluation_that_was_taken_back_is_not_shown(tmp_path):
    folder = write_log(tmp_path / "run", steps=20, end=False)
    with (folder / "events.jsonl").open("a") as file:
        file.write(json.dumps({"t": 1e9, "step": 5, "kind": "resume"}) + "\n")
    assert summarise(folder, 0.0).bits_per_byte is None
    assert summarise(folder, 0.0).step == 5


def test_a_run_that_started_afresh_forgets_what_was(tmp_path):
    folder = write_log(tmp_path / "run", steps=20, end=True)
    with (folder / "events.jsonl").open("a") as file:
        file.write(json.dumps({"t": 1e9, "step": 0, "kind": "start", "num_steps": 7}) + "\n")
    found = summarise(folder, 0.0)
    assert (found.state, found.step, found.num_steps, found.loss) == ("running", 0, 7, None)
    assert read_run(folder).history.steps.tolist() == []
