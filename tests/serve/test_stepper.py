"""The thread that computes: what it does when the engine fails, and that it never dies of it."""

import asyncio
import threading

import pytest

from serve.conftest import make_client
from textmill.infer.request import Request
from textmill.serve.job import Job

HELLO = {"messages": [{"role": "user", "content": "the quick brown fox"}], "max_tokens": 5, "temperature": 0}
CHAT = "/v1/chat/completions"


@pytest.fixture
def client(folder, loop):
    import textmill

    client = make_client(textmill.load(folder, threads=1), loop)
    yield client
    assert client.service.stepper.stop(30)


def runner_of(client):
    return client.service.models.loaded[0].lm.batcher._runner


@pytest.mark.parametrize("stream", [False, True])
def test_a_step_that_fails_ends_requests_and_no_more(client, monkeypatch, stream):
    with monkeypatch.context() as patch:
        patch.setattr(runner_of(client), "forward", lambda chunks: 1 / 0)
        response = client.post(CHAT, HELLO | {"stream": stream})
    assert response.status_code == 500
    assert "ZeroDivisionError" in response.json()["error"]["message"]
    assert [type(error) for error in client.failures] == [ZeroDivisionError]
    assert client.post(CHAT, HELLO).status_code == 200
    assert client.service.models.loaded[0].lm.batcher.statistics().num_blocks_in_use == 0


def test_a_stream_that_has_begun_ends_with_an_error(client, monkeypatch):
    runner = runner_of(client)
    forward, calls = runner.forward, []
    app, has_begun = client.app, threading.Event()

    def fail_later(chunks):
        calls.append(1)
        if len(calls) < 3:
            return forward(chunks)
        assert has_begun.wait(60)
        return 1 / 0

    async def watched(scope, receive, send):
        async def note(message):
            await send(message)
            has_begun.set()

        await app(scope, receive, note)

    monkeypatch.setattr(client, "app", watched)
    monkeypatch.setattr(runner, "forward", fail_later)
    response = client.post(CHAT, HELLO | {"stream": True, "speculate": 0, "ignore_eos": True, "temperature": 1})
    assert response.status_code == 200
    assert '"server_error"' in response.text.split("\n\n")[-3]
    assert response.text.endswith("data: [DONE]\n\n")


def test_logits_that_are_not_finite(client, monkeypatch):
    runner = runner_of(client)
    forward = runner.forward
    monkeypatch.setattr(runner, "forward", lambda chunks: forward(chunks) * float("nan"))
    response = client.post(CHAT, HELLO)
    assert response.status_code == 500
    assert "not finite" in response.json()["error"]["message"]
    assert client.failures == []


def test_answers_that_are_lost_end(client):
    """What should never be: the batcher forgets an answer."""
    lm = client.service.models.loaded[0].lm

    async def lose():
        (answer,) = lm.answers([1, 2, 3], Request(max_tokens=5))
        job = Job(lm.batcher, [answer], tells_all=False)
        lm.batcher.submit = lambda answer: None
        client.service.stepper.submit(job)
        del lm.batcher.submit
        await job.take()

    with pytest.raises(RuntimeError, match="does not know"):
        client.call(lose())
    assert client.post(CHAT, HELLO).status_code == 200


def test_errands(client):
    stepper = client.service.stepper

    async def both():
        with pytest.raises(ZeroDivisionError):
            await stepper.run(lambda: 1 / 0)
        return await asyncio.gather(*(stepper.run(lambda i=i: i * 2) for i in range(5)))

    assert client.call(both()) == [0, 2, 4, 6, 8]
