"""What a user of ``litellm`` does, run by ``test_clients.py`` in an environment that has it."""

import asyncio
import json
import os

import litellm
import pytest

URL, KEY = os.environ["TEXTMILL_URL"] + "/v1", os.environ["TEXTMILL_TEST_KEY"]
ASKED = [{"role": "user", "content": "Say hello."}]
GREEDY = {
    "model": "openai/smollm2",
    "api_base": URL,
    "api_key": KEY,
    "messages": ASKED,
    "max_tokens": 48,
    "temperature": 0,
    "num_retries": 0,
}
ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer", "maximum": 99}, "b": {"type": "integer", "maximum": 99}},
            "required": ["a", "b"],
            "additionalProperties": False,
        },
    },
}


@pytest.fixture(scope="module")
def text():
    made = litellm.completion(**GREEDY)
    assert made.usage.completion_tokens > 0
    return made.choices[0].message.content


def test_a_chat(text):
    assert "Hello" in text


def test_a_stream(text):
    chunks = list(litellm.completion(**GREEDY, stream=True, stream_options={"include_usage": True}))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == text
    assert litellm.stream_chunk_builder(chunks).choices[0].message.content == text


def test_many_at_once(text):
    async def all_of_them():
        return await asyncio.gather(*(litellm.acompletion(**GREEDY) for _ in range(8)))

    assert {made.choices[0].message.content for made in asyncio.run(all_of_them())} == {text}


def test_a_tool():
    made = litellm.completion(**GREEDY | {"max_tokens": 200}, tools=[ADD], tool_choice="required")
    call = made.choices[0].message.tool_calls[0].function
    assert call.name == "add"
    assert set(json.loads(call.arguments)) == {"a", "b"}


def test_json():
    made = litellm.completion(
        **GREEDY | {"max_tokens": 200},
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": ADD["function"]["parameters"]}},
    )
    assert set(json.loads(made.choices[0].message.content)) == {"a", "b"}


def test_completions_and_embeddings():
    options = {name: GREEDY[name] for name in ("api_base", "api_key", "max_tokens", "temperature")}
    made = litellm.text_completion(model="text-completion-openai/smollm2", prompt="The capital of France is", **options)
    assert made.choices[0].text
    vectors = litellm.embedding(
        model="openai/smollm2", input=["a mill"], api_base=URL, api_key=KEY, encoding_format="float"
    )
    assert len(vectors.data[0]["embedding"]) == 576


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"temperature": -1}, litellm.BadRequestError),
        ({"model": "openai/nothing"}, litellm.NotFoundError),
        ({"api_key": "wrong"}, litellm.AuthenticationError),
        ({"messages": [{"role": "user", "content": "word " * 20_000}]}, litellm.ContextWindowExceededError),
    ],
)
def test_errors_have_their_classes(options, error):
    with pytest.raises(error):
        litellm.completion(**GREEDY | options)
