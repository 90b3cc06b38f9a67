"""Answers that are kept with a run, and read back as they were."""

import pytest

from textmill.base.errors import DataError
from textmill.tune.graded_answers import GradedAnswer, path_of, read_answers, write_answers


def answer(text):
    return GradedAnswer(
        where="prompts.jsonl:1",
        question=0,
        answer=text,
        reward=0.1,
        advantage=-1 / 3,
        has_ended=True,
        ids=(5, 6),
        log_p=(-0.1, -2.5e-7),
    )


def test_answers_with_every_line_end_of_unicode_come_back_as_they_were(tmp_path):
    path = path_of(tmp_path, 0)
    path.parent.mkdir()
    texts = [f"a{end}b" for end in "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"]
    answers = [answer(text) for text in [*texts, "", "é\r\n"]]
    write_answers(path, answers)
    assert read_answers(path) == answers


def test_a_file_that_is_damaged_is_named(tmp_path):
    path = tmp_path / "step.jsonl"
    write_answers(path, [answer("a"), answer("b")])
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"step\.jsonl is missing or damaged"):
        read_answers(path)
