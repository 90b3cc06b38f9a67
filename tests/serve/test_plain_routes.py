"""Models, tokens, health, metrics, the description; and the errors of all."""

import re

import msgspec
import pytest

from serve.conftest import make_client
from textmill.serve import wire_requests
from textmill.serve.openapi import schema

HELLO = [{"role": "user", "content": "the quick brown fox"}]


def test_models(client):
    (card,) = client.get("/v1/models").json()["data"]
    assert (card["id"], card["object"], card["max_model_len"]) == ("tiny", "model", 256)
    assert client.get("/v1/models/tiny").json() == card
    missing = client.get("/v1/models/org/other")
    assert missing.status_code == 404
    assert missing.json()["error"]["code"] == "model_not_found"


def test_a_model_that_is_not_here(client):
    for path, body in (("chat/completions", {"messages": HELLO}), ("completions", {"prompt": "a"})):
        response = client.post(f"/v1/{path}", body | {"model": "gpt-4"})
        assert response.status_code == 404
        assert '"gpt-4"' in response.json()["error"]["message"]
        assert '"tiny"' in response.json()["error"]["message"]


def test_tokens(client, lm):
    text = "the quick <|im_end|> fox"
    ids = lm.tokenizer.encode(text)
    body = client.post("/tokenize", {"prompt": text, "return_token_strs": True}).json()
    assert body == {
        "count": len(ids),
        "max_model_len": 256,
        "tokens": ids,
        "token_strs": [lm.tokenizer.decode([i]) for i in ids],
    }
    assert client.post("/tokenize", {"prompt": text, "add_special_tokens": False}).json()["tokens"] == ids
    assert client.post("/detokenize", {"tokens": ids}).json() == {"prompt": text}
    assert client.post("/tokenize", {"messages": HELLO}).json()["tokens"] == lm.chat_ids(HELLO)
    plain = client.post("/tokenize", {"messages": HELLO, "add_generation_prompt": False}).json()["tokens"]
    assert plain == lm.chat_ids(HELLO, add_generation_prompt=False)
    assert client.post("/tokenize", {}).status_code == 400
    assert client.post("/tokenize", {"prompt": "a", "messages": HELLO}).status_code == 400
    assert client.post("/detokenize", {"tokens": [1 << 30]}).status_code == 400


def test_health_and_phases(folder, lm, loop):
    client = make_client(lm, loop, open_models=False)
    for phase, status in (("loading", 503), ("ready", 200), ("draining", 503)):
        client.service.phase = phase
        assert client.get("/health").status_code == status
        if status == 503:
            response = client.post("/v1/chat/completions", {"messages": HELLO})
            assert response.status_code == 503
            assert int(response.headers["retry-after"]) > 0
            assert response.json()["error"]["code"] == phase
    assert client.get("/metrics").status_code == 200


def test_metrics(client):
    client.post("/v1/chat/completions", {"messages": HELLO, "max_tokens": 5, "ignore_eos": True})
    text = client.get("/metrics").text
    for name in (
        "num_requests_running",
        "num_requests_waiting",
        "kv_cache_usage_perc",
        "prefix_cache_queries_total",
        "prefix_cache_hits_total",
        "prompt_tokens_total",
        "generation_tokens_total",
        "num_preemptions_total",
        "time_to_first_token_seconds_count",
        "inter_token_latency_seconds_count",
        "e2e_request_latency_seconds_count",
        "request_queue_time_seconds_count",
        "request_prefill_time_seconds_count",
        "request_decode_time_seconds_count",
        "request_prompt_tokens_count",
        "request_generation_tokens_count",
        "iteration_tokens_total_count",
    ):
        assert re.search(rf'^vllm:{name}{{model_name="tiny"}} [0-9.e+-]+$', text, re.MULTILINE), name
    assert re.search(r'^vllm:request_success_total{finished_reason="length",model_name="tiny"}', text, re.MULTILINE)
    assert re.search(r'^vllm:http_requests_total{method="POST",path="/v1/chat/completions",status="200"}', text, re.M)


