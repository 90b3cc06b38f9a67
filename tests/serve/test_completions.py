"""``/v1/completions`` in the process: prompts of every kind, echoes, log-probabilities."""

import pytest

from fakes.server_events import events_of
from textmill.infer.sampler import log_softmax

PATH = "/v1/completions"
TEXT = "the quick brown fox"


def ask(client, prompt=TEXT, **options):
    response = client.post(PATH, {"prompt": prompt, "temperature": 0, "max_tokens": 8} | options)
    assert response.status_code == 200, response.text
    return response


def refused(client, **options):
    response = client.post(PATH, {"prompt": TEXT, "max_tokens": 4} | options)
    assert response.status_code == 400, response.text
    return response.json()["error"]


def test_an_answer(client, lm):
    body = ask(client).json()
    alone = lm.generate(TEXT, max_tokens=8)
    assert body["object"] == "text_completion"
    assert body["id"].startswith("cmpl-")
    assert body["choices"] == [{"index": 0, "text": alone.text, "finish_reason": alone.finish_reason, "logprobs": None}]
    assert body["usage"]["completion_tokens"] == len(alone.ids)


def test_sixteen_tokens_unless_told(client):
    assert ask(client, max_tokens=None, ignore_eos=True).json()["usage"]["completion_tokens"] == 16


def test_prompts_of_every_kind(client, lm):
    ids = lm.tokenizer.encode(TEXT)
    expected = [lm.generate(text, max_tokens=8).text for text in (TEXT, "seven wizards")]
    for prompt in (TEXT, ids, [ids], [TEXT]):
        assert [choice["text"] for choice in ask(client, prompt).json()["choices"]] == expected[:1]
    for prompt in ([TEXT, "seven wizards"], [ids, lm.tokenizer.encode("seven wizards")], [ids, "seven wizards"]):
        assert [choice["text"] for choice in ask(client, prompt).json()["choices"]] == expected


def test_several_answers_to_several_prompts(client, lm):
    body = ask(client, [TEXT, "box"], n=2, temperature=1, seed=4).json()
    expected = [lm.generate(t, max_tokens=8, temperature=1, seed=4, n=2)[i].text for t in (TEXT, "box") for i in (0, 1)]
    assert [choice["text"] for choice in body["choices"]] == expected
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2, 3]
    assert body["usage"]["prompt_tokens"] == sum(len(lm.tokenizer.encode(text)) for text in (TEXT, "box"))
    *chunks, _ = events_of(ask(client, [TEXT, "box"], n=2, temperature=1, seed=4, stream=True).text)
    for index, text in enumerate(expected):
        pieces = [choice for chunk in chunks for choice in chunk["choices"] if choice["index"] == index]
        assert "".join(piece["text"] for piece in pieces) == text
        assert [piece["finish_reason"] is None for piece in pieces] == [True] * (len(pieces) - 1) + [False]


def test_a_stream(client, lm):
    *chunks, done = events_of(ask(client, stream=True, stream_options={"include_usage": True}).text)
    assert done == "[DONE]"
    assert {chunk["object"] for chunk in chunks} == {"text_completion"}
    text = "".join(choice["text"] for chunk in chunks for choice in chunk["choices"])
    assert text == lm.generate(TEXT, max_tokens=8).text
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == ask(client).json()["usage"]["completion_tokens"]


class TestLogprobs:
    def test_of_the_answer(self, client, lm):
        told = ask(client, logprobs=3).json()["choices"][0]["logprobs"]
        alone = lm.generate(TEXT, max_tokens=8, logprobs=3)
        assert told["token_logprobs"] == alone.logprobs
        for tops, expected in zip(told["top_logprobs"], alone.top_logprobs, strict=True):
            assert sorted(tops.values()) == sorted(expected.values())
        assert told["text_offset"][0] == 0
        assert told["text_offset"] == sorted(told["text_offset"])

    def test_none_still_tells_the_best(self, client):
        told = ask(client, logprobs=0).json()["choices"][0]["logprobs"]
        assert all(len(tops) == 1 for tops in told["top_logprobs"])

    def test_the_token_itself_is_always_told(self, client):
        told = ask(client, logprobs=1, temperature=2, seed=1).json()["choices"][0]["logprobs"]
        for token, logprob, tops in zip(told["tokens"], told["token_logprobs"], told["top_logprobs"], strict=True):
            assert tops[token] == logprob

    def test_of_an_echo(self, client, lm):
        """What lm-evaluation-harness asks for: the prompt's own tokens, each with what was best in its place."""
        ids = lm.tokenizer.encode(TEXT)
        choice = ask(client, [ids], echo=True, logprobs=1, max_tokens=1).json()["choices"][0]
        told = choice["logprobs"]
        logits = lm.logits(ids)
        rows = [log_softmax(row[: lm.tokenizer.vocab_size]) for row in logits]
        assert told["token_logprobs"][0] is None
        assert told["top_logprobs"][0] is None
        assert told["token_logprobs"][1 : len(ids)] == [rows[i][ids[i + 1]] for i in range(len(ids) - 1)]
        for place in range(1, len(ids)):
            assert max(told["top_logprobs"][place].values()) == rows[place - 1].max()
        assert choice["text"].startswith(TEXT)
        assert [choice["text"][at] for at in told["text_offset"][:3]] == [token[0] for token in told["tokens"][:3]]

    def test_of_an_echo_alone(self, client, lm):
        choice = ask(client, echo=True, logprobs=2, max_tokens=0).json()["choices"][0]
        assert choice["text"] == TEXT
        assert len(choice["logprobs"]["tokens"]) == len(lm.tokenizer.encode(TEXT))
        assert choice["finish_reason"] == "length"

    def test_in_a_stream(self, client):
        whole = ask(client, echo=True, logprobs=2).json()["choices"][0]
        *chunks, _ = events_of(ask(client, echo=True, logprobs=2, stream=True).text)
        choices = [chunk["choices"][0] for chunk in chunks]
        assert "".join(choice["text"] for choice in choices) == whole["text"]
        for name, expected in whole["logprobs"].items():
            parts = [choice["logprobs"][name] for choice in choices if choice["logprobs"]]
            assert [item for part in parts for item in part] == expected

    def test_tokens_that_are_no_whole_character(self, client, lm):
        ids = lm.tokenizer.encode("é")
        assert len(ids) == 2
        choice = ask(client, [ids], echo=True, logprobs=1, max_tokens=0).json()["choices"][0]
        assert choice["logprobs"]["tokens"] == ["bytes:\\xc3", "bytes:\\xa9"]
        assert choice["text"] == "é"


def test_an_echo_without_logprobs(client, lm):
    text = ask(client, echo=True).json()["choices"][0]["text"]
    assert text == TEXT + lm.generate(TEXT, max_tokens=8).text


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"suffix": "end"}, "suffix"),
        ({"best_of": 3}, "best_of"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"logprobs": 21}, "logprobs"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [1, "a"]}, "prompt"),
        ({"prompt": [[1], 2]}, "prompt"),
        ({"prompt": {"a": 1}}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": [[]]}, None),
        ({"prompt": [303], "echo": True}, "echo"),
        ({"prompt": [9999]}, None),
        ({"prompt": "fox " * 500}, None),
    ],
    ids=str,
)
def test_what_is_refused(client, options, param):
    assert refused(client, **options)["param"] == param
