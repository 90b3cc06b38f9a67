"""Answers token by token: those of the library, with their probabilities; stopped as soon as nobody listens."""

import asyncio
import json
import math
import threading
import time

import numpy as np
import pytest

import textmill


@pytest.fixture(scope="module")
def lm(place):
    return textmill.load(place / "tiny", threads=1)


def text_of(events):
    tokens = [token for name, data in events if name == "tokens" for token in data["tokens"]]
    return "".join(token["text"] for token in tokens) + events[-1][1]["text"]


MESSAGES = [{"role": "user", "content": "the quick brown fox"}]


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0},
        {"temperature": 0.8, "seed": 3},
        {"temperature": 1.5, "seed": 4, "top_k": 20, "top_p": 0.9, "min_p": 0.01, "repetition_penalty": 1.2},
        {"temperature": 1.0, "seed": 5, "presence_penalty": 0.5, "frequency_penalty": 0.7, "min_tokens": 4},
        {"temperature": 1.0, "seed": 6, "stop": ["e", "\n"], "ignore_eos": True, "logit_bias": {70: 3.5, 80: -100}},
    ],
)
def test_an_answer_is_the_librarys(studio, lm, options):
    body = {"model": "tiny", "messages": MESSAGES, "max_tokens": 20, "alternatives": 3, **options}
    events = studio.post("/api/chat", body)
    alone = lm.chat(MESSAGES, max_tokens=20, logprobs=3, **({"seed": 0} | options))
    events = [event for event in events if event[0] != "loading"]
    assert events[0][0] == "start"
    assert [token["id"] for token in events[0][1]["prompt"]] == lm.chat_ids(MESSAGES)
    tokens = [token for name, data in events if name == "tokens" for token in data["tokens"]]
    assert [token["id"] for token in tokens] == alone.ids
    assert text_of(events) == alone.text
    assert events[-1][0] == "end"
    assert events[-1][1]["finish_reason"] == alone.finish_reason
    assert events[-1][1]["num_drawn"] == len(alone.ids)
    for token, logprob, top in zip(tokens, alone.logprobs, alone.top_logprobs, strict=True):
        assert math.isclose(token["logprob"], logprob, abs_tol=1e-5)
        assert [other["id"] for other in token["top"]] == list(top)
        assert bytes.fromhex(token["token_hex"]) == lm.tokenizer.token_bytes(token["id"])


def test_probabilities_are_those_of_the_logits(studio, lm):
    events = studio.post(
        "/api/chat", {"model": "tiny", "prompt": "the quick", "max_tokens": 4, "temperature": 1, "seed": 1}
    )
    ids = [*(token["id"] for token in events[0][1]["prompt"])]
    tokens = [token for name, data in events if name == "tokens" for token in data["tokens"]]
    logits_TV = lm.logits([*ids, *(token["id"] for token in tokens)]).astype(np.float64)[:, : lm.tokenizer.vocab_size]
    for token, row in zip(tokens, logits_TV[len(ids) - 1 :], strict=False):
        logprob = row[token["id"]] - row.max() - math.log(np.exp(row - row.max()).sum())
        assert math.isclose(token["logprob"], logprob, abs_tol=1e-4)


def test_what_the_models_files_ask_for_holds_where_nothing_is_given(studio, place, lm):
    file = place / "tiny" / "generation_config.json"
    before = file.read_text() if file.is_file() else None
    file.write_text(json.dumps({"temperature": 0.7, "top_k": 5}))
    try:
        assert studio.get("/api/models/tiny")["sampling"] == {"temperature": 0.7, "top_k": 5}
        events = studio.post("/api/chat", {"model": "tiny", "prompt": "the", "max_tokens": 8, "seed": 9})
        alone = lm.generate("the", max_tokens=8, seed=9, temperature=0.7, top_k=5)
        assert text_of(events) == alone.text
    finally:
        file.unlink()
        if before is not None:
            file.write_text(before)


def test_two_checkpoints_answer_at_once(studio, place):
    """Beside each other, and each as alone."""
    bodies = [
        {"model": f"second@{step}", "prompt": "the quick", "max_tokens": 30, "temperature": 0, "ignore_eos": True}
        for step in (10, 20)
    ]
    found = [None, None]

    def ask(number):
        found[number] = studio.post("/api/chat", bodies[number])

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for step, events in zip((10, 20), found, strict=True):
        folder = place / "runs" / "second" / "checkpoints" / f"step-{step:08d}"
        alone = textmill.load(folder, threads=1).generate("the quick", max_tokens=30, ignore_eos=True)
        assert text_of(events) == alone.text
    assert {model["name"] for model in studio.get("/api/session")["models"] if model["is_loaded"]} <= {"tiny", "second"}


def test_a_model_without_a_chat_template_says_what_to_do(fresh):
    events = fresh.post("/api/chat", {"model": "example", "messages": MESSAGES})
    assert events[-1][0] == "error"
    assert "no chat template" in events[-1][1]["error"]["message"]
    message = fresh.refusal("POST", "/api/chat", json={"model": "example", "messages": MESSAGES})  # it is loaded now
    assert "no chat template" in message


def test_a_page_that_goes_away_stops_the_work(studio, monkeypatch):
    """Within a few steps of some hundreds, each slow enough for the page to be heard."""
    loaded = studio.app._desk.loaded
    body = {"model": "tiny", "prompt": "the", "max_tokens": 250, "ignore_eos": True, "temperature": 1}
    studio.post("/api/chat", body | {"max_tokens": 1})

    async def hang_up_after_a_token():
        lm = loaded._models[loaded.subjects.model("tiny")]
        runner = lm.batcher._runner
        forward = runner.forward
        monkeypatch.setattr(runner, "forward", lambda chunks: (time.sleep(0.02), forward(chunks))[1])
        aborted = lm.batcher.statistics().num_aborted
        come, told = asyncio.Event(), [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]

        async def receive():
            if told:
                return told.pop()
            await come.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            if b"event: tokens" in message.get("body", b""):
                come.set()

        headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": "/api/chat", "query_string": b"", "headers": headers}
        await studio.app(scope, receive, send)
        while True:
            statistics = lm.batcher.statistics()
            if not statistics.num_running and not statistics.num_waiting:
                break
            await asyncio.sleep(0.01)
        assert statistics.num_aborted == aborted + 1
        assert statistics.num_blocks_in_use == 0

    studio.run(hang_up_after_a_token())
