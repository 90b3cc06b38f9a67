"""What a user of the official ``openai`` package does, run by ``test_clients.py`` in an environment that has it.

TEXTMILL_URL is the server's address; TEXTMILL_TEST_KEY the key that opens it.
"""

import asyncio
import json
import os

import openai
import pytest
from pydantic import BaseModel

URL, KEY, MODEL = os.environ["TEXTMILL_URL"] + "/v1", os.environ["TEXTMILL_TEST_KEY"], "smollm2"
ASKED = [{"role": "user", "content": "Say hello."}]
GREEDY = {"model": MODEL, "messages": ASKED, "max_tokens": 48, "temperature": 0}


@pytest.fixture(scope="module")
def client():
    with openai.OpenAI(base_url=URL, api_key=KEY, max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def answer(client):
    return client.chat.completions.create(**GREEDY)


def test_models(client):
    (model,) = client.models.list().data
    assert model.id == MODEL
    assert client.models.retrieve(MODEL) == model
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nothing")


def test_a_chat(answer):
    assert answer.object == "chat.completion"
    (choice,) = answer.choices
    assert "Hello" in choice.message.content
    assert choice.finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_a_stream_is_the_same(client, answer):
    chunks = list(client.chat.completions.create(**GREEDY, stream=True, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == answer.choices[0].message.content
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == answer.choices[0].finish_reason
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == answer.usage.completion_tokens
    assert len({(chunk.id, chunk.model, chunk.created) for chunk in chunks}) == 1


def test_the_helper_of_streams(client, answer):
    with client.chat.completions.stream(**GREEDY) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= kinds
    assert final.choices[0].message.content == answer.choices[0].message.content


def test_a_stream_that_is_left(client, answer):
    with client.chat.completions.create(**GREEDY | {"max_tokens": 2000}, stream=True) as stream:
        next(iter(stream))
    assert client.chat.completions.create(**GREEDY).choices == answer.choices


def test_content_in_parts_and_names_of_limits(client, answer):
    parts = [{"role": "user", "content": [{"type": "text", "text": ASKED[0]["content"]}]}]
    options = GREEDY | {"messages": parts, "max_completion_tokens": 48}
    del options["max_tokens"]
    assert client.chat.completions.create(**options).choices[0].message.content == answer.choices[0].message.content


def test_several_answers(client):
    options = GREEDY | {"temperature": 1.2, "n": 3, "seed": 7}
    first, second = (client.chat.completions.create(**options) for _ in range(2))
    texts = [choice.message.content for choice in first.choices]
    assert texts == [choice.message.content for choice in second.choices]
    assert len(set(texts)) == 3
    assert [choice.index for choice in first.choices] == [0, 1, 2]


def test_log_probabilities(client, answer):
    told = client.chat.completions.create(**GREEDY, logprobs=True, top_logprobs=3)
    tokens = told.choices[0].logprobs.content
    assert len(tokens) == told.usage.completion_tokens
    assert b"".join(bytes(token.bytes) for token in tokens).decode() == answer.choices[0].message.content
    for token in tokens:
        assert len(token.top_logprobs) == 3
        assert token.logprob == token.top_logprobs[0].logprob <= 0


class City(BaseModel):
    name: str
    is_capital: bool
    millions: float | None


def test_an_answer_by_a_schema(client):
    parsed = client.chat.completions.parse(**GREEDY | {"max_tokens": 200}, response_format=City)
    city = parsed.choices[0].message.parsed
    assert isinstance(city, City)
    with client.chat.completions.stream(**GREEDY | {"max_tokens": 200}, response_format=City) as stream:
        for _ in stream:
            pass
        assert stream.get_final_completion().choices[0].message.parsed == city


WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 20}, "unit": {"enum": ["C", "F"]}},
            "required": ["city", "unit"],
            "additionalProperties": False,
        },
    },
}


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}])
def test_a_tool_that_must_be_called(client, choice):
    options = GREEDY | {"max_tokens": 200, "tools": [WEATHER], "tool_choice": choice}
    made = client.chat.completions.create(**options)
    (call,) = made.choices[0].message.tool_calls[:1]
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments)["unit"] in ("C", "F")
    with client.chat.completions.stream(**options) as stream:
        for _ in stream:
            pass
        streamed = stream.get_final_completion().choices[0].message.tool_calls[0]
    assert streamed.function.arguments == call.function.arguments
    told = [
        *ASKED,
        {"role": "assistant", "tool_calls": [call.model_dump()]},
        {"role": "tool", "tool_call_id": call.id, "content": "18 degrees"},
    ]
    after = client.chat.completions.create(**GREEDY | {"messages": told}, tools=[WEATHER], tool_choice="none")
    assert after.choices[0].message.content


def test_completions(client):
    options = {"model": MODEL, "prompt": "The capital of France is", "max_tokens": 8, "temperature": 0}
    made = client.completions.create(**options, echo=True, logprobs=2)
    assert made.choices[0].text.startswith(options["prompt"])
    told = made.choices[0].logprobs
    assert told.token_logprobs[0] is None
    assert "".join(told.tokens) == made.choices[0].text
    assert [
        made.choices[0].text[offset:][: len(token)] for offset, token in zip(told.text_offset, told.tokens, strict=True)
    ] == told.tokens
    streamed = "".join(chunk.choices[0].text for chunk in client.completions.create(**options, stream=True))
    assert options["prompt"] + streamed == made.choices[0].text
    both = client.completions.create(**options | {"prompt": [options["prompt"], "Once upon"], "n": 2})
    assert [choice.index for choice in both.choices] == [0, 1, 2, 3]
    assert both.choices[0].text == streamed
    stopped = client.completions.create(**options | {"stop": streamed[3:6]})
    assert stopped.choices[0].text == streamed[: streamed.index(streamed[3:6])]
    assert stopped.choices[0].finish_reason == "stop"


def test_embeddings(client):
    packed = client.embeddings.create(model=MODEL, input=["a mill", "a wheel"])
    plain = client.embeddings.create(model=MODEL, input=["a mill", "a wheel"], encoding_format="float")
    assert len(packed.data) == 2
    for one, other in zip(packed.data, plain.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding, abs=1e-6)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"temperature": -1}, openai.BadRequestError),
        ({"messages": []}, openai.BadRequestError),
        ({"model": "nothing"}, openai.NotFoundError),
        (
            {
                "max_tokens": 2,
                "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": 5}}},
            },
            openai.BadRequestError,
        ),
        ({"messages": [{"role": "user", "content": "word " * 20_000}]}, openai.BadRequestError),
    ],
)
def test_errors_have_their_classes(client, options, error):
    with pytest.raises(error) as caught:
        client.chat.completions.create(**GREEDY | options)
    assert caught.value.body["message"]


def test_a_wrong_key():
    with (
        openai.OpenAI(base_url=URL, api_key="wrong", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.models.list()


def test_many_at_once(answer):
    """Sixteen at once on one client, as an agent does it, each the same as alone."""

    async def all_of_them():
        async with openai.AsyncOpenAI(base_url=URL, api_key=KEY) as client:
            return await asyncio.gather(*(client.chat.completions.create(**GREEDY) for _ in range(16)))

    for made in asyncio.run(all_of_them()):
        assert made.choices[0].message.content == answer.choices[0].message.content
