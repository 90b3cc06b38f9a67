"""Reward functions: found, asked, and what is said of those that fail."""

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

CONSTANT = 3
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


@pytest.mark.parametrize(
    ("text", "said"), [("def f(:\n", r":1: .*SyntaxError"), ("x = 1\ny = x / 0\n", r":2: .*ZeroDivisionError")]
)
def test_a_file_that_fails_is_named_with_its_line(tmp_path, text, said):
    path = tmp_path / "broken.py"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        load_reward(f"{path}:f")
