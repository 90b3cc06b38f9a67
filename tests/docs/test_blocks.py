"""Python in the README, the guides and the reference is run: each page's blocks in order, in a folder of its own."""

import json
import os
import re
import subprocess

import pytest

from docs.pages import ROOT, fenced, pages
from eval.harness_tasks import harness_environment, harness_python, write_tasks
from fakes.listener import Silent
from fakes.tiny_adapter import write_random_adapter
from fakes.tiny_model import write_model
from fakes.tiny_run import write_recipe
from serve.clients.environment import client_python
from serve.live_server import LiveServer

PAGES = {"README": ROOT / "README.md", **pages("guides"), **pages("reference")}


def a_model(folder):
    """A few random weights by the real model's name: what fits a grammar fits it whoever draws."""
    write_model(folder / "smollm2-135m-instruct")


def a_model_and_two_adapters(folder):
    a_model(folder)
    for name in ("poet", "clerk"):
        write_random_adapter(folder / "runs" / name / "adapter", folder / "smollm2-135m-instruct")


def a_run_and_its_books(folder):
    pytest.importorskip("torch")
    from textmill.train.pipeline import run_recipe
    from textmill.train.recipe import load_recipe

    run_recipe(load_recipe(write_recipe(folder, run="runs/demo")), Silent())
    (folder / "words").rename(folder / "books")


def items(folder):
    """What the page's text asks, and something else."""
    asked = re.search(r'^asked = "(.*)"$', PAGES["guides/decontamination"].read_text(), re.MULTILINE)[1]
    for name, question in {"gsm8k": asked, "mmlu": "Which gas do plants take in from the air around them?"}.items():
        (folder / f"{name}.jsonl").write_text(json.dumps({"question": question}) + "\n")


def good_and_bad_texts(folder):
    (folder / "wiki").mkdir()
    for number in range(60):
        (folder / "wiki" / f"{number}.txt").write_text(f"Article {number} tells how the mill of number {number} works.")
    bad = ({"text": f"buy {number} now !!! click {number} here"} for number in range(60))
    (folder / "web.jsonl").write_text("".join(json.dumps(record) + "\n" for record in bad))


# What a page's blocks find in their folder; the others' find nothing.
NAMED = {
    "README": a_run_and_its_books,
    "guides/structured-answers": a_model,
    "guides/serving": a_model_and_two_adapters,
    "guides/decontamination": items,
    "guides/quality": good_and_bad_texts,
}
# Pages whose blocks, but for those of textmill alone, want another project's packages: their tests are below.
ELSEWHERE = {"guides/serving": "openai", "guides/evaluation": "lm_eval"}
WITH_BLOCKS = {name: found for name, page in PAGES.items() if (found := fenced(page.read_text(), "python"))}


def is_ours(block):
    return block.startswith("import textmill\n")


HERE = {name: blocks for name, blocks in WITH_BLOCKS.items() if name not in ELSEWHERE or any(map(is_ours, blocks))}


@pytest.mark.parametrize("name", HERE)
def test_blocks_run(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    NAMED.get(name, lambda _: None)(tmp_path)
    names = {}
    for number, block in enumerate(WITH_BLOCKS[name]):
        if name in ELSEWHERE and not is_ours(block):
            continue
        exec(compile(block, f"{name}, block {number}", "exec"), names)
        assert capsys.readouterr().out or "print(" not in block, "it says that it prints, and nothing came"


@pytest.mark.peer
@pytest.mark.slow
def test_blocks_of_the_harness(tmp_path):
    write_model(tmp_path / "runs" / "tiny")
    tasks = tmp_path / "my_tasks"
    tasks.mkdir()
    write_tasks(tasks)
    (tasks / "tiny_choice.yaml").write_text((tasks / "tiny_choice.yaml").read_text().replace("tiny_choice", "my_task"))
    run_elsewhere("guides/evaluation", harness_python(), tmp_path, harness_environment(tmp_path))


@pytest.mark.clients
@pytest.mark.slow
def test_blocks_of_a_client(tmp_path):
    write_model(tmp_path / "smollm2-135m-instruct")
    python = client_python("openai-3", "openai==3.57.0", "pytest==9.2.0")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    with LiveServer(tmp_path / "smollm2-135m-instruct") as server:
        run_elsewhere("guides/serving", python, tmp_path, environment, ("http://127.0.0.1:8000", server.address))


def run_elsewhere(name, python, folder, environment, *changes):
    """Run a page's blocks as a program of another environment, with words of theirs changed."""
    assert ELSEWHERE[name] in WITH_BLOCKS[name][0]
    program = "\n".join(block for block in WITH_BLOCKS[name] if not is_ours(block))
    for old, new in changes:
        assert old in program
        program = program.replace(old, new)
    command = [python, "-c", program]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-4000:]


@pytest.mark.parametrize("name", PAGES)
def test_python_is_marked_as_such(name):
    """What is indented is a terminal, a picture or TOML: no Python that nothing would run."""
    lines = re.sub(r"^```.*?^```$", "", PAGES[name].read_text(), flags=re.MULTILINE | re.DOTALL)
    assert re.findall(r"^ {4}(?:import \w|from \w[\w.]* import |def \w+\().*$", lines, re.MULTILINE) == []
