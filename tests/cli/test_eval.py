"""``textmill eval`` as a user gives it: what goes where, the next step, exit codes."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from fakes.tiny_model import write_model
from textmill.cli import main

CHOICES = [
    {
        "id": f"q{n}",
        "prompt": f"the fox number {n} over the",
        "choices": ["dog", "box", "lazy wizards"],
        "answer": n % 3,
    }
    for n in range(12)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("eval") / "tiny"
    write_model(folder)
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("the quick brown fox " * 60)
    (tmp_path / "web").mkdir()
    for name in "ab":
        (tmp_path / "web" / f"{name}.txt").write_text(f"seven wizards {name} box")
    (tmp_path / "pick.jsonl").write_text("".join(json.dumps(item) + "\n" for item in CHOICES))
    return tmp_path


def test_bits_of_sources_and_positions(folder, here, capsys):
    assert main(["eval", str(folder), "--data", "notes.txt", "mine=web", "--by", "position", "--threads", "1"]) == 0
    out, err = capsys.readouterr()
    rows = [line.split() for line in out.splitlines()]
    assert [row[0] for row in rows[:4]] == ["source", "notes", "mine", "all"]
    assert "0 to 256" in out
    assert "256 to 1,024" in out
    assert "results are in evals/tiny" in err
    assert "eval report" in err
    assert sorted(path.name for path in (here / "evals/tiny/bits").iterdir()) == ["mine.jsonl", "notes.jsonl"]


def test_figures_as_json(folder, here, capsys):
    assert (
        main(["eval", str(folder), "--data", "web", "--tasks", "pick.jsonl", "--shots", "2", "--json", "-o", "out"])
        == 0
    )
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told["bits"][0]["documents"] == 2
    assert told["tasks"][0]["items"] == 10
    assert set(told["tasks"][0]["metrics"]) == {"acc", "acc_norm", "acc_bytes"}
    assert len(told["model"]["model_sha256"]) == 64
    assert told["model"]["kv"] == "f32"
    assert "its first 2 items are the examples" in err


def test_a_comparison(folder, here, capsys):
    for name, weights in (("one", "f32"), ("other", "int4")):
        arguments = ["eval", str(folder), "--tasks", "pick.jsonl", "--data", "web", "--weights", weights, "-o", name]
        assert main(arguments) == 0
    capsys.readouterr()
    assert main(["eval", "compare", "one", "other"]) == 0
    out = capsys.readouterr().out
    assert "bits_per_byte" in out
    assert "acc_norm" in out
    assert main(["eval", "compare", "one", "other", "--json"]) == 0
    assert {one["metric"] for one in json.loads(capsys.readouterr().out)} == {
        "bits_per_byte",
        "acc",
        "acc_norm",
        "acc_bytes",
    }


def test_a_report(folder, here, capsys):
    assert main(["eval", str(folder), "--tasks", "pick.jsonl"]) == 0
    assert main(["eval", "report", str(folder)]) == 0
    page = capsys.readouterr().out.split()[-1]
    assert page == "evals/tiny/report.html"
    assert "acc_norm" in (here / page).read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "there is nothing to measure"),
        (["--data", "nowhere.txt"], 3, "nowhere.txt does not exist"),
        (["--tasks", "bad.jsonl"], 3, "bad.jsonl, line 2: choices 0 and 1 are equal"),
        (["--tasks", "pick.jsonl", "pick.jsonl"], 2, 'are both called "pick"'),
        (["--tasks", "pick.jsonl", "--shots", "50"], 3, "has 12 items, and 50 are to be examples"),
        (["--data", "notes.txt", "--limit", "0"], 2, "--limit is 0, and must be 1 or more"),
        (["--data", "notes.txt", "--stride", "999"], 2, "--stride is 999, and must be 1 to the context (256)"),
    ],
)
def test_what_is_wrong_is_said(folder, here, capsys, arguments, code, said):  # noqa: PLR0917  fixtures
    (here / "bad.jsonl").write_text(
        json.dumps(CHOICES[0]) + "\n" + json.dumps({"prompt": "?", "choices": ["a", "a"], "answer": 0}) + "\n"
    )
    assert main(["eval", str(folder), *arguments]) == code
    assert said in capsys.readouterr().err


def test_without_the_harness_the_command_says_what_to_install(folder, here, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    assert main(["eval", str(folder), "--harness", "arc_easy"]) == 2
    assert "pip install 'textmill[eval]'" in capsys.readouterr().err


def test_no_torch_is_imported(folder, here):
    script = (
        "import sys; from textmill.cli import main; "
        "code = main(sys.argv[1:]); assert 'torch' not in sys.modules; sys.exit(code)"
    )
    command = [sys.executable, "-c", script, "eval", str(folder), "--data", "web", "--tasks", "pick.jsonl"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.slow
def test_a_killed_evaluation_goes_on_to_the_same_bytes(folder, here):
    (here / "many.jsonl").write_text(
        "".join(json.dumps(CHOICES[n % 12] | {"id": str(n), "prompt": f"the {n} fox " * 9}) + "\n" for n in range(1500))
    )
    command = [sys.executable, "-m", "textmill", "eval", str(folder), "--tasks", "many.jsonl", "--threads", "1"]
    subprocess.run([*command, "-o", "whole"], check=True, capture_output=True)
    whole = (here / "whole/many.jsonl").read_bytes()
    torn = here / "torn/many.jsonl"
    for least in (1, len(whole) // 3, 2 * len(whole) // 3):
        process = subprocess.Popen([*command, "-o", "torn"], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        while process.poll() is None and not (torn.exists() and torn.stat().st_size >= least):
            time.sleep(0.005)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run([*command, "-o", "torn"], check=True, capture_output=True)
    assert torn.read_bytes() == whole
