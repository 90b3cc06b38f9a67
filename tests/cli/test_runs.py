"""``textmill runs``: tables at widths, figures as JSON, names that are not whole."""

import json
import os
from pathlib import Path

import pytest

from fakes.run_log import write_log
from textmill.base.events import EventLog
from textmill.cli import main
from textmill.cli.runs_ls import ago
from textmill.cli.table import Column, draw_table

NOW_S = 1_800_000_000.0
COLUMNS = (Column("run", is_text=True, least=6), Column("step"), Column("loss", rank=1), Column("tokens", rank=2))
ROWS = [["a-long-name", "1,234 of 5,000", "2.345", "12.3M"], ["日本語", "7", "", ""]]


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_log(tmp_path / "runs" / "alpha", spike_at=33)
    write_log(tmp_path / "runs" / "beta", steps=34, lr=2e-3, end=False)
    os.utime(tmp_path / "runs" / "beta" / "events.jsonl")
    return tmp_path / "runs"


@pytest.mark.parametrize(
    ("width", "drawn"),
    [
        (
            60,
            [
                "run                    step   loss  tokens",
                "a-long-name  1,234 of 5,000  2.345   12.3M",
                "日本語                    7",
            ],
        ),
        (
            37,
            [
                "run               step   loss  tokens",
                "a-lon…  1,234 of 5,000  2.345   12.3M",
                "日本語               7",
            ],
        ),
        (30, ["run                step   loss", "a-long…  1,234 of 5,000  2.345", "日本語                7"]),
        (24, ["run                 step", "a-long-…  1,234 of 5,000", "日本語                 7"]),
        (5, ["run               step", "a-lon…  1,234 of 5,000", "日本語               7"]),
    ],
)
def test_a_table_fits_the_terminal(width, drawn):
    assert draw_table(COLUMNS, ROWS, width) == drawn


@pytest.mark.parametrize(
    ("age_s", "text"), [(-3, "0s ago"), (59, "59s ago"), (61, "1m ago"), (7200, "2h ago"), (9e4, "1d ago")]
)
def test_ages(age_s, text):
    assert ago(age_s) == text


