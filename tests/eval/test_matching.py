import time

import pytest

from textmill.eval.tasks.matching import judge
from textmill.eval.tasks.task import Item, Settings

# As lm-evaluation-harness has them for GSM8K.
GSM8K = {"extract": r"#### (\-?[0-9\.\,]+)", "ignore": (",", r"\$", r"(?s).*#### ", r"\.$")}


def judged(written, answer, **settings):
    item = Item(id="1", line=1, prompt="?", answer=answer)
    return judge(Settings(kind="generate", **settings), item, written)


@pytest.mark.parametrize(
    ("written", "answer", "settings", "correct"),
    [
        (" 42 ", "42", {}, True),
        ("42", "43", {}, False),
        ("Paris", "paris", {}, False),
        ("Paris", "paris", {"ignore_case": True}, True),
        ("so\n#### 1,234", "It is.\n#### 1234", GSM8K, True),
        ("so\n#### -5.", "a\n#### -5", GSM8K, True),
        ("so 1234", "#### 1234", GSM8K, False),
        ("1 then 2 then 3", "3", {"extract": r"\d+"}, True),
        ("1 then 2 then 3", "1", {"extract": r"\d+", "take": "first"}, True),
        ("x=7; y=8", "8", {"extract": r"x=(\d)|y=(\d)"}, True),
        ("the answer is about 40", r"4\d", {"match": "regex"}, True),
        ("the answer is 30", r"4\d", {"match": "regex"}, False),
    ],
)
def test_judgements_are_those_made_by_hand(written, answer, settings, correct):
    assert judged(written, answer, **settings).correct is correct


def test_what_was_found_is_told():
    assert judged("#### 7", "#### 7", **GSM8K).answer == "7"
    assert judged("seven", "#### 7", **GSM8K).answer is None


def test_a_search_that_does_not_end_is_given_up():
    begin = time.process_time()
    found = judged("a" * 40 + "!", "x", extract=r"(a|aa)+$")
    assert (found.correct, found.answer) == (False, None)
    assert time.process_time() - begin < 10
    assert not found.note or "still searching after 1 s" in found.note
