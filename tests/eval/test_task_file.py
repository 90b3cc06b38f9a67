import json

import pytest

from textmill.base.errors import ConfigError, DataError
from textmill.eval.tasks.task_file import read_task

CHOICE = {"prompt": "Q: one?\nA:", "choices": ["yes", "no"], "answer": 0}


def test_an_item_of_each_kind(write_task):
    (choice,) = read_task(write_task(CHOICE)).items
    assert (choice.id, choice.line, choice.choices, choice.answer) == ("line 1", 1, ("yes", "no"), 0)
    (code,) = read_task(write_task({"prompt": "def f():", "tests": "assert f()", "id": 7})).items
    assert (code.id, code.tests) == ("7", "assert f()")
    for kind in ("cloze", "generate"):
        task = read_task(write_task({"task": {"kind": kind}}, {"prompt": "The", "answer": "end"}))
        assert (task.settings.kind, task.items[0].line, task.items[0].answer) == (kind, 2, "end")


@pytest.mark.parametrize(("answer", "number"), [(1, 1), ("B", 1), ("no", 1), ("1", 1), ("0", 0), ("A", 0)])
def test_the_right_choice_by_number_letter_or_text(write_task, answer, number):
    assert read_task(write_task(CHOICE | {"answer": answer})).items[0].answer == number


def test_a_letter_that_is_a_choice_is_that_choice(write_task):
    item = {"prompt": "?", "choices": ["B", "A"], "answer": "A"}
    assert read_task(write_task(item)).items[0].answer == 1


def test_a_template_takes_fields(write_task):
    path = write_task(
        {"task": {"template": "{subject}, {year}: {question}"}},
        {"subject": "history", "year": 1900, "question": "who? {x}", "choices": ["a", "b"], "answer": 0},
    )
    assert read_task(path).items[0].prompt == "history, 1900: who? {x}"


def test_examples_are_the_first_items_or_another_file(write_task, tmp_path):
    items = [CHOICE | {"id": str(number)} for number in range(5)]
    path = write_task({"task": {"shots": 2}}, *items)
    task = read_task(path)
    assert [shot.id for shot in task.shots] == ["0", "1"]
    assert [item.id for item in task.items] == ["2", "3", "4"]
    assert [item.id for item in read_task(path, shots=0, limit=2).items] == ["0", "1"]
    other = write_task({"task": {"shots": 1, "shots_from": "train.jsonl"}}, *items, name="other.jsonl")
    (tmp_path / "train.jsonl").write_text(json.dumps(CHOICE | {"id": "t"}) + "\n")
    task = read_task(other)
    assert [shot.id for shot in task.shots] == ["t"]
    assert len(task.items) == 5


def test_the_hash_is_of_all_that_scores_depend_on(write_task):
    path = write_task(CHOICE, CHOICE | {"id": "b"})
    first = read_task(path).sha256
    assert read_task(path).sha256 == first
    assert len({first, read_task(path, shots=1).sha256, read_task(path, limit=1).sha256}) == 3
    assert read_task(write_task(CHOICE, CHOICE | {"id": "b", "answer": 1})).sha256 != first


