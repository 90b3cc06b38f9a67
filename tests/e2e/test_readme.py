"""What the README shows is run as it stands."""

import re
import tomllib
from pathlib import Path

import pytest

from fakes.listener import Silent
from fakes.tiny_run import write_recipe

pytest.importorskip("torch")

from textmill.base.config import from_table
from textmill.cli.app import app
from textmill.data.pipeline import Pipeline
from textmill.train.pipeline import run_recipe
from textmill.train.recipe import Recipe, load_recipe

README = (Path(__file__).parents[2] / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_pipeline_is_one():
    pipeline = from_table(Pipeline, tomllib.loads(blocks("toml")[0]))
    assert pipeline.filter.presets == ("gopher",)
    assert list(pipeline.sources) == ["web"]


def test_the_recipe_is_one():
    recipe = from_table(Recipe, tomllib.loads(blocks("toml")[1]))
    assert recipe.budget.minutes == 10
    assert list(recipe.data.sources) == ["books"]


def test_the_python_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run_recipe(load_recipe(write_recipe(tmp_path, run="runs/demo")), Silent())
    (tmp_path / "words").rename(tmp_path / "books")
    exec(compile(blocks("python")[0], "README.md", "exec"), {})
    assert (tmp_path / "tokenizer.json").is_file()
    assert capsys.readouterr().out


def test_the_pages_it_names_are_there():
    root = Path(__file__).parents[2]
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert (root / link).exists(), link


def test_commands_that_it_shows_are_there_and_those_it_says_are_not_are_not():
    """A command that has come leaves the list of what has not."""
    commands = {name for name in app if not name.startswith("-")}
    shown = set(re.findall(r"^ {4}(?:\S+/)?textmill ([a-z]+)", README, re.MULTILINE))
    missing = re.search(r"Not yet: (.*?)\. \[CHANGELOG", README, re.DOTALL).group(1)
    assert {"train", "data"} <= shown <= commands
    assert not set(re.findall(r"`([a-z]+)`", missing)) & commands
