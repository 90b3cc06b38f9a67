"""Pairs as files write them, and what is said of lines that are none."""

import json

import pytest

from textmill.base.errors import ConfigError, DataError
from textmill.tune.preference_records import read_preferences


def said(role, content):
    return {"role": role, "content": content}


def text(part):
    return {"type": "text", "text": part}


ASK, YES, NO = said("user", "Is it?"), said("assistant", "Yes."), said("assistant", "No.")
SYSTEM = said("system", "Be brief.")
CALL = said("assistant", None) | {"tool_calls": [{"function": {"name": "f", "arguments": {}}}]}


def read(folder, *records):
    path = folder / "pairs.jsonl"
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in records))
    return list(read_preferences([path]))


@pytest.mark.parametrize(
    ("record", "prompt", "chosen", "rejected"),
    [
        ({"prompt": "Is it? ", "chosen": "Yes.", "rejected": "No."}, "Is it? ", "Yes.", "No."),
        ({"prompt": [SYSTEM, ASK], "chosen": [YES], "rejected": [NO]}, (SYSTEM, ASK), (YES,), (NO,)),
        ({"prompt": [ASK], "chosen": "Yes.", "rejected": "No."}, (ASK,), (YES,), (NO,)),
        ({"prompt": "Is it?", "chosen": [YES], "rejected": [NO]}, (ASK,), (YES,), (NO,)),
        ({"prompt": "Is it?", "chosen": [ASK, YES], "rejected": [ASK, NO]}, (ASK,), (YES,), (NO,)),
        ({"prompt": [ASK], "chosen": [ASK, YES], "rejected": [ASK, NO]}, (ASK,), (YES,), (NO,)),
        ({"chosen": [SYSTEM, ASK, YES], "rejected": [SYSTEM, ASK, NO]}, (SYSTEM, ASK), (YES,), (NO,)),
        (
            {"prompt": [said("user", [text("Is "), text("it?")])], "chosen": [said("assistant", [text("Yes.")])]}
            | {"rejected": [NO]},
            (ASK,),
            (YES,),
            (NO,),
        ),
        (
            {"chosen": [ASK, YES, ASK, YES], "rejected": [ASK, YES, ASK, NO], "score": 3},
            (ASK, YES, ASK),
            (YES,),
            (NO,),
        ),
    ],
)
def test_ways_to_write_a_pair(tmp_path, record, prompt, chosen, rejected):
    (pair,) = read(tmp_path, record)
    assert (pair.prompt, pair.chosen, pair.rejected) == (prompt, chosen, rejected)


def test_pairs_are_numbered_by_their_lines(tmp_path):
    record = {"prompt": "a", "chosen": "b", "rejected": "c"}
    pairs = read(tmp_path, record, "", record)
    assert [pair.where.rpartition(":")[2] for pair in pairs] == ["1", "3"]


@pytest.mark.parametrize(
    ("record", "what"),
    [
        ("{", "not valid JSON"),
        (r'{"prompt": "\ud83d", "chosen": "a", "rejected": "b"}', "half of a surrogate pair"),
        ("[" * 100_000, "not valid JSON"),
        ("[1]", "must hold an object"),
        ({"prompt": "a", "chosen": "b"}, '"rejected" is missing'),
        ({"chosen": "b", "rejected": "c"}, '"prompt" is missing'),
        ({"prompt": "a", "chosen": "b", "rejected": "b"}, "the same"),
        ({"chosen": [ASK, YES], "rejected": [ASK, YES]}, "the same"),
        ({"prompt": "a", "chosen": " ", "rejected": "b"}, '"chosen" is empty'),
        ({"prompt": "", "chosen": "a", "rejected": "b"}, '"prompt" is empty'),
        ({"prompt": "a", "chosen": "b", "rejected": [NO]}, "two texts or two lists"),
        ({"prompt": "a", "chosen": 1, "rejected": 2}, "two texts or two lists"),
        ({"chosen": [YES], "rejected": [NO]}, "do not begin with the same messages"),
        ({"prompt": [ASK], "chosen": [YES], "rejected": []}, '"rejected" is empty'),
        (
            {"prompt": [ASK], "chosen": [said("assistant", "")], "rejected": [NO]},
            r"chosen\[0\] \(assistant\) is an empty answer",
        ),
        (
            {"prompt": [ASK], "chosen": [said("assistant", None)], "rejected": [NO]},
            r"chosen\[0\] \(assistant\) has no content",
        ),
        ({"prompt": [ASK], "chosen": [CALL], "rejected": [NO]}, "says something"),
        (
            {"prompt": [said("human", "a")], "chosen": [YES], "rejected": [NO]},
            r"prompt\[0\] has the role 'human'; known",
        ),
        (
            {"prompt": [said("user", " ")], "chosen": [YES], "rejected": [NO]},
            r"prompt\[0\] \(user\) is an empty message",
        ),
        ({"chosen": [said("user", ""), YES], "rejected": [said("user", ""), NO]}, "is an empty message"),
        ({"prompt": [ASK], "chosen": [said("bot", "Yes.")], "rejected": [NO]}, r"chosen\[0\] has the role 'bot'"),
        (
            {"prompt": [said("user", [{"type": "image_url"}])], "chosen": [YES], "rejected": [NO]},
            "the type 'image_url'",
        ),
        ({"prompt": [ASK, YES], "chosen": [YES], "rejected": [NO]}, "ends with an assistant's message"),
        ({"prompt": [ASK, ASK], "chosen": [YES], "rejected": [NO]}, "two messages of the role"),
        ({"prompt": [ASK, SYSTEM], "chosen": [YES], "rejected": [NO]}, "must come first"),
        ({"prompt": [ASK], "chosen": [YES, YES], "rejected": [NO]}, "two messages of the role"),
        ({"prompt": [ASK], "chosen": [said("user", "x"), YES], "rejected": [NO]}, "two messages of the role"),
        ({"prompt": "Else?", "chosen": [ASK, YES], "rejected": [ASK, NO]}, "none of the messages"),
        ({"prompt": [ASK], "chosen": ["Yes."], "rejected": [NO]}, r"chosen\[0\] is no message"),
        ({"prompt": [{"content": "x"}], "chosen": [YES], "rejected": [NO]}, r"prompt\[0\] is no message"),
    ],
)
def test_a_line_that_is_no_pair_is_named(tmp_path, record, what):
    good = {"prompt": "a", "chosen": "b", "rejected": "c"}
    with pytest.raises(DataError, match=what) as caught:
        read(tmp_path, good, record)
    assert str(caught.value).startswith(f"{tmp_path / 'pairs.jsonl'}:2: ")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="cannot read"):
        list(read_preferences([tmp_path / "none.jsonl"]))
