"""Conversations in the forms that are in use, and lines that are none, named with their place."""

import json

import pytest

from textmill.base.errors import ConfigError, DataError
from textmill.tune.chat_records import chat_of, read_chats

ASKED = {"role": "user", "content": "Who?"}
SAID = {"role": "assistant", "content": "I."}


def said(record):
    chat = chat_of(record, "f:1")
    return [(message["role"], message["content"]) for message in chat.messages], list(chat.learned)


@pytest.mark.parametrize(
    ("record", "messages"),
    [
        ({"messages": [ASKED, SAID]}, [("user", "Who?"), ("assistant", "I.")]),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": "Wh"}, {"type": "text", "text": "o?"}]},
                    SAID,
                ]
            },
            [("user", "Who?"), ("assistant", "I.")],
        ),
        (
            {"conversations": [{"from": "human", "value": "Who?"}, {"from": "gpt", "value": "I."}], "system": "Be."},
            [("system", "Be."), ("user", "Who?"), ("assistant", "I.")],
        ),
        ({"instruction": "Who?", "input": "", "output": "I."}, [("user", "Who?"), ("assistant", "I.")]),
        (
            {"instruction": "Who?", "input": "You.", "output": "I.", "system": "Be.", "history": [["a", "b"]]},
            [("system", "Be."), ("user", "a"), ("assistant", "b"), ("user", "Who?\n\nYou."), ("assistant", "I.")],
        ),
    ],
    ids=["openai", "parts", "sharegpt", "alpaca", "alpaca-all"],
)
def test_forms(record, messages):
    assert said(record) == (messages, [role == "assistant" for role, _ in messages])


def test_an_answer_of_weight_0_is_not_learned():
    record = {"messages": [ASKED, {**SAID, "weight": 0}, ASKED, SAID]}
    messages, learned = said(record)
    assert learned == [False, False, False, True]
    assert all("weight" not in message for message in chat_of(record, "f:1").messages)
    assert len(messages) == 4


def test_a_turn_of_weight_0_is_not_learned_either():
    human, gpt = {"from": "human", "value": "Who?"}, {"from": "gpt", "value": "I."}
    record = {"conversations": [human, {**gpt, "weight": 0}, human, {**gpt, "weight": 1}]}
    messages, learned = said(record)
    assert learned == [False, False, False, True]
    assert all("weight" not in message for message in chat_of(record, "f:1").messages)
    assert len(messages) == 4


def test_no_tools_are_no_obstacle():
    assert said({"messages": [ASKED, SAID], "tools": [], "functions": None})[1] == [False, True]


@pytest.mark.parametrize("tools", [[{"type": "function"}], '[{"type": "function"}]'], ids=["list", "json"])
def test_tools_are_for_the_template(tools):
    assert chat_of({"messages": [ASKED, SAID], "tools": tools}, "f:1").tools == ({"type": "function"},)
    turns = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]
    assert chat_of({"conversations": turns, "tools": tools}, "f:1").tools == ({"type": "function"},)


def test_tools_answer_an_assistant():
    call = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}
    chat = chat_of({"messages": [ASKED, call, {"role": "tool", "content": "1"}, SAID]}, "f:1")
    assert chat.learned == (False, True, False, True)


@pytest.mark.parametrize(
    ("record", "what"),
    [
        ({}, "no conversation.*nothing"),
        ({"text": "a"}, "no conversation.*'text'"),
        ({"messages": []}, "must be a list of messages"),
        ({"messages": "a"}, "must be a list of messages"),
        ({"messages": ["a"]}, "must be a list of messages"),
        ({"messages": [SAID]}, r"out of order: message 0 \(assistant\) begins"),
        ({"messages": [ASKED, ASKED, SAID]}, r"message 1 \(user\) follows one of the role 'user'"),
        ({"messages": [ASKED, SAID, SAID]}, r"message 2 \(assistant\) follows"),
        ({"messages": [ASKED, {"role": "system", "content": "Be."}, SAID]}, r"message 1 \(system\)"),
        ({"messages": [ASKED]}, "ends with a message of the role 'user'"),
        ({"messages": [ASKED, {"role": "assistant", "content": " "}]}, "message 1.*empty answer"),
        ({"messages": [ASKED, {"role": "assistant", "content": None}]}, "has no content"),
        ({"messages": [ASKED, {"role": "assistant"}]}, "has no content"),
        (
            {"messages": [{"role": "user", "content": 3}, SAID]},
            r"message 0 \(user\) has the content 3, which is no text",
        ),
        ({"messages": [ASKED, {"role": "bot", "content": "I."}]}, "the role 'bot'; known are"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}, SAID]}, "the type 'image_url'"),
        ({"messages": [ASKED, {**SAID, "weight": 0.5}]}, "the weight 0.5"),
        ({"messages": [ASKED, {**SAID, "weight": 0}]}, "nothing to learn"),
        ({"messages": [ASKED, SAID], "tools": {"type": "function"}}, '"tools" must be a list of objects'),
        ({"messages": [ASKED, SAID], "tools": ["f"]}, '"tools" must be a list of objects'),
        ({"messages": [ASKED, SAID], "tools": "f(x)"}, '"tools" is a text, and no JSON'),
        ({"messages": [ASKED, SAID], "functions": [{"name": "f"}]}, '"functions" is OpenAI.s older form.*"tools"'),
        (
            {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b", "weight": 2}]},
            "the weight 2",
        ),
        ({"conversations": [{"from": "alien", "value": "a"}]}, "from 'alien'; known are"),
        ({"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": ""}]}, "empty answer"),
        ({"instruction": "a"}, '"output" is missing'),
        ({"instruction": "", "output": "b"}, "empty message"),
        ({"instruction": 1, "output": "b"}, "must be texts"),
        ({"instruction": "a", "output": ""}, "empty answer"),
        ({"instruction": "a", "output": "b", "history": [["a"]]}, r"history\[0\]"),
    ],
)
def test_what_is_no_conversation(record, what):
    with pytest.raises(DataError, match=f"^f:1: .*{what}"):
        chat_of(record, "f:1")


def test_files_are_read_in_their_order(tmp_path):
    for name in "ab":
        line = json.dumps({"messages": [{"role": "user", "content": name}, SAID]})
        (tmp_path / name).write_text(f"\n{line}\n\n")
    chats = list(read_chats([tmp_path / "b", tmp_path / "a"]))
    assert [(chat.messages[0]["content"], chat.where) for chat in chats] == [
        ("b", f"{tmp_path / 'b'}:2"),
        ("a", f"{tmp_path / 'a'}:2"),
    ]
    with pytest.raises(ConfigError, match="cannot read"):
        list(read_chats([tmp_path / "c"]))