BAD = {
    "line 1 is not JSON": ['{"prompt": '],
    "line 2 is a list, and must be an object": [CHOICE, [1]],
    r'line 1 has no field "prompt" \(fields: question': [{"question": "?", "choices": ["a", "b"], "answer": 0}],
    "line 1: the prompt is empty": [CHOICE | {"prompt": " "}],
    r'line 1: the field "prompt" is a list': [CHOICE | {"prompt": [1]}],
    r'"choices" is a list, 1 of them': [CHOICE | {"choices": ["a"]}],
    r'"choices" is a string': [CHOICE | {"choices": "ab"}],
    "choice 1 is empty": [CHOICE | {"choices": ["a", " "]}],
    "choices 0 and 2 are equal": [CHOICE | {"choices": ["a", "b", "a"]}],
    r"the answer is 2, and must be a number from 0 to 1, a letter from A to B": [CHOICE | {"answer": 2}],
    r"the answer is true": [CHOICE | {"answer": True}],
    r'the answer is "C"': [CHOICE | {"answer": "C"}],
    'line 1 has no field "answer"': [{"prompt": "?", "choices": ["a", "b"]}],
    'line 2 has the id "x", which line 1 has': [CHOICE | {"id": "x"}, CHOICE | {"id": "x"}],
    "the id is a list": [CHOICE | {"id": []}],
    "has neither choices nor tests": [{"prompt": "The", "answer": "end"}],
    "has no item to score": [{"task": {}}],
    r'line 1 sets "shotz", which tasks do not have; did you mean "shots"': [{"task": {"shotz": 1}}, CHOICE],
    r'line 1: "shots" is a string \("5"\), and must be a whole number': [{"task": {"shots": "5"}}, CHOICE],
    r'line 1: "shots" is -1, and must be 0 to 1000': [{"task": {"shots": -1}}, CHOICE],
    r'"kind" is "choices"; did you mean "choice"': [{"task": {"kind": "choices"}}, CHOICE],
    r'"stop" must be a string or a list': [{"task": {"stop": [1]}}, CHOICE],
    r'line 1: "extract" is no regular expression': [{"task": {"kind": "generate", "extract": "("}}, CHOICE],
    "the answer is empty": [{"task": {"kind": "cloze"}}, {"prompt": "The", "answer": ""}],
    r'line 2: "answer" is no regular expression': [
        {"task": {"kind": "generate", "match": "regex"}},
        {"prompt": "The", "answer": "["},
    ],
    "has 1 items, and 3 are to be examples": [{"task": {"shots": 3}}, CHOICE],
    'line 1: "id" holds half of a surrogate pair': [CHOICE | {"id": "\ud800"}],
    "holds half of a surrogate pair": [CHOICE | {"prompt": "\ud800"}],
    'is to be an example, and has no "answer"': [
        {"task": {"shots": 1}},
        {"prompt": "def f():", "tests": "f()"},
        {"prompt": "def g():", "tests": "g()"},
    ],
}


@pytest.mark.parametrize("said", BAD)
def test_what_is_wrong_is_named_with_line_and_file(write_task, said):
    lines = BAD[said]
    with pytest.raises(DataError, match=said) as caught:
        read_task(write_task(*lines))
    assert "task.jsonl" in str(caught.value)


@pytest.mark.parametrize(
    "name", ["", "../../x", "/home/x", "bits/web", "a\\b", ".", "..", ".x", "a\0b", "\ud800", "é" * 101]
)
def test_a_name_stays_in_the_folder_of_results(write_task, name):
    with pytest.raises(DataError, match=r'task\.jsonl, line 1: "name" is .* must be the name of a file'):
        read_task(write_task({"task": {"name": name}}, CHOICE))
    with pytest.raises(ConfigError, match='the command: "name" is'):
        read_task(write_task(CHOICE), name=name)


def test_a_file_whose_own_name_is_none_for_results(write_task):
    with pytest.raises(DataError, match=r"\.jsonl, line 1 gives the task no name"):
        read_task(write_task(CHOICE, name=".jsonl"))
    assert read_task(write_task({"task": {"name": "own"}}, CHOICE, name=".jsonl")).settings.name == "own"


def test_a_number_is_a_prompt_too(write_task):
    assert read_task(write_task(CHOICE | {"prompt": 12})).items[0].prompt == "12"


def test_a_wrong_option_is_the_commands(write_task):
    with pytest.raises(ConfigError, match='the command: "shots" is 5000'):
        read_task(write_task(CHOICE), shots=5000)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="nowhere.jsonl"):
        read_task(tmp_path / "nowhere.jsonl")
    with pytest.raises(DataError, match="is a folder"):
        read_task(tmp_path)
