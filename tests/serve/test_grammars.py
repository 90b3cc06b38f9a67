"""Answers that must fit a format, by every name that clients have for it."""

import json
import re

import pytest

from fakes.server_events import events_of

CHAT = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "the quick brown fox"}]
SCHEMA = {
    "type": "object",
    "properties": {"name": {"enum": ["fox", "dog"]}, "legs": {"type": "integer", "minimum": 0, "maximum": 9}},
    "required": ["name", "legs"],
    "additionalProperties": False,
}
BY_SCHEMA = {"response_format": {"type": "json_schema", "json_schema": {"name": "animal", "schema": SCHEMA}}}


def ask(client, status=200, **options):
    body = {"messages": HELLO, "temperature": 1, "seed": 2, "max_tokens": 120} | options
    response = client.post(CHAT, body)
    assert response.status_code == status, response.text
    return response.json()["choices"][0]["message"]["content"] if status == 200 else response.json()["error"]


@pytest.mark.parametrize(
    "options",
    [BY_SCHEMA, {"guided_json": SCHEMA}, {"guided_json": json.dumps(SCHEMA)}, {"structured_outputs": {"json": SCHEMA}}],
    ids=str,
)
def test_json_by_a_schema(client, options):
    for seed in range(5):
        animal = json.loads(ask(client, **options, seed=seed))
        assert animal["name"] in ("fox", "dog")
        assert 0 <= animal["legs"] <= 9


@pytest.mark.parametrize(
    "options",
    [
        {"response_format": {"type": "regex", "pattern": "[a-c]{3}-[0-9]+x"}},
        {"guided_regex": "[a-c]{3}-[0-9]+x"},
        {"structured_outputs": {"regex": "[a-c]{3}-[0-9]+x"}},
    ],
    ids=str,
)
def test_a_regex(client, options):
    assert re.fullmatch("[a-c]{3}-[0-9]+x", ask(client, **options, logit_bias={}, seed=1, temperature=0.5))


@pytest.mark.parametrize("name", ["guided_choice", "structured_outputs"])
def test_a_choice(client, name):
    choices = ["yes.", "no way", "50 % (or so)"]
    options = {name: choices if name == "guided_choice" else {"choice": choices}}
    assert {ask(client, **options, seed=seed) for seed in range(12)} <= set(choices)


def test_rules(client):
    assert re.fullmatch("(ab){1,3}", ask(client, guided_grammar='start: "ab" ("ab" ("ab")?)?'))


def test_any_object(client):
    text = ask(client, response_format={"type": "json_object"}, max_tokens=200)
    assert text.startswith("{")


def test_text_is_anything(client, lm):
    text = ask(client, response_format={"type": "text"})
    assert text == lm.chat(HELLO, temperature=1, seed=2, max_tokens=120).text


def test_streams_and_completions(client):
    whole = ask(client, **BY_SCHEMA)
    body = {"messages": HELLO, "temperature": 1, "seed": 2, "max_tokens": 120, "stream": True, **BY_SCHEMA}
    *chunks, _ = events_of(client.post(CHAT, body).text)
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == whole
    body = {"prompt": "fox", "max_tokens": 120, **BY_SCHEMA}
    json.loads(client.post("/v1/completions", body).json()["choices"][0]["text"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"response_format": {"type": "json_schema"}}, "has none"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}}, "has none"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "no"}}}}, ""),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": True}}}, "object"),
        ({"response_format": {"type": "xml"}}, "xml"),
        ({"response_format": {"type": "regex"}}, "pattern"),
        ({"guided_regex": "(a"}, "regex"),
        ({"guided_regex": "(?=a)b"}, "regex"),
        ({"guided_json": "{"}, "JSON"),
        ({"guided_choice": []}, "choose"),
        ({"guided_grammar": "start: nothing"}, "grammar"),
        ({"guided_regex": "a", "guided_choice": ["a"]}, "guided_regex, guided_choice"),
    ],
    ids=str,
)
def test_what_is_refused(client, options, said):
    assert said in ask(client, 400, **options)["message"]