def test_steps_by_their_tokens(client):
    def counts():
        text = client.get("/metrics").text
        found = re.findall(r'^vllm:iteration_tokens_total_bucket{le="([^"]+)",model_name="tiny"} (\S+)$', text, re.M)
        (total,) = re.findall(r'^vllm:iteration_tokens_total_sum{model_name="tiny"} (\S+)$', text, re.M)
        return {float(size): float(count) for size, count in found}, float(total)

    before, tokens_before = counts()
    prompt = [7, 8, 9, 10, 11]
    body = {"prompt": prompt, "max_tokens": 4, "ignore_eos": True, "temperature": 1.0, "seed": 3}
    assert client.post("/v1/completions", body).status_code == 200
    after, tokens = counts()
    # The prompt in one step, then a token in each, as long as nothing is guessed.
    assert tokens - tokens_before >= len(prompt) + 3
    assert after[4.0] - before[4.0] < after[8.0] - before[8.0] == after[float("inf")] - before[float("inf")]


def test_the_description(client):
    told = client.get("/openapi.json").json()
    assert told["openapi"] == "3.1.0"
    assert "/v1/chat/completions" in told["paths"]
    names = re.findall(r"#/components/schemas/(\w+)", msgspec.json.encode(told).decode())
    assert set(names) <= set(told["components"]["schemas"])
    required = told["components"]["schemas"]["ChatRequest"]["required"]
    assert required == ["messages"]
    assert schema()["components"]["schemas"].keys() >= {"CompletionRequest", "Error", "ChatCompletion"}
    assert wire_requests.ChatRequest.__doc__


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "not_found"),
        ("GET", "/v1/models/", 404, "not_found"),
        ("POST", "/v1/nothing", 404, "not_found"),
        ("GET", "/v1/chat/completions", 405, "method_not_allowed"),
        ("DELETE", "/v1/models", 405, "method_not_allowed"),
        ("OPTIONS", "/v1/models", 405, "method_not_allowed"),
    ],
)
def test_routes_that_are_none(client, method, path, status, code):
    response = client.request(method, path)
    assert response.status_code == status
    assert response.json()["error"]["code"] == code
    if status == 405:
        assert response.headers["allow"] in ("GET", "POST")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"[]",
        b"null",
        b'"text"',
        b'{"messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"messages": [{"role": "user", "content": "a"}], "temperature": NaN}',
        b'{"messages": [{"role": "user", "content": "a"}], "temperature": 1e999}',
        b'{"messages": [{"role": "user", "content": "a"}], "max_tokens": 1' + b"0" * 5000 + b"}",
        b'{"messages": ' + b"[" * 100_000,
        b'{"messages": [{"role": "user", "content": "a"}], "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"messages": [{"role": "user", "content": "a"}], "logit_bias": {"' + b"9" * 5000 + b'": 1}}',
    ],
    ids=lambda body: repr(body[:60]),
)
def test_bodies_that_are_no_request(client, body):
    is_json = body.endswith(b"}") and b"NaN" not in body and b"ud800" not in body
    others = () if is_json else ("/v1/completions", "/v1/embeddings", "/tokenize", "/detokenize")
    for path in ("/v1/chat/completions", *others):  # to the others most of these fields are unknown
        response = client.post(path, content=body)
        assert response.status_code == 400, response.text
        assert set(response.json()["error"]) == {"message", "type", "param", "code"}


def test_request_ids(client):
    assert client.get("/health", headers={"X-Request-Id": "mine-1"}).headers["x-request-id"] == "mine-1"
    for bad in ("a b", "", "ü", "x" * 129):
        given = client.get("/health", headers={"X-Request-Id": bad.encode("latin-1")}).headers["x-request-id"]
        assert re.fullmatch(r"[0-9a-f]{24}", given)


def test_a_bug_is_an_error_too(lm, loop, monkeypatch):
    client = make_client(lm, loop)
    monkeypatch.setattr(type(client.service.metrics), "render", lambda self: 1 / 0)
    response = client.get("/metrics")
    assert response.status_code == 500
    assert response.json()["error"]["type"] == "server_error"
