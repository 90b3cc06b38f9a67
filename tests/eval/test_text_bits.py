import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill import Tokenizer
from textmill.base.errors import ConfigError
from textmill.checkpoint.huggingface import save_model
from textmill.data.shards import ShardSet, write_shards
from textmill.eval import text_bits
from textmill.eval.compare import compare_results
from textmill.eval.evaluated_model import open_evaluated
from textmill.eval.measure import measure_source, sum_sources
from textmill.eval.results import read_results
from textmill.eval.scorer import open_scorer
from textmill.eval.sources import text_sources
from textmill.eval.windows import sliding_windows
from textmill.model.config import ModelConfig
from textmill.model.score import score_documents
from textmill.text.documents import Document

TEXT = "the quick brown fox jumps over the lazy dog, while sixteen wizards box née Straße 東京 "


@pytest.fixture
def web(tmp_path):
    folder = tmp_path / "web"
    folder.mkdir()
    for number, times in enumerate((1, 3, 12)):
        (folder / f"{number}.txt").write_text(TEXT[number:] * times)
    return folder


def measured(tiny, web, folder, **options):
    (source,) = text_sources([str(web)])
    return measure_source(tiny, source, folder, **options)


def test_bits_are_those_of_each_token_by_hand(tiny, web, tmp_path):
    """A document that fits into the context, from the logits of the whole text in float64."""
    record = measured(tiny, web, tmp_path / "out")[0]
    text = (web / "0.txt").read_text()
    ids = tiny.lm.tokenizer.encode(text)
    logits = tiny.lm.logits([tiny.first_id, *ids[:-1]]).astype(np.float64)
    nats = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(ids)), ids]
    assert sum(record["bits"]) == pytest.approx(nats.sum() / math.log(2), rel=1e-6)
    assert (record["bytes"], record["tokens"]) == (len(text.encode()), len(ids))


def test_they_are_those_of_the_trainer(tiny, tiny_folder, web, tmp_path):
    """Long documents too: the same windows through torch. Products are summed in another order."""
    from textmill.checkpoint.huggingface import load_llama

    records = measured(tiny, web, tmp_path / "out")
    ids = [tiny.lm.tokenizer.encode(path.read_text()) for path in sorted(web.iterdir())]
    nats = score_documents(load_llama(tiny_folder), ids, first_id=tiny.first_id, context=tiny.lm.context)
    assert len(ids[2]) > tiny.lm.context
    np.testing.assert_allclose([sum(record["bits"]) for record in records], nats / math.log(2), rtol=1e-6)


@given(st.integers(1, 300), st.integers(1, 40), st.data())
@settings(max_examples=200, deadline=None)
def test_windows_score_each_token_once_with_enough_before_it(length, context, data):
    stride = data.draw(st.integers(1, context))
    ids = np.arange(1, length + 1, dtype=np.int32)
    seen = []
    for window in sliding_windows(ids, first_id=0, context=context, stride=stride):
        assert len(window.inputs) <= context
        assert window.ids.tolist() == list(range(window.ids[0], window.ids[0] + len(window.ids)))
        for place in range(window.num_context, len(window.ids)):
            token = int(window.ids[place])
            seen.append(token)
            assert place >= min(token, context - stride + 1)
    assert seen == list(range(1, length + 1))


@pytest.mark.parametrize(("tokens_per_pass", "rows_per_pass"), [(1, 1), (7, 3), (64, 64), (512, 256)])
def test_the_same_bits_whatever_the_passes(tiny, tokens_per_pass, rows_per_pass):
    ids = np.array(tiny.lm.tokenizer.encode(TEXT), np.int32)
    (window,) = sliding_windows(ids, first_id=tiny.first_id, context=256, stride=128)
    with open_scorer(tiny.lm) as scorer:
        (whole,) = scorer.score([window])
    with open_scorer(tiny.lm, tokens_per_pass=tokens_per_pass, rows_per_pass=rows_per_pass) as scorer:
        (cut,) = scorer.score([window])
    assert whole.logprobs.tolist() == cut.logprobs.tolist()


