"""Adapters that share a model's weights: by names of their own, in the batches and the memory of one engine."""

import re
import threading

import pytest

import textmill
from fakes.tiny_adapter import write_random_adapter
from serve.conftest import make_client
from serve.served import CHAT, HELLO, served
from textmill.base.errors import DataError
from textmill.infer.engine import planned_memory
from textmill.serve.models import Models, pool_of

NAMES = ("tiny", "poet", "clerk")
ASKED = {"messages": HELLO, "max_tokens": 24, "temperature": 0, "speculate": 4}


@pytest.fixture(scope="module")
def adapters(folder, tmp_path_factory):
    root = tmp_path_factory.mktemp("adapters")
    return {
        "poet": write_random_adapter(root / "poet", folder),
        "clerk": write_random_adapter(root / "clerk", folder, rank=2, seed=2, matrices=("v_proj", "up_proj")),
    }


@pytest.fixture(scope="module")
def expected(folder, adapters):
    """What each says by itself, merged into the base."""
    paths = {"tiny": folder, **adapters}
    return {name: textmill.load(path, threads=1).chat(HELLO, max_tokens=24).text for name, path in paths.items()}


@pytest.fixture
def client(folder, adapters, loop):
    client = make_client([], loop, open_models=False)
    pool = pool_of({"tiny": folder}, None, adapters=adapters, threads=1)
    client.service.open(Models(pool, tuple(adapters)))
    yield client
    assert client.failures == []
    for model in client.service.models.loaded:
        model.lm.batcher.check()
        assert model.lm.batcher.statistics().num_blocks_in_use == 0


def ask(client, name, **options):
    response = client.post(CHAT, ASKED | options | {"model": name})
    assert response.status_code == 200, response.text
    assert response.json()["model"] == name
    return response.json()["choices"][0]["message"]["content"]


def test_each_answers_by_its_name(client, expected):
    assert len(set(expected.values())) == 3
    assert client.service.models.loaded == []
    for name in ("poet", "tiny", "clerk", "poet"):
        assert ask(client, name) == expected[name]
    (model,) = client.service.models.loaded
    assert model.name == "tiny"
    assert client.post(CHAT, ASKED).json()["choices"][0]["message"]["content"] == expected["tiny"]


def test_requests_at_once_are_made_in_one_engine(client, expected):
    found = []

    def call(name):
        found.append((name, ask(client, name)))

    threads = [threading.Thread(target=call, args=(name,)) for name in NAMES * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted((name, expected[name]) for name in NAMES * 4)


def test_they_are_listed_with_their_base(client):
    cards = client.get("/v1/models").json()["data"]
    assert [(card["id"], card["parent"]) for card in cards] == [("tiny", None), ("poet", "tiny"), ("clerk", "tiny")]
    ask(client, "clerk")
    for name in NAMES:
        assert client.get(f"/v1/models/{name}").json()["max_model_len"] == 256
    unknown = client.post(CHAT, ASKED | {"model": "poem"})
    assert unknown.status_code == 404
    assert '"tiny", "poet", "clerk"' in unknown.json()["error"]["message"]


def test_grammars_vectors_and_tokens(client):
    schema = {"type": "regex", "pattern": "[a-c]{8}"}
    said = ask(client, "poet", response_format=schema)
    assert re.fullmatch("[a-c]{8}", said)
    vectors = [
        client.post("/v1/embeddings", {"input": "the fox", "model": name}).json()["data"][0]["embedding"]
        for name in NAMES
    ]
    assert vectors[0] != vectors[1] != vectors[2] != vectors[0]
    assert client.post("/tokenize", {"prompt": "the fox", "model": "poet"}).json()["count"] > 0


def test_requests_are_counted_by_their_names_and_steps_by_the_base(client):
    for name in ("poet", "poet", "tiny"):
        ask(client, name)
    text = client.get("/metrics").text
    drawn = dict(re.findall(r'vllm:generation_tokens_total\{model_name="(\w+)"\} (\S+)', text))
    assert {name: float(count) for name, count in drawn.items()} == {"poet": 48.0, "tiny": 24.0}
    assert re.findall(r'vllm:num_requests_running\{model_name="(\w+)"\}', text) == ["tiny"]


def test_the_base_makes_room_and_comes_back_for_its_adapters(folder, adapters, expected, loop):
    other = {"other": adapters["clerk"]}  # merged, a model of its own
    plan = planned_memory(folder, free=1 << 30, adapters=adapters)
    memory = plan.weight_bytes + plan.cache_bytes
    client = make_client([], loop, open_models=False)
    pool = pool_of({"tiny": folder, **other}, memory, adapters=adapters, threads=1)
    client.service.open(Models(pool, tuple(adapters)))
    for name in ("poet", "other", "clerk", "tiny", "other", "poet"):
        assert ask(client, name) == expected["clerk" if name == "other" else name]
        assert [model.name for model in client.service.models.loaded] == ["other" if name == "other" else "tiny"]
    with pool.lease("tiny"):
        response = client.post(CHAT, ASKED | {"model": "other"})
        assert response.json()["error"]["code"] == "no_room_for_model"


def test_one_for_another_model_is_refused_at_the_start(folder, adapters, tmp_path):
    wrong = write_random_adapter(tmp_path / "wrong", folder, rank=3)
    (wrong / "adapter_model.safetensors").unlink()
    with pytest.raises(DataError, match="does not exist"):
        pool_of({"tiny": folder}, None, adapters={"wrong": wrong})


@pytest.mark.slow
def test_from_the_command_line(folder, adapters, expected, tmp_path):
    named = [f"--adapter={name}={path}" for name, path in adapters.items()]
    with served(folder, *named) as server:
        for name in NAMES:
            found = server.chat(model=name, max_tokens=24)
            assert found["choices"][0]["message"]["content"] == expected[name]
        said = server.stop()[2]
    dora = write_random_adapter(tmp_path / "dora", folder)
    config = dora / "adapter_config.json"
    config.write_text(config.read_text().replace('"use_dora": false', '"use_dora": true'))
    assert re.search(r"  tiny: .*parameters, context 256; weights take", said)
    assert re.search(r"  poet: an adapter of rank 4 on tiny, takes [\d.]+ kB", said)
    for arguments, message in [
        ((f"--adapter={adapters['poet']}",), "must be NAME=FOLDER"),
        ((f"--adapter=tiny={adapters['poet']}",), '"tiny" is the name of another'),
        ((f"--adapter=base={folder}",), "is no adapter in PEFT's format"),
        ((f"--adapter=dora={dora}",), "magnitudes only in an adapter that is merged"),
    ]:
        with pytest.raises(RuntimeError, match=message), served(folder, *arguments):
            pass
