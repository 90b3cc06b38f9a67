"""What goes to a terminal, and what to a pipe."""

import sys
from types import SimpleNamespace

import pytest

from textmill.cli.output import LineBar, Output, for_terminal


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