def test_positions_add_up_to_the_whole(tiny, web, tmp_path):
    records = measured(tiny, web, tmp_path / "out")
    (one,) = sum_sources({"web": records})
    assert sum(part["bytes"] for part in one.by_position) == one.num_bytes
    assert sum(part["bits_per_byte"] * part["bytes"] for part in one.by_position) == pytest.approx(one.bits)
    assert [part["from"] for part in one.by_position] == [0, 256, 1024]
    assert one.num_bytes == sum(path.stat().st_size for path in web.iterdir())
    low, high = one.interval
    assert low <= one.bits_per_byte <= high
    for place, part in enumerate(one.by_position):
        reach = [record for record in records if record["bytes_at"][place]]
        low, high = part["interval"] or (part["bits_per_byte"],) * 2
        assert low <= part["bits_per_byte"] <= high
        assert (part["interval"] is None) == (len(reach) < 2)


def test_sources_are_told_apart_and_together(tiny, web, tmp_path):
    (tmp_path / "notes.jsonl").write_text(json.dumps({"text": "a fox"}) + "\n" + json.dumps({"text": "a dog"}) + "\n")
    sources = text_sources([str(web), f"mine={tmp_path / 'notes.jsonl'}"])
    records = {source.name: measure_source(tiny, source, tmp_path / "out") for source in sources}
    web_bits, mine, both = sum_sources(records)
    assert [web_bits.name, mine.name, both.name] == ["web", "mine", "all"]
    assert both.bits == pytest.approx(web_bits.bits + mine.bits)
    assert (both.num_documents, both.num_bytes) == (5, web_bits.num_bytes + mine.num_bytes)
    assert sum_sources({"mine": records["mine"][:1]})[0].interval is None


def test_an_interrupted_measurement_goes_on_to_the_same_bytes(tiny, web, tmp_path):
    measured(tiny, web, tmp_path / "whole")
    whole = (tmp_path / "whole/bits/web.jsonl").read_bytes()
    torn = tmp_path / "torn/bits/web.jsonl"
    torn.parent.mkdir(parents=True)
    for cut in (0, 5, whole.index(b"\n") + 1, len(whole) // 2, len(whole) - 1, len(whole)):
        torn.write_bytes(whole[:cut])
        measured(tiny, web, tmp_path / "torn")
        assert torn.read_bytes() == whole


def test_more_documents_than_the_last_time_come_before_the_end(tiny, web, tmp_path):
    measured(tiny, web, tmp_path / "whole")
    whole = (tmp_path / "whole/bits/web.jsonl").read_text()
    assert whole.splitlines()[-1] == '{"end": 3}'
    for limit in (1, 2, 2, None, 3):
        measured(tiny, web, tmp_path / "parts", limit=limit)
        found = read_results(tmp_path / "parts/bits/web.jsonl")
        assert (len(found.records), found.is_whole) == (limit or 3, True)
    assert (tmp_path / "parts/bits/web.jsonl").read_text() == whole


def test_the_same_bits_whatever_the_batches(tiny, web, tmp_path, monkeypatch):
    """Byte for byte: of one document, of some, of all at once."""
    measured(tiny, web, tmp_path / "whole")
    for tokens in (1, 60, 300):
        monkeypatch.setattr(text_bits, "_TOKENS_AT_ONCE", tokens)
        measured(tiny, web, tmp_path / f"{tokens}")
        path = "bits/web.jsonl"
        assert (tmp_path / f"{tokens}" / path).read_bytes() == (tmp_path / "whole" / path).read_bytes()


def test_the_trainers_bits_do_not_depend_on_chunks(tiny, tiny_folder, web, tmp_path, monkeypatch):
    """The sum over all documents, whatever is scored together, is that of the engine; torch rounds otherwise."""
    from textmill.checkpoint.huggingface import load_llama
    from textmill.eval import bits_per_byte

    documents = [Document(path.read_text(), "web", path.name) for path in sorted(web.iterdir())]
    end = tiny.lm.tokenizer.special_tokens["<|endoftext|>"]
    write_shards(tmp_path / "held", documents, tiny.lm.tokenizer, source="web", document_end=end)
    model, shards = load_llama(tiny_folder), ShardSet(tmp_path / "held")
    (whole,) = sum_sources({"web": measured(tiny, web, tmp_path / "out")})
    for tokens in (1, 60, 1 << 15):
        monkeypatch.setattr(bits_per_byte, "_CHUNK_TOKENS", tokens)
        found = bits_per_byte.score_held_out(
            model, tiny.lm.tokenizer, {"web": shards}, first_id=tiny.first_id, context=tiny.lm.context
        )["web"]
        assert (found.num_documents, found.num_bytes) == (3, whole.num_bytes)
        assert found.model_bits == pytest.approx(whole.bits, rel=1e-6)


def write_model_of(folder, tokenizer, *, has_equal_logits):
    """A model of one size, whatever its tokenizer: all sizes but the vocabulary's."""
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size, num_key_value_heads=2, head_dim=8, max_position_embeddings=128, **sizes
    )
    rng = np.random.default_rng(1)
    tensors = {
        name: rng.standard_normal(shape).astype(np.float32) * 0.1 + np.float32(len(shape) == 1)
        for name, shape in config.tensor_shapes().items()
    }
    if has_equal_logits:
        tensors["model.norm.weight"][:] = 0
    save_model(folder, config, tensors, tokenizer)
    return open_evaluated(folder, weights="f32", threads=1)


