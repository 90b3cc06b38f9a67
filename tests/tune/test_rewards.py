"""Reward functions: found, asked, and what is said of those that fail."""

import pickle
import sys

import pytest

from textmill.base.errors import ConfigError, DataError
from textmill.tune.rewards import load_reward

FILE = """
import math

def length(completion):
    return len(completion)

def matches(prompt, completion, answer):
    return completion.strip() == answer

def divides(completion, **record):
    return 1 / len(completion)

def fails_deep(completion, **record):
    return divides("")

def nothing(completion):
    pass

def not_a_number(completion):
    return math.nan

def leaves(completion):
    raise SystemExit(0)

CONSTANT = 3
"""
CALLABLES = """
from __future__ import annotations

import functools
from dataclasses import dataclass

from beside import LETTER


@dataclass
class Counts:
    letter: str

    def __call__(self, completion, **record):
        return completion.count(self.letter)


def times(completion, letter):
    return completion.count(letter)


counts = Counts(LETTER)
partly = functools.partial(times, letter=LETTER)
none = functools.partial(lambda completion: None)
"""


@pytest.fixture
def rewards(tmp_path):
    path = tmp_path / "rewards.py"
    path.write_text(FILE)
    return path


def ask(path, name, completion="abc", **record):
    return load_reward(f"{path}:{name}")("the prompt", completion, record, "prompts.jsonl:7")


def test_a_function_gets_what_it_names(rewards):
    assert ask(rewards, "length", "abcd", answer="unused") == 4.0
    assert ask(rewards, "matches", " yes\n", answer="yes", source="unused") == 1.0
    assert ask(rewards, "matches", "no", answer="yes") == 0.0
    assert ask(rewards, "divides", "ab", answer="yes") == 0.5


def test_what_can_be_called_is_a_reward_and_files_beside_it_are_found(tmp_path):
    (tmp_path / "beside.py").write_text("LETTER = 'o'\n")
    path = tmp_path / "callables.py"
    path.write_text(CALLABLES)
    before = list(sys.path)
    counts = load_reward(f"{path}:counts")
    assert sys.path == before
    assert counts.name == "callables.py:counts"
    assert pickle.loads(pickle.dumps(counts._function)).letter == "o"
    assert ask(path, "counts", "fox box", answer="unused") == 2.0
    assert ask(path, "partly", "fox box") == 2.0
    with pytest.raises(DataError, match=r"callables.py:24\) returned None"):
        ask(path, "none")


def test_a_file_is_kept_apart_from_a_module_of_its_name(tmp_path):
    path = tmp_path / "math.py"
    path.write_text("def f(completion):\n    return 1\n")
    assert ask(path, "f") == 1.0
    assert sys.modules["math"].pi > 3


def test_what_a_reward_prints_is_no_data(rewards, capsys):
    rewards.write_text("print('loaded')\ndef f(completion):\n    print('asked')\n    return 1\n")
    ask(rewards, "f")
    assert capsys.readouterr() == ("", "loaded\nasked\n")


def test_the_hash_is_that_of_the_file(rewards):
    first = load_reward(f"{rewards}:length").sha256
    rewards.write_text(FILE + "# changed\n")
    assert load_reward(f"{rewards}:length").sha256 != first


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("divides", r"rewards.py:11: division by zero.*prompts.jsonl:7"),
        ("fails_deep", r"rewards.py:11: division by zero"),
        ("matches", r"TypeError.*'answer'"),
        ("nothing", r"rewards.py:16\) returned None.*finite number.*prompts.jsonl:7"),
        ("not_a_number", r"returned nan"),
        ("leaves", r"raised SystemExit at .*rewards.py:23: 0; .*prompts.jsonl:7"),
    ],
)
def test_a_reward_that_fails_is_named_with_its_line_and_the_record(rewards, name, said):
    with pytest.raises(DataError, match=said):
        ask(rewards, name, "")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("rewards.py", "must name a file and a function"),
        ("other.py:f", "cannot read"),
        ("rewards.py:lenght", 'no function "lenght".*did you mean "length"'),
        ("rewards.py:CONSTANT", 'no function "CONSTANT"'),
    ],
)
def test_names_that_lead_nowhere(rewards, name, said):
    with pytest.raises(ConfigError, match=said):
        load_reward(str(rewards.parent / name))


def test_a_file_is_loaded_once_a_run(tmp_path):
    pytest.importorskip("torch")
    from fakes.listener import Silent
    from textmill.train.recipe import load_recipe
    from textmill.tune.pipeline import run_tuning
    from tune.tiny_tuning import REWARD, write_recipe

    path = write_recipe(tmp_path, "grpo")
    loads = tmp_path / "loads"
    (tmp_path / "rewards.py").write_text(f"with open({str(loads)!r}, 'a') as file:\n    file.write('x')\n{REWARD}")
    run_tuning(load_recipe(path, ("budget.steps=1",)), "grpo", Silent())
    assert loads.read_text() == "x"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def f(:\n", r":1: .*SyntaxError"),
        ("x = 1\ny = x / 0\n", r":2: .*ZeroDivisionError"),
        ("exit(0)\n", r":1: .*SystemExit: 0"),
    ],
)
def test_a_file_that_fails_is_named_with_its_line(tmp_path, text, said):
    path = tmp_path / "broken.py"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        load_reward(f"{path}:f")
