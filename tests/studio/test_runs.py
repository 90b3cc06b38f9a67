"""Runs as the page reads them: whole, as they grow, and as a chart can draw them."""

import json
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.run_log import write_log, write_step
from textmill.base.events import Event, EventLog, parse_event
from textmill.studio.loaded import Loaded
from textmill.studio.run_view import Tail, WatchedRun, series, told_run
from textmill.studio.subjects import Subjects
from textmill.train.run_compare import compare_runs
from textmill.train.run_facts import describe_run
from textmill.train.run_history import FIGURES, History
from textmill.train.run_record import read_run

quick = settings(max_examples=60, deadline=None)
_KINDS = ("eval", "sample", "checkpoint", "stage")


def test_a_run_is_told_as_it_is(studio, place):
    told = studio.get("/api/runs/first")
    facts = describe_run(read_run(place / "runs" / "first"), 0.0)
    assert told["state"] == "finished"
    for name in ("step", "num_steps", "num_parameters", "tokens", "loss", "num_resumes"):
        assert told[name] == getattr(facts, name)
    assert told["offset"] == (place / "runs" / "first" / "events.jsonl").stat().st_size
    (incident,) = told["incidents"]
    assert (incident["kind"], incident["step"], incident["back_to"]) == ("spike", 25, 20)
    assert [sample["step"] for sample in told["samples"]] == [10, 20, 30, 40, 50, 60]
    assert told["held_out"]["all"]["step"] == [10, 20, 30, 40, 50, 60]
    assert told["config"]["recipe"]["schedule"]["peak_lr"] == 1e-3
    assert "tokens_per_s" in told["figures"]
    assert "reward" not in told["figures"]
    lines = {line["name"]: line for line in studio.get("/api/runs")["runs"]}
    assert lines["first"]["step"] == 60
    assert lines["example"]["state"] == "finished"


def test_runs_are_compared(studio, place):
    told = studio.get("/api/runs-compare?run=first&run=second")
    runs = [read_run(place / "runs" / name) for name in ("first", "second")]
    comparison = compare_runs(runs)
    assert told["names"] == ["first", "second"]
    assert told["equal_step"] == comparison.equal_step == 30
    assert {"key": "recipe.schedule.peak_lr", "values": [1e-3, 2e-3]} in told["differences"]
    assert [row["run"] for row in told["scores"]["all"]] == ["first", "second"]


def test_runs_that_are_compared_wait_for_each_other_in_one_order(place):
    """Whoever compares b and a holds neither while a is held: two of them never wait for each other."""
    loaded = Loaded(Subjects((), place / "runs"))
    begun = threading.Event()

    def compare():
        begun.set()
        with loaded.runs(["second", "first"]) as watched:
            return [run.folder.name for run in watched]

    def take_second():
        with loaded.run("second") as run:
            return run.folder.name

    with ThreadPoolExecutor() as pool:
        with loaded.run("first"):
            compared = pool.submit(compare)
            begun.wait()
            time.sleep(0.05)
            assert pool.submit(take_second).result(60) == "second"
            assert not compared.done()
        assert compared.result(60) == ["second", "first"]


def history_of(values):
    """A run of a step for each value, None where the log lacks it."""
    history = History()
    for step, value in enumerate(values, 1):
        fields = {"tokens": 64 * step, "tokens_per_s": 640.0} | ({} if value is None else {"loss": value})
        history.add(Event("step", step, 0.0, fields))
    return history


figures = st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=1, max_size=200)


@quick
@given(values=figures, points=st.integers(10, 60))
def test_no_spike_is_lost_where_steps_stand_together(values, points):
    told = json.loads(json.dumps(series(history_of(values), ["loss"], points=points)))
    width = told["num_per_point"]
    assert len(told["step"]) <= points
    assert told["is_exact"] == (width == 1) == (len(values) <= points)
    loss = told["figures"]["loss"]
    for number, mean in enumerate(loss["mean"]):
        group = [value for value in values[number * width : (number + 1) * width] if value is not None]
        assert told["step"][number] == min((number + 1) * width, len(values))
        if not group:
            assert mean is None
            continue
        assert math.isclose(mean, np.mean(group), rel_tol=1e-9, abs_tol=1e-9)
        if width > 1:
            assert (loss["low"][number], loss["high"][number]) == (min(group), max(group))
        else:
            assert mean == group[0]