@pytest.mark.parametrize("has_equal_logits", [True, False])
def test_bits_per_byte_compare_tokenizers(web, tmp_path, has_equal_logits):
    """Beside what counting gives: with equal logits each token takes log2 of its vocabulary's size."""
    texts = [path.read_text() for path in sorted(web.iterdir())]
    num_bytes = sum(len(text.encode()) for text in texts)
    found = []
    for size in (280, 340):
        tokenizer = Tokenizer.train(iter([TEXT * 20]), vocab_size=size, special_tokens=("<|endoftext|>",))
        model = write_model_of(tmp_path / f"model-{size}", tokenizer, has_equal_logits=has_equal_logits)
        (one,) = sum_sources({"web": measured(model, web, tmp_path / f"out-{size}")})
        num_tokens = sum(len(tokenizer.encode(text)) for text in texts)
        assert (one.num_bytes, one.num_tokens) == (num_bytes, num_tokens)
        if has_equal_logits:
            assert one.bits_per_byte == pytest.approx(num_tokens * math.log2(tokenizer.vocab_size) / num_bytes)
        found.append(one)
    assert found[0].num_tokens > found[1].num_tokens
    (difference,) = compare_results(tmp_path / "out-280", tmp_path / "out-340")
    assert (difference.a, difference.b) == pytest.approx([one.bits_per_byte for one in found])


def test_other_texts_are_not_mixed_in(tiny, web, tmp_path):
    measured(tiny, web, tmp_path / "out")
    (web / "0.txt").write_text("something else")
    with pytest.raises(ConfigError, match=r"number 1 was 0.txt, and is 0.txt now, or its text has changed"):
        measured(tiny, web, tmp_path / "out")
    (web / "0.txt").unlink()
    with pytest.raises(ConfigError, match="--restart"):
        measured(tiny, web, tmp_path / "out")
    assert len(measured(tiny, web, tmp_path / "out", restart=True)) == 2
    with pytest.raises(ConfigError, match="another stride: null there, 16 now"):
        measured(tiny, web, tmp_path / "out", stride=16)


def test_names_of_sources():
    assert [source.name for source in text_sources(["data/web.jsonl.gz", "x/books/*.txt", "a=b.txt", "a=c.txt"])] == [
        "web", "books", "a",
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="the name of no file"):
        text_sources(["all=x.txt"])
