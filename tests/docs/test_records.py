"""Lines of JSON that pages show are read by what reads them."""

import pytest

from docs.pages import ROOT, command_lines, fenced
from textmill.cli import main
from textmill.eval.tasks.task_file import read_task
from textmill.tune.chat_records import read_chats
from textmill.tune.preference_records import read_json_lines, read_preferences
from textmill.tune.rewards import load_reward

DOCS = ROOT / "docs"


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a page's block of a language into a file of the working folder."""
    monkeypatch.chdir(tmp_path)

    def write(page, language, place, name):
        path = tmp_path / name
        path.write_text(fenced((DOCS / page).read_text(), language)[place])
        return path

    return write


@pytest.mark.parametrize(("place", "kind"), list(enumerate(("choice", "choice", "cloze", "generate", "code"))))
def test_tasks(write, place, kind):
    task = read_task(write("reference/tasks.md", "json", place, "task.jsonl"))
    assert task.settings.kind == kind
    assert len(task.items) == 1


def test_conversations(write):
    assert len(list(read_chats([write("guides/tuning.md", "json", 0, "chats.jsonl")]))) == 3


def test_pairs(write):
    assert len(list(read_preferences([write("guides/preferences.md", "json", 0, "pairs.jsonl")]))) == 3


def test_a_prompt_and_its_reward(write):
    """As the recipe on the page names it."""
    write("guides/preferences.md", "python", 0, "rewards.py")
    ((where, record),) = read_json_lines([write("guides/preferences.md", "json", 1, "prompts.jsonl")])
    recipe = fenced((DOCS / "guides" / "preferences.md").read_text(), "toml")[1]
    (name,) = (line.split('"')[1] for line in recipe.splitlines() if line.startswith("reward ="))
    reward = load_reward(name)
    prompt = record.pop("prompt")
    assert reward(prompt, "It is 42.", record, where) > reward(prompt, "It is 41.", record, where)


def test_the_plan_that_is_shown_is_the_one_that_is_made(capsys):
    page = (DOCS / "guides" / "planning.md").read_text()
    assert main(command_lines(page)[0]) == 0
    plan = "".join(f"    {line}".rstrip() + "\n" for line in capsys.readouterr().out.splitlines())
    assert plan in page
