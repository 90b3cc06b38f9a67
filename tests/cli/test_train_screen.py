"""The live view of a run: it fits, it is calm, it costs the run next to nothing, and it changes nothing."""

import io
import time
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from rich.highlighter import NullHighlighter

from fakes.run_log import write_log
from textmill.base.events import Event, read_events, recent_events
from textmill.cli.output import Output
from textmill.cli.train_figures import SmallCurve
from textmill.cli.train_screen import TrainScreen, can_show
from textmill.train.run_history import FIGURES


def terminal(width=80, height=24, **options):
    output = Output()
    output.messages = Console(
        file=io.StringIO(), force_terminal=True, width=width, height=height, color_system="standard", **options
    )
    return output


def wait_until(condition):
    """Wait for a picture that is certain to be drawn; the limit ends a hang."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def log_of(folder, **options):
    return read_events(write_log(folder / "run", **options) / "events.jsonl")


@pytest.mark.parametrize(("width", "height"), [(60, 18), (80, 24), (120, 40), (200, 60)])
@pytest.mark.parametrize("colour", [True, False])
def test_it_fits(tmp_path, width, height, colour):
    screen = TrainScreen(terminal(width, height), "a-run-with-a-name-of-fifty-characters-and-some-more", 60)
    for event in log_of(tmp_path, steps=50, spike_at=33):
        screen.event(event)
    lines = screen.lines(width - 1, height, colour=colour)
    assert len(lines) < height
    assert all(line.cell_len < width for line in lines)
    text = "\n".join(line.plain for line in lines)
    for shown in (
        "step 50 of 60",
        "83 %",
        "loss 2.731",
        "held out 2.120 at 50",
        "lr 1.00e-3",
        "grad norm 1.02",
        "640 tokens/s",
    ):
        assert shown in text
    for shown in ("stage stable (1 of 2)", "all 2.120   code 2.020", "saved step 50", "1 spike, the last at 33"):
        assert shown in text
    assert (max(text) >= "⠀") == colour


def test_the_view_at_eighty_columns(tmp_path):
    now = [0.0]
    screen = TrainScreen(terminal(), "tiny", 60, clock=lambda: now[0])
    for event in log_of(tmp_path, steps=30):
        now[0] += 0.5
        screen.event(event)
    lines = [line.plain for line in screen.lines(79, 24, colour=False)]
    assert lines[0] == "  tiny  step 30 of 60  ━━━━━━━━━━━━━━━───────────────  50 %  18.0 s left"
    assert lines[2] == "  loss 3.063 (now 2.730)   bits/byte 1.532 (now 1.365)   held out 2.133 at 30"
    assert lines[3] == "  bits/byte by step: t training  h held out"
    assert lines[-6:] == [
        "",
        "  lr 1.00e-3   grad norm 1.03   640 tokens/s   MFU 40.0 %   memory 1 GB",
        "  stage stable (1 of 2)   tokens 1.92k   for 20.5 s",
        "  all 2.133   code 2.033",
        "  saved step 30 1.0 s ago, 1 MB",
        "  writes      'def f30():\\n    return <b>&</b>'",
    ]


anything = (
    st.none() | st.booleans() | st.floats() | st.text(max_size=3) | st.just({"all": "x", "b": 1.0}) | st.just([{}])
)
events = st.builds(
    Event,
    kind=st.sampled_from(["start", "resume", "step", "eval", "stage", "checkpoint", "spike", "sample", "odd"]),
    step=st.integers(0, 9),
    time_s=st.just(0.0),
    fields=st.dictionaries(
        st.sampled_from([*FIGURES, "stage", "name", "stages", "num_steps", "text"]), anything, max_size=4
    ),
)


@settings(max_examples=50)
@given(st.lists(events, max_size=15))
def test_whatever_comes_can_be_shown(log):
    screen = TrainScreen(terminal(), "run", 9)
    for event in log:
        screen.event(event)
    assert screen.lines(79, 24, colour=False)


def test_a_step_costs_the_run_microseconds(tmp_path):
    steps = [event for event in log_of(tmp_path, steps=60) if event.kind == "step"]
    costs = []
    with TrainScreen(terminal(), "run", 100_000) as screen:
        for number in range(5000):
            event = steps[number % 60]
            begin = time.perf_counter()
            screen.event(Event("step", number + 1, 0.0, event.fields))
            costs.append(time.perf_counter() - begin)
    assert sorted(costs)[len(costs) // 2] < 0.2e-3


def test_it_is_calm(tmp_path):
    """Two pictures a second, whatever comes, and nothing left behind."""
    output = terminal()
    steps = [event for event in log_of(tmp_path, steps=60) if event.kind == "step"]
    with TrainScreen(output, "run", 60) as screen:
        begin = time.monotonic()
        while time.monotonic() - begin < 1.6:
            for number, event in enumerate(steps):
                screen.event(Event("step", number + 1, 0.0, event.fields))
            time.sleep(0.01)
    seconds = time.monotonic() - begin
    drawn = output.messages.file.getvalue().count("step ")
    assert drawn <= 2 * (1 + seconds * 4)  # a picture has the word twice


def test_a_curve_never_grows_and_goes_back():
    curve = SmallCurve()
    for step in range(1, 10_001):
        curve.add(float(step), float(step))
    assert 256 <= len(curve.xs) <= 512
    assert all(x - 32 <= y <= x for x, y in zip(curve.xs, curve.ys, strict=True))
    curve.add(5000.0, 0.0)
    assert curve.xs[-1] <= 5000.0


@pytest.mark.parametrize(
    ("options", "environment"),
    [({"width": 59}, {}), ({"height": 17}, {}), ({}, {"TERM": "dumb"}), ({"_environ": {"TERM": "unknown"}}, {})],
)
def test_where_there_is_no_room_there_is_a_bar(options, environment):
    output = terminal(**options, **({"_environ": environment} if environment else {}))
    assert not can_show(output)


def test_a_pipe_gets_lines(monkeypatch, capsys, tmp_path):
    pytest.importorskip("torch")
    from textmill.cli.listener import TrainListener

    now = [0.0]
    monkeypatch.setattr("textmill.cli.output.time", SimpleNamespace(monotonic=lambda: now[0]))
    run = SimpleNamespace(folder=tmp_path / "run", plan=SimpleNamespace(num_steps=60))
    with TrainListener(Output()) as listener:
        listener._begin_steps(run)
        for event in log_of(tmp_path, spike_at=33):
            now[0] += 1.0
            listener.event(event)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "  training   2 %  640 tok/s  loss 6.00  3.00 bits/byte"  # after 2 seconds; then every 5
    assert lines[1].startswith("  training  10 %")
    assert any("(held out 2.12) bits/byte" in line for line in lines)
    assert "warning: step 33: spike (loss 9, limit 4; grad norm 7, limit 2); back to step 28" in lines


def test_what_tuning_scores_on_what_it_holds_out_is_shown(capsys, monkeypatch, tmp_path):
    pytest.importorskip("torch")
    from textmill.cli.listener import TrainListener

    step = {"loss": 1.5, "tokens_per_s": 640.0, "reward_margin": 0.25}
    scored = Event("eval", 1, 1.0, {"held_out": {"loss": 1.25, "reward_margin": 0.5}})
    screen = TrainScreen(terminal(), "run", 60)
    now = [0.0]
    monkeypatch.setattr("textmill.cli.output.time", SimpleNamespace(monotonic=lambda: now[0]))
    run = SimpleNamespace(folder=tmp_path / "run", plan=SimpleNamespace(num_steps=60))
    with TrainListener(Output()) as listener:
        listener._begin_steps(run)
        for event in (Event("step", 1, 1.0, step), scored, Event("step", 2, 2.0, step)):
            now[0] += 9.0
            screen.event(event)
            listener.event(event)
    lines = [line.plain for line in screen.lines(79, 24, colour=False)]
    assert "  held-out loss 1.250   held-out reward margin 0.500" in lines
    assert "held-out loss 1.25  held-out reward margin 0.5" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("height", [24, 10])
def test_a_word_on_the_way_takes_nothing_off_the_screen(tmp_path, height):
    """What is said while steps are timed or taken stands above the bar, or the view, which goes on."""
    pytest.importorskip("torch")
    from textmill.cli.listener import TrainListener

    output = terminal(height=height)
    drawn = output.messages.file
    run = SimpleNamespace(folder=tmp_path / "run", plan=SimpleNamespace(num_steps=60, stages=()))
    with TrainListener(output) as listener:
        listener.doing("timing a few steps")
        listener.say("memory 9 MB at most")
        place = len(drawn.getvalue())
        wait_until(lambda: "timing a few steps" in drawn.getvalue()[place:])
        listener._begin_steps(run)
        listener.say("wandb failed")
        place = len(drawn.getvalue())
        for event in log_of(tmp_path, steps=3):
            listener.event(event)
        wait_until(lambda: "3 of 60" in drawn.getvalue()[place:] or "training" in drawn.getvalue()[place:])


def test_what_is_long_is_told_in_lines_that_end_between_words(capsys):
    pytest.importorskip("torch")
    from textmill.cli.listener import TrainListener

    message = "schedule.peak_lr = 0.006: 0.3118 x C^-0.125 for the run's operations, 0.006 at most " * 2
    output = terminal(60, highlighter=NullHighlighter(), soft_wrap=True)
    TrainListener(output).say(message)
    lines = output.messages.file.getvalue().splitlines()
    assert all(len(line) <= 60 for line in lines)
    assert " ".join(line.strip() for line in lines) == message.strip()
    TrainListener(Output()).say(message)
    assert capsys.readouterr().err == message + "\n"  # a pipe gets one line


def test_a_run_that_goes_on_shows_which_of_its_stages_it_is_in(tmp_path):
    screen = TrainScreen(terminal(), "run", 60, ["stable", "long"])
    for event in log_of(tmp_path, steps=50):
        if event.kind != "start":
            screen.event(event)
    assert "stage stable (1 of 2)" in "\n".join(line.plain for line in screen.lines(79, 24, colour=False))


def test_a_run_that_is_resumed_shows_what_it_told_before(tmp_path):
    """Its curve, what was held out and its checkpoint are there from the first picture on; what is redone is not."""
    before = time.time() - 100
    told = [Event(event.kind, event.step, before, event.fields) for event in log_of(tmp_path, steps=50)]
    screen = TrainScreen(terminal(), "run", 60, clock=lambda: 1000.0)
    screen.recall(told, 35)
    screen.event(Event("resume", 35, time.time(), {"num_steps": 60}))
    lines = [line.plain for line in screen.lines(79, 24, colour=False)]
    assert lines[0].startswith("  run  step 35 of 60")
    assert lines[2].endswith("held out 2.133 at 30")
    assert lines[-7].split() == ["1", "35"]
    assert lines[-2] == "  saved step 30 1m 40s ago, 1 MB"


def test_a_run_that_begins_afresh_shows_nothing_of_before(tmp_path):
    screen = TrainScreen(terminal(), "run", 60)
    screen.recall(log_of(tmp_path, steps=50), 50)
    screen.event(Event("start", 0, time.time(), {"num_steps": 60}))
    lines = [line.plain for line in screen.lines(79, 24, colour=False)]
    assert "step 0 of 60" in lines[0]
    assert any("not evaluated yet" in line for line in lines)
    assert any("no checkpoint yet" in line for line in lines)
    assert not any("bits/byte by step" in line for line in lines)


@pytest.mark.parametrize("max_bytes", [1, 40, 400, 1 << 20])
def test_the_end_of_a_log_is_whole_events(tmp_path, max_bytes):
    path = write_log(tmp_path / "run", steps=9) / "events.jsonl"
    whole, found = read_events(path), recent_events(path, max_bytes)
    assert found == whole[len(whole) - len(found) :]
    assert (len(found) == len(whole)) == (max_bytes >= path.stat().st_size)
    assert recent_events(tmp_path / "none", 9) == []
