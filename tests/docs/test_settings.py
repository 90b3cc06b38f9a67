"""Recipes and pipelines that pages show, whole or in part, are such: every key and value is taken."""

import re
import textwrap
import tomllib

import pytest

from docs.pages import ROOT, fenced, pages
from textmill.base.config import from_table
from textmill.data.pipeline import Pipeline
from textmill.train.recipe import Recipe

PART = re.compile(r"(?:^ {4}\[\[?[a-z.]+\]\]?\n(?:(?: {4}.*)?\n)*)", re.MULTILINE)
CONFIGURED = {
    name: found
    for name, page in {"README": ROOT / "README.md", **pages("")}.items()
    if (found := [*fenced(page.read_text(), "toml"), *map(textwrap.dedent, PART.findall(page.read_text()))])
}
# What a part of a file leaves out and the whole needs.
RECIPE = {
    "run": {"dir": "runs/mine"},
    "tokenizer": {"vocab_size": 4096},
    "model": {"preset": "tiny"},
    "data": {"sources": {name: {"path": name} for name in ("web", "books", "code", "math")}},
}
PIPELINE = {"output": {"dir": "shards"}, "tokenizer": {"vocab_size": 4096}, "sources": {"web": {"path": "raw"}}}
PIPELINE_ONLY = {"output", "sources", "filter", "dedup"}


def completed(table):
    """A part of a recipe or a pipeline with what the whole needs; and which of the two it is."""
    if PIPELINE_ONLY & table.keys():
        return Pipeline, PIPELINE | table
    if "tune" in table:
        return Recipe, table
    budget = {} if "stages" in table else {"budget": {"steps": 100}}
    return Recipe, {**RECIPE, **budget, **table, "run": RECIPE["run"] | table.get("run", {})}


@pytest.mark.parametrize("name", CONFIGURED)
def test_recipes_and_pipelines_are_such_and_so_are_parts_of_them(name):
    for block in CONFIGURED[name]:
        from_table(*completed(tomllib.loads(block)))
