"""The stages of a pipeline on the screen: rate and time left of each, on a terminal and in a log."""

import io
import re
from types import SimpleNamespace

import pytest
from rich.console import Console

from data.pipelines import pipeline_of, write_corpus
from textmill.cli.output import Output
from textmill.cli.stage_screen import StageScreen
from textmill.data import job as job_module
from textmill.data.engines.local import LocalEngine
from textmill.data.prepare import prepare


@pytest.fixture
def clock(monkeypatch):
    """What both, lines and rates, read the time from."""
    clock = SimpleNamespace(now=0.0)
    for place in ("textmill.cli.output.time", "textmill.cli.stage_screen.time"):
        monkeypatch.setattr(place, SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def test_a_log_tells_rate_and_time_left(clock, capsys):
    with StageScreen(Output()) as screen:
        screen.stage("reading", 100_000_000)
        screen.progress(20_000_000)  # an earlier start did these
        for clock.now, done in ((6.0, 50_000_000), (12.0, 80_000_000)):
            screen.progress(done)
        screen.stage("making tokens", None)
        for clock.now, done in ((13.0, 0), (18.5, 11_000_000)):
            screen.progress(done)
    assert capsys.readouterr().err.splitlines() == [
        "  reading  50 %  50 MB, 5 MB/s, 10.0 s left",
        "  reading  80 %  80 MB, 5 MB/s, 4.0 s left",
        "  making tokens  11 MB, 2 MB/s",
    ]


def test_a_terminal_draws_time_left_once():
    drawn = io.StringIO()
    output = Output()
    output.messages = Console(file=drawn, force_terminal=True, width=100, color_system=None)
    with StageScreen(output) as screen:
        screen.stage("reading", 1000)
        screen.progress(10)
        screen.progress(500)
        screen._bar._progress.refresh()
    assert re.search(r"reading .*50 % .*500 B, .*/s .*(\d+:\d\d|-:--)", drawn.getvalue())
    assert "left" not in drawn.getvalue()


def test_every_long_stage_of_a_pipeline_tells_how_far_it_is(tmp_path, monkeypatch):
    """From nothing to all of it, and never back."""
    monkeypatch.setattr(job_module, "UNIT_BYTES_OF_MB", 1 << 14)
    corpus = write_corpus(tmp_path / "corpus")
    stages = []

    class Screen(StageScreen):
        def stage(self, name, total_bytes):
            stages.append((name, total_bytes, []))

        def progress(self, done_bytes):
            stages[-1][2].append(done_bytes)

    tables = {"dedup": {"minhash": True, "recall_sample": 0}}
    prepare(pipeline_of(corpus, tmp_path / "out", **tables), LocalEngine(1), Screen(Output()))
    told = {name: (total, done) for name, total, done in stages if done}
    assert list(told) == [
        "counting lines",
        "reading",
        "looking for duplicates",
        "training the tokenizer",
        "making tokens",
    ]
    for name, (total, done) in told.items():
        assert total, name
        assert done == sorted(done), name
    for name in ("counting lines", "looking for duplicates", "making tokens"):
        assert told[name][1][-1] == told[name][0], name
