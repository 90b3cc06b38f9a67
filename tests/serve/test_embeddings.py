"""``/v1/embeddings`` in the process."""

import base64

import numpy as np
import pytest

TEXTS = ["the quick brown fox", "seven wizards box"]


def ask(client, texts, **options):
    response = client.post("/v1/embeddings", {"input": texts} | options)
    assert response.status_code == 200, response.text
    return response.json()


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_vectors_are_the_models_at_length_1(client, lm):
    expected = unit(lm.embed(TEXTS))
    body = ask(client, TEXTS)
    assert (body["object"], body["model"]) == ("list", "tiny")
    assert [item["index"] for item in body["data"]] == [0, 1]
    found = np.array([item["embedding"] for item in body["data"]], np.float32)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)  # lengths in float64 and in float32
    num_tokens = sum(len(lm.tokenizer.encode(text)) for text in TEXTS)
    assert body["usage"] == {"prompt_tokens": num_tokens, "total_tokens": num_tokens}


def test_inputs_of_every_kind(client, lm):
    ids = [lm.tokenizer.encode(text) for text in TEXTS]
    for one in (TEXTS[0], ids[0], [TEXTS[0]], [ids[0]]):
        assert ask(client, one)["data"] == ask(client, TEXTS)["data"][:1]
    assert ask(client, ids)["data"] == ask(client, TEXTS)["data"]


def test_base64(client):
    plain = ask(client, TEXTS[0])["data"][0]["embedding"]
    packed = ask(client, TEXTS[0], encoding_format="base64", dimensions=32)["data"][0]["embedding"]
    assert np.frombuffer(base64.b64decode(packed), "<f4").tolist() == plain


def test_beside_answers(client, lm):
    """More texts than a step has tokens for, while others are answered."""
    texts = [f"the quick {number} fox" * 8 for number in range(40)]
    expected = unit(lm.embed(texts))
    found = np.array([item["embedding"] for item in ask(client, texts)["data"]], np.float32)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
    assert ask(client, texts[:3])["data"] == ask(client, texts)["data"][:3]


def test_more_texts_than_the_queue_has_places(client, lm):
    """LangChain sends 1,000 in a request."""
    texts = [f"fox {number}" for number in range(400)]
    body = ask(client, texts)
    assert [item["index"] for item in body["data"]] == list(range(400))
    found = np.array([item["embedding"] for item in body["data"]], np.float32)
    np.testing.assert_allclose(found, unit(lm.embed(texts)), rtol=1e-6, atol=1e-7)
    assert body["usage"]["prompt_tokens"] == sum(len(lm.tokenizer.encode(text)) for text in texts)


@pytest.mark.parametrize(
    "body",
    [{"input": []}, {"input": "a", "dimensions": 8}, {"input": "fox " * 900}, {"input": [[]]}, {}],
    ids=str,
)
def test_what_is_refused(client, body):
    response = client.post("/v1/embeddings", body)
    assert response.status_code == 400, response.text
    assert response.json()["error"]["message"]
