"""Every command that a page shows is one: its words, options and values are what the parser takes."""

import pytest
from cyclopts import CycloptsError, MissingArgumentError

from docs.pages import ROOT, command_lines, named_commands, pages
from textmill.cli.app import app
from textmill.cli.arguments import STANDARD_INPUT

PAGES = {"README": ROOT / "README.md", "CONTRIBUTING": ROOT / "CONTRIBUTING.md", **pages("")}


def refusal(words):
    """What the parser says against the words, or None; nothing is carried out."""
    try:
        app.parse_args(
            [STANDARD_INPUT if word == "-" else word for word in words], exit_on_error=False, print_error=False
        )
    except CycloptsError as error:
        return error
    return None


@pytest.mark.parametrize("name", PAGES)
def test_lines_can_be_typed_so(name):
    found = [(words, refusal(words)) for words in command_lines(PAGES[name].read_text())]
    assert [(words, str(error)) for words, error in found if error] == []


@pytest.mark.parametrize("name", PAGES)
def test_commands_in_sentences_are_there(name):
    found = [(words, refusal(words)) for words in named_commands(PAGES[name].read_text())]
    wrong = [(words, str(error)) for words, error in found if error and not isinstance(error, MissingArgumentError)]
    assert wrong == []


def test_lines_are_found_as_they_are_written():
    page = """
    $ textmill runs ls
    KEY=one .venv/bin/textmill chat MODEL --prompt - < question.txt    the same
    textmill generate MODEL "two  words"     # a remark
    small="--set a.b=1"
    torchrun --nproc-per-node 2 -m textmill train mine.toml $small \\
        --resume                             two processes
    textmill 0.1.0: loading
Text `textmill tune
sft|dpo X`."""
    assert command_lines(page) == [
        ["runs", "ls"],
        ["chat", "MODEL", "--prompt", "-"],
        ["generate", "MODEL", "two  words"],
        ["train", "mine.toml", "--set", "a.b=1", "--resume"],
    ]
    assert named_commands(page) == [["tune", "sft", "X"], ["tune", "dpo", "X"]]


def test_wrong_ones_are_found():
    assert refusal(["data", "prepares"])
    assert refusal(["train", "mine.toml", "--resum"])
    assert refusal(["serve", "MODEL", "--port", "many"])