@pytest.mark.usefixtures("runs")
def test_ls(capsys):
    assert main(["runs", "ls"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["run", "state", "step", "bits/byte", "loss", "tokens", "tokens/s", "params", "last"]
    by_name = {row.split()[0]: row.split() for row in rows}
    assert by_name["alpha"][1:9] == ["finished", "60", "2.117", "2.516", "3.84k", "640", "1.23M", by_name["alpha"][8]]
    assert by_name["beta"][1:5] == ["running", "34", "of", "60"]


def test_ls_as_json(runs, capsys):
    assert main(["runs", "ls", str(runs), "--json"]) == 0
    found = {run["name"]: run for run in json.loads(capsys.readouterr().out)["runs"]}
    assert found["beta"]["state"] == "running"
    assert found["alpha"]["folder"] == str(runs / "alpha")
    assert found["alpha"]["tokens"] == 3840


def test_ls_of_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["runs", "ls"]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "runs holds no runs" in captured.err
    assert main(["runs", "ls", "nowhere"]) == 3
    assert "nowhere is no folder" in capsys.readouterr().err


@pytest.mark.usefixtures("runs")
def test_show(capsys):
    assert main(["runs", "show", "al"]) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[0] == "alpha  (runs/alpha)"
    assert lines[1].startswith("state         finished at step 60 of 60, ")
    assert "stages        stable: steps 1 to 30, context 16; 100 % code" in lines
    assert "              decay: steps 31 to 60, context 32; 75 % b, 25 % c" in lines
    assert "all       2.117  1.867 to 2.367       60  2.117       60" in lines
    assert "  step 33: spike (loss 9, limit 4; grad norm 7, limit 2); back to step 28" in lines
    assert "  │     return <b>&</b>" in lines
    assert sum("┤" in line for line in lines) == 3
    assert all(len(line) <= 120 for line in lines)
    assert 'next: textmill generate runs/alpha/model "Once upon a time"' in captured.err


@pytest.mark.usefixtures("runs")
def test_show_as_json(capsys):
    assert main(["runs", "show", "beta", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["state"], found["step"], found["scores"][0]["source"]) == ("running", 34, "all")
    assert found["stages"][1]["mixture"] == {"b": 3, "c": 1}
    assert found["next"].endswith("runs show runs/beta --report")


@pytest.mark.parametrize(
    ("name", "said"), [("alpha", "chat runs/alpha/model"), ("beta", "tune dpo runs/beta --resume")]
)
def test_a_tuned_run_goes_on_as_one(runs, capsys, name, said):
    (runs / name / "config.json").write_text(json.dumps({"recipe": {"tune": {"kind": "dpo"}}}))
    if name == "beta":
        log = EventLog(runs / name / "events.jsonl")
        log.write("stop", 34)
        log.close()
    assert main(["runs", "show", name]) == 0
    assert f"next: textmill {said}\n" in capsys.readouterr().err


def test_what_tuning_was_scored_by_is_shown(runs, capsys):
    log = EventLog(runs / "beta" / "events.jsonl")
    for step, loss in ((20, 2.5), (34, 2.25)):
        log.write("eval", step, held_out={"loss": loss, "margin_accuracy": 0.75})
    log.close()
    assert main(["runs", "show", "beta"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[lines.index("held out of tuning") + 1 :][:3] == [
        "score             last  at step",
        "loss             2.250       34",
        "margin accuracy  0.750       34",
    ]
    assert main(["runs", "show", "beta", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["held_out"]["loss"] == [[20, 2.5], [34, 2.25]]


def test_the_report_is_drawn_anew(runs):
    assert main(["runs", "show", "beta", "--report"]) == 0
    assert "34 of 60" in (runs / "beta" / "report.html").read_text()


def test_hostile_text_cannot_steer_the_terminal(runs, capsys):
    log = EventLog(runs / "alpha" / "events.jsonl")
    log.write("sample", 60, prompt="\x1b[2J", text="\x07\u202e")
    log.write("discard", 60, reason="\x1b]0;x\x07", documents=["\x1b[1m"])
    log.write("eval", 60, bits_per_byte={"\x1b[31m": 1.0})
    log.close()
    assert main(["runs", "show", "alpha"]) == 0
    assert main(["runs", "compare", "alpha", "beta"]) == 0
    assert not {"\x1b", "\x07", "\u202e"} & set(capsys.readouterr().out)


@pytest.mark.usefixtures("runs")
def test_compare(capsys):
    assert main(["runs", "compare", "alpha", "beta", "--html", "page.html"]) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[:2] == ["a  alpha: 60 steps, 3.84k tokens", "b  beta: 34 steps, 2.18k tokens"]
    assert "schedule.peak_lr  0.001  0.002" in lines
    assert not any("run.dir" in line for line in lines)
    assert "run     last   best  at step  at 2.18k tokens  at step 34" in lines
    assert "alpha  2.117  2.117       60            2.133       2.133" in lines
    assert "bits per byte, held-out text" in lines
    assert "the page is in page.html" in captured.err
    assert Path("page.html").read_text().startswith("<!doctype html>")


@pytest.mark.usefixtures("runs")
def test_compare_as_json(capsys):
    assert main(["runs", "compare", "alpha", "beta", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["differences"] == [{"key": "recipe.schedule.peak_lr", "values": [0.001, 0.002]}]
    assert found["scores"]["all"][1]["at_tokens"] == pytest.approx(2.1 + 1 / 30)


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["show", "alhpa"], 3, 'did you mean "alpha"?'),
        (["show", ""], 3, "holds no run"),
        (["show", "a", "--json", "--repotr"], 2, "--repotr"),
        (["compare", "alpha"], 2, "compare takes 2 to 20 runs, and 1 are given"),
        (["compare", "alpha", "gamma"], 3, 'there is no run "gamma"'),
        (["compare", "alpha", "beta", "--html", "runs/alpha/config.json/page.html"], 1, "page.html"),
        (["shwo"], 2, "show"),
    ],
)
def test_what_is_wrong_is_said(arguments, code, message, capsys):
    assert main(["runs", *arguments]) == code
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err


@pytest.mark.usefixtures("runs")
def test_listing_runs_needs_no_torch():
    import subprocess
    import sys

    code = (
        "import sys; from textmill.cli import main; "
        "[main(['runs', *words]) for words in (['ls'], ['show', 'alpha', '--report'], ['compare', 'alpha', 'beta'])]; "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