@quick
@given(num=st.integers(1, 120), edges=st.tuples(st.integers(0, 130), st.integers(0, 130)))
def test_a_range_is_exact_at_zoom(num, edges):
    begin, end = sorted(edges)
    told = series(history_of([float(i) for i in range(num)]), ["loss"], begin=begin, end=end, points=200)
    inside = [step for step in range(1, num + 1) if begin <= step <= end]
    assert told["step"] == inside
    assert told["figures"]["loss"]["mean"] == [step - 1.0 for step in inside]
    by_tokens = series(history_of([0.0] * num), ["loss"], x="tokens", begin=64 * begin, end=64 * end, points=200)
    assert by_tokens["step"] == inside
    assert by_tokens["at"] == [64.0 * step for step in inside]


def test_a_hundred_thousand_steps_come_as_many_points_as_are_asked(tmp_path):
    history = history_of([float(i % 97) for i in range(100_000)])
    assert len(series(history, ["loss"], points=2000)["step"]) == 2000
    whole = series(history, ["loss"], points=200_000)
    assert whole["is_exact"]
    assert len(whole["figures"]["loss"]["mean"]) == 100_000


class Page:
    """What a page has of a run, which it brings up to date by tails alone."""

    def __init__(self):
        self.offset = self.step = 0
        self.state = ""
        self.steps = {}
        self.events = []

    def take(self, tail):
        if tail is None:
            return
        if tail["restarted"]:
            self.steps, self.events = {}, []
        if tail["back_to"] is not None:
            self.steps = {step: row for step, row in self.steps.items() if step <= tail["back_to"]}
            self.events = [one for one in self.events if one["kind"] not in _KINDS or one["step"] <= tail["back_to"]]
        columns = tail["steps"]
        for number, step in enumerate(columns["step"]):
            self.steps[step] = {name: columns[name][number] for name in FIGURES}
        self.events += tail["events"]
        self.offset, self.step = tail["offset"], max(self.steps, default=0)
        self.state = tail["state"] or self.state

    def check(self, folder):
        """Against the run, read whole; a line without its end is left for the next time, be it whole or torn."""
        lines = (folder / "events.jsonl").read_bytes().splitlines(keepends=True)
        events = (parse_event(line) for line in lines if line.endswith(b"\n"))
        history = History(event for event in events if event is not None)
        assert sorted(self.steps) == history.steps.tolist()
        for name in FIGURES:
            ours = [self.steps[step][name] for step in sorted(self.steps)]
            theirs = [None if math.isnan(value) else value for value in history.figures(name).tolist()]
            assert ours == theirs
        for kind in (*_KINDS, "spike"):
            assert [one["step"] for one in self.events if one["kind"] == kind] == [
                event.step for event in history.events(kind)
            ]
        assert self.state == ("" if history.state == "preparing" else history.state)


@quick
@given(
    cuts=st.lists(st.integers(0, 40_000), max_size=12),
    spike_at=st.one_of(st.none(), st.integers(6, 39)),
    resumes=st.lists(st.integers(0, 40), max_size=2),
    restarts=st.booleans(),
)
def test_a_page_that_follows_has_what_a_reader_has_at_every_moment(tmp_path_factory, cuts, spike_at, resumes, restarts):
    """The log grows by pieces that end anywhere, within a line too; a resume and a rewind take steps back."""
    source = write_log(tmp_path_factory.mktemp("whole"), steps=40, planned=40, spike_at=spike_at, end=False)
    log = EventLog(source / "events.jsonl")
    for step in resumes:
        log.write("resume", step)
        for again in range(step + 1, step + 4):
            write_step(log, again, loss=9.0 + again)
    if restarts:
        log.write("start", 0, num_steps=3)
        write_step(log, 1, loss=5.0)
    log.write("end", 3)
    log.close()
    data = (source / "events.jsonl").read_bytes()
    folder = tmp_path_factory.mktemp("grows")
    page, watched = Page(), WatchedRun(folder)
    for cut in [*sorted(min(cut, len(data)) for cut in cuts), len(data)]:
        (folder / "events.jsonl").write_bytes(data[:cut])
        page.take(Tail(folder, page.offset, page.step).read())
        page.check(folder)
        watched.read()
        assert watched.history.steps.tolist() == sorted(page.steps)
        assert watched.offset == page.offset == data[:cut].rfind(b"\n") + 1


