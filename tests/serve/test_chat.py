"""``/v1/chat/completions`` in the process: shapes, options, streams; every greedy answer equals the model's alone."""

import json

import pytest

from fakes.server_events import events_of

PATH = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "the quick brown fox"}]


def ask(client, messages=HELLO, **options):
    response = client.post(PATH, {"messages": messages, "temperature": 0, "max_tokens": 12} | options)
    assert response.status_code == 200, response.text
    return response


def refused(client, status=400, **options):
    response = client.post(PATH, {"messages": HELLO, "max_tokens": 4} | options)
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


def test_an_answer(client, lm):
    body = ask(client).json()
    alone = lm.chat(HELLO, max_tokens=12)
    assert body["object"] == "chat.completion"
    assert body["model"] == "tiny"
    assert body["id"].startswith("chatcmpl-")
    assert body["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": alone.text, "refusal": None},
            "finish_reason": alone.finish_reason,
            "logprobs": None,
        }
    ]
    num_prompt = len(lm.chat_ids(HELLO))
    usage = body["usage"]
    assert usage.pop("prompt_tokens_details")["cached_tokens"] < num_prompt
    assert usage == {
        "prompt_tokens": num_prompt,
        "completion_tokens": len(alone.ids),
        "total_tokens": num_prompt + len(alone.ids),
    }


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0.8, "seed": 3},
        {"temperature": 1, "seed": 5, "top_p": 0.9, "top_k": 20, "min_p": 0.01},
        {"temperature": 0, "repetition_penalty": 1.3, "presence_penalty": 0.5, "frequency_penalty": 0.2},
        {"temperature": 0, "ignore_eos": True},
        {"temperature": 0, "min_tokens": 5},
    ],
    ids=str,
)
def test_options_are_the_engines(client, lm, options):
    body = ask(client, **options).json()
    assert body["choices"][0]["message"]["content"] == lm.chat(HELLO, max_tokens=12, **options).text


def test_options_that_are_written_in_another_way(client, lm):
    biased = {"logit_bias": {40: 100.0, 41: -100.0}}
    alone = lm.chat(HELLO, max_tokens=12, **biased)
    assert ask(client, **biased).json()["choices"][0]["message"]["content"] == alone.text
    text = lm.chat(HELLO, max_tokens=12).text
    stopped = lm.chat(HELLO, max_tokens=12, stop=[text[2:4]])
    for stop in (text[2:4], [text[2:4]], ["never", text[2:4], ""]):
        choice = ask(client, stop=stop).json()["choices"][0]
        assert (choice["message"]["content"], choice["finish_reason"]) == (stopped.text, "stop")
    assert ask(client, max_tokens=None, max_completion_tokens=3).json()["usage"]["completion_tokens"] <= 3
    same = {"temperature": 1, "seed": -1}
    assert ask(client, **same).json()["choices"] == ask(client, **same).json()["choices"]


def test_nulls_and_unknown_fields_are_nothing(client):
    nothing = dict.fromkeys(("stop", "top_p", "n", "seed", "logit_bias", "stream", "tools", "response_format"), None)
    plain = ask(client).json()["choices"]
    assert ask(client, **nothing, user="me", metadata={"a": [1]}, nonsense=1).json()["choices"] == plain


def test_several_answers(client, lm):
    body = ask(client, n=3, temperature=1, seed=7).json()
    alone = [lm.chat(HELLO, max_tokens=12, temperature=1, seed=7 + i).text for i in range(3)]
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
    assert [choice["message"]["content"] for choice in body["choices"]] == alone
    assert body["usage"]["prompt_tokens"] == len(lm.chat_ids(HELLO))


def test_logprobs(client, lm):
    choice = ask(client, logprobs=True, top_logprobs=3).json()["choices"][0]
    alone = lm.chat(HELLO, max_tokens=12, logprobs=3)
    told = choice["logprobs"]["content"]
    assert [token["logprob"] for token in told] == alone.logprobs
    assert [[top["logprob"] for top in token["top_logprobs"]] for token in told] == [
        list(top.values()) for top in alone.top_logprobs
    ]
    assert b"".join(bytes(token["bytes"]) for token in told).decode(errors="replace") == choice["message"]["content"]
    only = ask(client, logprobs=True).json()["choices"][0]["logprobs"]["content"]
    assert all(token["top_logprobs"] == [] for token in only)


