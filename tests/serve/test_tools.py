"""Tools in chats: forced by a grammar, so that even a model of random weights calls them right."""

import json

import pytest

import textmill
from fakes.server_events import events_of
from fakes.tiny_model import write_model
from serve.conftest import make_client

CHAT = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "the quick brown fox"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "the weather of a place",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"enum": ["Rome", "Oslo"]},
                "days": {"type": "integer", "minimum": 1, "maximum": 9},
            },
            "required": ["place", "days"],
        },
    },
}
TIME = {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}}}


@pytest.fixture(scope="module")
def long_folder(tmp_path_factory):
    """The system message that tells of tools is longer than what the tiny model has room for."""
    folder = tmp_path_factory.mktemp("tools") / "tiny"
    write_model(folder, max_position_embeddings=4096)
    return folder


@pytest.fixture(scope="module")
def lm(long_folder):
    return textmill.load(long_folder, threads=1)


@pytest.fixture(scope="module")
def client(long_folder, loop):
    client = make_client(textmill.load(long_folder, threads=1), loop)
    yield client
    assert client.service.stepper.stop(30)


def ask(client, status=200, **options):
    body = {"messages": HELLO, "temperature": 1, "seed": 2, "max_tokens": 120, "tools": [WEATHER, TIME]} | options
    response = client.post(CHAT, body)
    assert response.status_code == status, response.text
    return response


def check_arguments(name, arguments):
    arguments = json.loads(arguments)
    if name == "get_weather":
        assert arguments["place"] in ("Rome", "Oslo")
        assert 1 <= arguments["days"] <= 9
    else:
        assert (name, arguments) == ("get_time", {})


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}], ids=str)
def test_a_call_that_has_to_be_made(client, choice):
    for seed in range(4):
        body = ask(client, tool_choice=choice, parallel_tool_calls=False, seed=seed).json()
        (choice_made,) = body["choices"]
        assert choice_made["finish_reason"] == "tool_calls"
        assert choice_made["message"]["content"] is None
        (call,) = choice_made["message"]["tool_calls"]
        assert call["type"] == "function"
        assert call["id"].startswith("call_")
        check_arguments(call["function"]["name"], call["function"]["arguments"])
        if choice != "required":
            assert call["function"]["name"] == "get_weather"


def test_a_stream_of_calls(client):
    options = {"tool_choice": "required", "parallel_tool_calls": False, "seed": 1}
    whole = ask(client, **options).json()["choices"][0]["message"]["tool_calls"]
    *chunks, _ = events_of(ask(client, **options, stream=True).text)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    parts = [part for delta in deltas for part in delta.get("tool_calls", ())]
    assert {part["index"] for part in parts} == {0}
    assert parts[0]["type"] == "function"
    assert parts[0]["function"] == {"name": whole[0]["function"]["name"], "arguments": ""}
    assert "".join(part["function"]["arguments"] for part in parts) == whole[0]["function"]["arguments"]
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_a_call_that_is_cut_off(client):
    choice = ask(client, tool_choice="required", max_tokens=20).json()["choices"][0]
    assert choice["finish_reason"] == "length"


def test_none(client, lm):
    plain = lm.chat(HELLO, temperature=1, seed=2, max_tokens=120).text
    message = ask(client, tool_choice="none").json()["choices"][0]["message"]
    assert message["content"] == plain
    assert "tool_calls" not in message


def test_auto_answers_or_calls(client):
    choice = ask(client, max_tokens=10).json()["choices"][0]
    assert choice["message"]["content"] is not None or choice["message"]["tool_calls"]


def test_a_conversation_with_results(client):
    call = {"id": "call_1", "type": "function", "function": {"name": "get_time", "arguments": "{}"}}
    messages = [
        *HELLO,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "12:00"},
    ]
    tools = [TIME]
    assert ask(client, messages=messages, max_tokens=5, tools=tools).json()["usage"]["prompt_tokens"] > 20
    assert ask(client, messages=messages, max_tokens=5, tools=None).status_code == 200


def test_tokens_of_a_prompt_with_tools(client):
    with_tools = client.post("/tokenize", {"messages": HELLO, "tools": [TIME]}).json()["count"]
    assert with_tools > client.post("/tokenize", {"messages": HELLO}).json()["count"]


@pytest.mark.parametrize(
    "options",
    [
        {"tools": [{"type": "function", "function": {"name": "a b"}}]},
        {"tools": [{"type": "retrieval"}]},
        {"tools": [TIME, TIME]},
        {"tools": None, "tool_choice": "required"},
        {"tool_choice": {"type": "function", "function": {"name": "other"}}},
        {"tool_choice": "sometimes"},
        {"tools": [{"type": "function", "function": {"name": "a", "parameters": {"type": "array"}}}]},
        {"response_format": {"type": "json_object"}},
    ],
    ids=str,
)
def test_what_is_refused(client, options):
    assert set(ask(client, 400, **options).json()["error"]) == {"message", "type", "param", "code"}
