"""Several models behind one server: by name, within a budget, adapters among them."""

import json
import threading

import numpy as np
import pytest

import textmill
from fakes import tiny_model
from serve.conftest import make_client
from textmill.base import safetensors
from textmill.base.errors import ConfigError, DataError
from textmill.infer.engine import planned_memory
from textmill.serve import models
from textmill.serve.models import Models, pool_of

ASKED = {"messages": [{"role": "user", "content": "the fox"}], "max_tokens": 12, "temperature": 0}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two models, and an adapter of the first."""
    root = tmp_path_factory.mktemp("models")
    config = tiny_model.write_model(root / "one")
    tiny_model.write_model(root / "two", hidden_size=64, num_attention_heads=8)
    adapter = root / "tuned"
    adapter.mkdir()
    settings = {
        "peft_type": "LORA",
        "base_model_name_or_path": "../one",
        "r": 4,
        "lora_alpha": 64,
        "target_modules": ["o_proj"],
    }
    (adapter / "adapter_config.json").write_text(json.dumps(settings))
    rng = np.random.default_rng(2)
    factors = {}
    for layer in range(config.num_hidden_layers):
        name = f"base_model.model.model.layers.{layer}.self_attn.o_proj"
        factors[f"{name}.lora_A.weight"] = rng.normal(size=(4, 32)).astype(np.float32)
        factors[f"{name}.lora_B.weight"] = rng.normal(size=(32, 4)).astype(np.float32)
    safetensors.save(adapter / "adapter_model.safetensors", factors)
    return {name: root / name for name in ("one", "two", "tuned")}


@pytest.fixture(scope="module")
def expected(folders):
    """What each says by itself."""
    return {
        name: textmill.load(path, threads=1).chat(ASKED["messages"], max_tokens=12).text
        for name, path in folders.items()
    }


def size_of(path, free=1 << 30):
    plan = planned_memory(path, free=free)
    return plan.weight_bytes + plan.cache_bytes


def serve(folders, loop, memory, **settings):
    client = make_client([], loop, open_models=False, **settings)
    client.service.open(Models(pool_of(folders, memory, threads=1)))
    return client


def ask(client, name):
    response = client.post("/v1/chat/completions", ASKED | ({} if name is None else {"model": name}))
    assert response.status_code == 200, response.text
    assert response.json()["model"] == (name or "one")
    return response.json()["choices"][0]["message"]["content"]


def test_models_are_loaded_when_they_are_asked_for(folders, expected, loop):
    client = serve(folders, loop, None)
    assert [model["id"] for model in client.get("/v1/models").json()["data"]] == ["one", "two", "tuned"]
    assert client.service.models.loaded == []
    assert len(set(expected.values())) == 3
    for name in ("two", "tuned", "one", "two", None):
        assert ask(client, name) == expected[name or "one"]
    assert [model.name for model in client.service.models.loaded] == ["one", "two", "tuned"]
    unknown = client.post("/v1/chat/completions", ASKED | {"model": "three"})
    assert unknown.status_code == 404
    assert '"one", "two", "tuned"' in unknown.json()["error"]["message"]


def test_one_makes_room_for_another(folders, expected, loop):
    memory = max(size_of(path, free=1 << 30) for path in folders.values())
    client = serve(folders, loop, memory)
    for name in ("one", "two", "one", "tuned", "two"):
        assert ask(client, name) == expected[name]
        assert name in [model.name for model in client.service.models.loaded]
    assert client.service.models._pool.num_bytes <= memory
    assert len(client.service.models.loaded) < 3


def test_requests_at_once_share_the_budget(folders, expected, loop):
    """Each is answered, or told that there is no room now."""
    client = serve(folders, loop, max(size_of(path) for path in folders.values()))
    statuses, wrong = [], []

    def call(name):
        response = client.post("/v1/chat/completions", ASKED | {"model": name})
        statuses.append(response.status_code)
        if response.status_code == 200:
            if response.json()["choices"][0]["message"]["content"] != expected[name]:
                wrong.append(name)
        elif response.status_code != 503 or "retry-after" not in response.headers:
            wrong.append(response.text)

    threads = [threading.Thread(target=call, args=(name,)) for name in ("one", "two", "tuned") * 5]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert 200 in statuses


def test_a_model_that_does_not_fit_is_refused_at_the_start(folders):
    with pytest.raises(ConfigError, match="of memory"):
        pool_of(folders, 1000)
    with pytest.raises(ConfigError, match='the device is "cuda"'):
        pool_of(folders, 1 << 30, device="cuda")


def test_a_model_that_is_damaged_later_is_told(folders, loop, tmp_path):
    tiny_model.write_model(tmp_path / "late")
    client = serve({"one": folders["one"], "late": tmp_path / "late"}, loop, None)
    (tmp_path / "late" / "model.safetensors").write_bytes(b"")
    response = client.post("/v1/chat/completions", ASKED | {"model": "late"})
    assert response.status_code == 503
    assert "cannot be loaded" in response.json()["error"]["message"]
    with pytest.raises(DataError):
        pool_of({"late": tmp_path / "late"}, None)


def test_a_request_waits_for_a_model_no_longer_than_it_may(folders, expected, loop, monkeypatch):
    may_load = threading.Event()

    def late(*arguments, **options):
        may_load.wait()
        return textmill.load(*arguments, **options)

    monkeypatch.setattr(models, "load", late)
    client = serve(folders, loop, None)
    response = client.post("/v1/chat/completions", ASKED | {"timeout": 0.05})
    assert response.status_code == 408
    assert response.json()["error"]["code"] == "deadline_exceeded"
    may_load.set()
    assert ask(client, "one") == expected["one"]