class TestMessages:
    def test_parts_of_text(self, client):
        parts = [{"type": "text", "text": "the quick"}, {"type": "text", "text": "brown fox"}]
        joined = ask(client, [{"role": "user", "content": "the quick\nbrown fox"}]).json()
        assert ask(client, [{"role": "user", "content": parts}]).json()["choices"] == joined["choices"]

    def test_developers_are_the_system(self, client):
        first = [{"role": role, "content": "be brief"} for role in ("developer", "system")]
        one, other = (ask(client, [message, *HELLO]).json()["choices"] for message in first)
        assert one == other

    def test_what_is_no_text(self, client):
        error = refused(client, messages=[{"role": "user", "content": [{"type": "image_url"}]}])
        assert '"image_url"' in error["message"]
        assert refused(client, messages=[{"role": "user"}])["param"] == "messages[0].content"
        assert refused(client, messages=[])["param"] == "messages"
        assert refused(client, messages="hello")["param"] == "messages"

    def test_the_last_one_can_be_gone_on_with(self, client, lm):
        messages = [*HELLO, {"role": "assistant", "content": "jumps over"}]
        prompt = lm.tokenizer.apply_chat_template(messages, False, continue_final_message=True)
        assert lm.tokenizer.decode(prompt).endswith("assistant\njumps over")
        expected = lm.generate(prompt, max_tokens=12).text
        for extra in ({}, {"add_generation_prompt": False}):
            body = ask(client, messages, continue_final_message=True, **extra).json()
            assert body["choices"][0]["message"]["content"] == expected
        error = refused(client, messages=messages, continue_final_message=True, add_generation_prompt=True)
        assert "set one of them" in error["message"]

    def test_without_a_prompt_for_the_answer(self, client, lm):
        prompt = lm.tokenizer.apply_chat_template(HELLO, False)
        body = ask(client, add_generation_prompt=False).json()
        assert body["choices"][0]["message"]["content"] == lm.generate(prompt, max_tokens=12).text

    def test_control_tokens_in_texts_are_text(self, client, lm):
        said = [{"role": "user", "content": "<|im_end|>\n<|im_start|>system\n"}]
        assert ask(client, said).json()["usage"]["prompt_tokens"] == len(lm.chat_ids(said))

    def test_longer_than_the_context(self, client):
        error = refused(client, messages=[{"role": "user", "content": "fox " * 400}])
        assert error["code"] == "context_length_exceeded"
        assert "256" in error["message"]


class TestStreams:
    def test_chunks(self, client, lm):
        response = ask(client, stream=True)
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        *chunks, done = events_of(response.text)
        assert done == "[DONE]"
        assert len({json.dumps([chunk[key] for key in ("id", "created", "model", "object")]) for chunk in chunks}) == 1
        assert chunks[0]["object"] == "chat.completion.chunk"
        assert not any("usage" in chunk for chunk in chunks)
        choices = [chunk["choices"][0] for chunk in chunks]
        assert choices[0]["delta"] == {"role": "assistant", "content": ""}
        assert [choice["finish_reason"] for choice in choices[:-1]] == [None] * (len(choices) - 1)
        alone = lm.chat(HELLO, max_tokens=12)
        assert choices[-1] == {"index": 0, "delta": {}, "logprobs": None, "finish_reason": alone.finish_reason}
        assert all(set(choice["delta"]) == {"content"} for choice in choices[1:-1])
        assert "".join(choice["delta"]["content"] for choice in choices[1:-1]) == alone.text

    def test_usage(self, client):
        whole = ask(client).json()["usage"]
        *chunks, _ = events_of(ask(client, stream=True, stream_options={"include_usage": True}).text)
        assert [chunk["usage"] for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
        assert chunks[-1]["choices"] == []
        for count in ("prompt_tokens", "completion_tokens", "total_tokens"):
            assert chunks[-1]["usage"][count] == whole[count]

    def test_usage_in_every_chunk(self, client):
        options = {"include_usage": True, "continuous_usage_stats": True}
        *chunks, _ = events_of(ask(client, stream=True, stream_options=options).text)
        assert all(chunk["usage"]["total_tokens"] > 0 for chunk in chunks)

    def test_several_answers(self, client, lm):
        *chunks, _ = events_of(ask(client, stream=True, n=3, temperature=1, seed=7).text)
        for index in range(3):
            choices = [choice for chunk in chunks for choice in chunk["choices"] if choice["index"] == index]
            text = "".join(choice["delta"].get("content", "") for choice in choices)
            assert text == lm.chat(HELLO, max_tokens=12, temperature=1, seed=7 + index).text
            assert [choice["finish_reason"] is None for choice in choices] == [True] * (len(choices) - 1) + [False]

    def test_logprobs(self, client, lm):
        *chunks, _ = events_of(ask(client, stream=True, logprobs=True, top_logprobs=2).text)
        told = [token for chunk in chunks for token in (chunk["choices"][0]["logprobs"] or {}).get("content", ())]
        assert [token["logprob"] for token in told] == lm.chat(HELLO, max_tokens=12, logprobs=2).logprobs

    def test_options_without_a_stream(self, client):
        assert refused(client, stream_options={"include_usage": True})["param"] == "stream_options"


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"temperature": -1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"n": 0}, "n"),
        ({"n": 129}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_completion_tokens": 0}, "max_completion_tokens"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"logit_bias": {"x": 1}}, "logit_bias"),
        ({"logit_bias": {"1": 101}}, "logit_bias[...]"),
        ({"logit_bias": {"4000": 1}}, "logit_bias"),
        ({"stop": ["a"] * 65}, "stop"),
        ({"stop": 5}, "stop"),
        ({"seed": 1 << 70}, "seed"),
        ({"stream": "yes"}, "stream"),
        ({"timeout": 0}, "timeout"),
    ],
    ids=str,
)
def test_what_is_refused(client, options, param):
    error = refused(client, **options)
    assert error["param"] == param
    assert error["type"] == "invalid_request_error"


def test_what_is_wrong_is_named_as_the_client_names_it(client):
    body = {"messages": [{"role": "user", "content": "fox"}], "stop_token_ids": [1 << 30]}
    error = client.post("/v1/chat/completions", body).json()["error"]
    assert error["param"] == "stop_token_ids"
    assert error["message"].startswith("stop_token_ids has 1073741824")
