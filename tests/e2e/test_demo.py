"""The demo as a new user runs it: in an empty folder, from the text to the generated text."""

import json
import re
import subprocess
import sys

import pytest

from fakes.tiny_run import write_recipe

pytest.importorskip("torch")
pytestmark = pytest.mark.alone


def demo(folder, *arguments):
    command = [sys.executable, "-m", "textmill", "demo", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=560)


@pytest.mark.slow
def test_the_whole_way_from_the_standard_library(tmp_path):
    result = demo(tmp_path, "--minutes", "0.4")
    assert result.returncode == 0, result.stderr
    assert result.stdout == "runs/demo\n"
    story = result.stderr
    for heading in ("1. Text", "2. Tokenizer", "3. Shards", "4. Model", "5. How good it is", "6. What next"):
        assert heading in story
    assert re.search(r"code +\d+ documents, 1\d(\.\d)? MB\n", story)
    assert re.search(r"code +\d\.\d+M tokens \(\d\.\d\d bytes of text each\) to train on, \d+k held out", story)
    assert re.search(r"text  │ .*\n.*bytes │ .*\n.*ids   │ ", story)
    figures = re.search(r"all +\d+ +\d+ kB +(\d\.\d{3}) +(\d\.\d{3}) +(\d\.\d{3})", story)
    assert figures
    model, gzip, xz = map(float, figures.groups())
    assert model < gzip, "half a minute is enough to be below gzip -9"
    assert 2 < xz < 4
    for command in (
        "textmill generate runs/demo",
        "textmill train runs/demo --minutes 10",
        "textmill demo --text FOLDER",
    ):
        assert command in story
    run = tmp_path / "runs" / "demo"
    assert "<svg" in (run / "report.html").read_text()
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {path.name for path in (run / "model").iterdir()}
    again = [sys.executable, "-m", "textmill", "generate", "runs/demo", "import ", "--max-tokens", "5"]
    assert subprocess.run(again, cwd=tmp_path, capture_output=True, check=False).returncode == 0


def test_the_users_own_text_and_nothing_overwritten(tmp_path):
    write_recipe(tmp_path)
    for folder in ("runs/demo", "runs/demo-2"):
        result = demo(tmp_path, "--minutes", "0.02", "--text", "words")
        assert result.returncode == 0, result.stderr
        assert result.stdout == f"{folder}\n"
    recipe = json.loads((tmp_path / "runs" / "demo" / "config.json").read_text())["recipe"]
    assert list(recipe["data"]["sources"]) == ["text"]


def test_one_short_text(tmp_path):
    (tmp_path / "a.txt").write_text("Once upon a time there was a mill. " * 400)
    result = demo(tmp_path, "--minutes", "0.01", "--text", "a.txt")
    assert result.returncode == 0, result.stderr


def test_a_text_that_is_too_short(tmp_path):
    (tmp_path / "a.txt").write_text("Once upon a time.")
    result = demo(tmp_path, "--minutes", "0.01", "--text", "a.txt")
    assert result.returncode == 3
    assert "give it more text" in result.stderr
    assert "Traceback" not in result.stderr