def test_a_line_that_is_no_event_is_passed_over(tmp_path):
    folder = write_log(tmp_path / "run", steps=3, planned=4, end=False)
    with (folder / "events.jsonl").open("ab") as file:
        file.write(b"\0\0\xff\n[1]\n{}\n")
        file.write(b'{"v": 1, "t": 1.0, "step": 4, "kind": "step", "loss": 2.5}\n{"v": 1, "t": 1.0, "st')
    watched = WatchedRun(folder)
    watched.read()
    assert watched.history.steps.tolist() == [1, 2, 3, 4]
    assert told_run(watched)["step"] == 4
    assert Tail(folder, 0, 0).read()["steps"]["step"] == [1, 2, 3, 4]


def test_a_log_that_was_replaced_by_a_shorter_one_is_read_anew(tmp_path):
    folder = write_log(tmp_path / "run", steps=30)
    watched, tail = WatchedRun(folder), Tail(folder, 0, 0)
    watched.read()
    tail.read()
    (folder / "events.jsonl").unlink()
    write_log(folder, steps=5, planned=5)
    watched.read()
    assert watched.history.steps.tolist() == [1, 2, 3, 4, 5]
    told = tail.read()
    assert told["restarted"]
    assert told["steps"]["step"] == [1, 2, 3, 4, 5]


def test_a_run_is_followed_while_it_is_written(studio, place):
    folder = write_log(place / "runs" / "growing", steps=5, planned=50, end=False)
    told = studio.get("/api/runs/growing")
    assert told["step"] == 5
    with studio.follow(f"/api/runs/growing/live?offset={told['offset']}&step={told['step']}") as live:
        live.wait(lambda events: events)
        assert live.events[0][1]["steps"]["step"] == []
        log = EventLog(folder / "events.jsonl")
        write_step(log, 6)
        live.wait(lambda events: any(data["steps"]["step"] == [6] for _, data in events))
        log.write("spike", 6, loss=9.0, rewind_to=4)
        write_step(log, 5)
        log.write("stop", 5)
        live.wait(lambda events: events[-1][1]["state"] == "stopped")
        log.close()
    page = Page()
    page.take(studio.get("/api/runs/growing/tail"))
    page.check(folder)
    assert sorted(page.steps) == [1, 2, 3, 4, 5]
    assert studio.get(f"/api/runs/growing/tail?offset={page.offset}&step=5")["steps"]["step"] == []
    assert studio.get("/api/runs/growing")["state"] == "stopped"


def test_a_run_that_has_said_nothing_yet_is_preparing(studio, place):
    folder = place / "runs" / "silent"
    folder.mkdir()
    (folder / "events.jsonl").touch()
    told = studio.get("/api/runs/silent")
    assert (told["state"], told["step"], told["figures"], told["config"]) == ("preparing", 0, [], {})
    assert studio.get("/api/runs/silent/series?figure=loss")["step"] == []


@pytest.mark.parametrize("name", ["../first", "/etc", "first/../second", ".", ""])
def test_a_run_is_named_and_not_a_path(studio, name):
    response = studio.request("GET", f"/api/runs/{name}")
    assert response.status_code in (404, 400) or response.json().keys() == {"runs"} or "offset" in response.json()
    if "offset" in response.json():  # httpx resolves dots before it asks
        assert response.json()["name"] in ("first", "second")
