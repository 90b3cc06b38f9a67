"""The clients of benchmarks/serving.py: what they make of responses, whole or streamed."""

import importlib
import sys
import time
from pathlib import Path

import pytest

from fakes.openai_server import USAGE, OpenAIServer, say, send_json

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def load(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    return importlib.import_module("serving_speed.load")


def test_streams_are_timed_and_counted(load):
    with OpenAIServer(say("a", "b", seconds=0.05)) as server:
        began = time.perf_counter()
        answers = load.ask_all(server.port, [{"number": number} for number in range(5)], 2)
        seconds = time.perf_counter() - began
    assert [answer.counts() for answer in answers] == [(20, 3)] * 5
    assert sorted(request.body["number"] for request in server.requests) == list(range(5))
    assert seconds >= 0.3, "no more than two at once, each takes a tenth of a second"
    for answer in answers:
        assert 0 < answer.first_token_s < answer.ended - answer.sent < seconds


def test_a_stream_without_usage_is_counted_by_pieces(load):
    with OpenAIServer(say("a", "b", usage=None)) as server:
        assert load.ask(server.port, {}).counts() == (None, 2)


def test_a_whole_answer(load):
    whole = {"choices": [{"message": {"content": "abc"}}], "usage": USAGE}
    with OpenAIServer(lambda connection, _: send_json(connection, whole)) as server:
        answer = load.ask(server.port, {})
    assert answer.counts() == (20, 3)
    assert answer.first_token_s == answer.ended - answer.sent


def test_a_refusal_is_an_error_of_the_benchmark(load):
    with OpenAIServer(lambda connection, _: send_json(connection, {"error": "busy"}, "503 Busy")) as server:
        answer = load.ask(server.port, {})
        with pytest.raises(RuntimeError, match="busy"):
            answer.counts()
