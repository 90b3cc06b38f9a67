"""What goes to a terminal, and what to a pipe."""

import io
import queue
import sys
from types import SimpleNamespace

import pytest
from rich.console import Console

from textmill.base.errors import StorageError
from textmill.cli.output import LineBar, Output, TerminalBar, for_terminal


def test_untrusted_text_cannot_steer_a_terminal():
    assert for_terminal("a\tb\n\x1b[2Jc\x07\u202e") == "a\tb\n\ufffd[2Jc\ufffd\ufffd"


@pytest.mark.parametrize(("is_terminal", "written"), [(False, "\x1b[2J"), (True, "\ufffd[2J")])
def test_text_is_left_alone_in_a_pipe(monkeypatch, capsys, is_terminal, written):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal, raising=False)
    Output().text("\x1b[2J")
    assert capsys.readouterr().out == written


def test_messages_go_to_stderr_and_brackets_are_text(capsys):
    output = Output()
    output.say("[bold]x[/bold]")
    output.error("[red]")
    output.data("result")
    captured = capsys.readouterr()
    assert captured.out == "result\n"
    assert captured.err == "[bold]x[/bold]\nerror: [red]\n"


def test_progress_without_a_terminal_is_a_line_now_and_then(capsys, monkeypatch):
    now = 0.0
    monkeypatch.setattr("textmill.cli.output.time", SimpleNamespace(monotonic=lambda: now))
    bar = LineBar(Output(), "working", 10)
    for now, done in ((1.0, 1), (6.0, 5), (7.0, 6), (12.0, 9)):  # noqa: B007  the clock reads it
        bar.update(done, "fast")
    assert capsys.readouterr().err == "  working  50 %  fast\n  working  90 %  fast\n"


@pytest.mark.parametrize("is_long", [False, True])
def test_what_takes_more_than_a_moment_is_said_without_a_terminal(monkeypatch, is_long):
    monkeypatch.setattr("textmill.cli.output.FIRST_LINE_S", 0.05 if is_long else 60.0)
    output, said = Output(), queue.SimpleQueue()
    monkeypatch.setattr(output, "say", said.put)
    with output.waiting("loading tiny"):
        if is_long:
            assert said.get(timeout=60) == "  loading tiny"
    assert said.empty()


def test_a_phase_of_unknown_length_follows_on_the_bar(capsys):
    bar = LineBar(Output(), "reading", 10)
    bar.begin("merging")
    assert capsys.readouterr().err == "  merging\n"
    screen = io.StringIO()
    output = Output()
    output.messages = Console(file=screen, force_terminal=True, width=80, color_system=None)
    terminal = TerminalBar(output, "reading", 10)
    terminal.update(10)
    terminal._progress.refresh()
    assert "100 %" in screen.getvalue()
    screen.seek(0)
    screen.truncate()
    terminal.begin("merging")
    terminal._progress.refresh()
    terminal.close()
    assert "merging" in screen.getvalue()
    assert "0 s" in screen.getvalue()
    assert "%" not in screen.getvalue()


def test_the_training_bar_fits_eighty_columns(monkeypatch):
    """With everything it can show, on one line, percent and time left whole."""
    screen = io.StringIO()
    output = Output()
    output.messages = Console(file=screen, force_terminal=True, width=80, color_system=None)
    bar = TerminalBar(output, "training", 405)
    bar.update(321, "13.3k tok/s  loss 3.59  1.50 (held out 1.56) bits/byte")
    bar._progress.refresh()
    bar.close()
    lines = [line for part in screen.getvalue().split("\r") for line in part.splitlines() if "loss" in line]
    assert lines
    assert any("79 %" in line and "held out 1.56" in line for line in lines)
    assert all(len(line) <= 80 + 20 for line in lines), "control sequences aside"
    assert "\n                 %" not in screen.getvalue()


def test_a_full_disk_behind_standard_output_is_no_bug(capfd):
    with open("/dev/full", "w") as full, pytest.MonkeyPatch.context() as patch:  # noqa: PTH123  it is no file
        patch.setattr(sys, "stdout", full)
        with pytest.raises(StorageError, match="cannot write the result: no space left on device"):
            Output().data("x")
        full.flush()  # nothing is left to fail as the interpreter ends


def test_a_closed_standard_output(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(StorageError, match="standard output is closed"):
        Output().data("x")
