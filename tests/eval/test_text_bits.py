import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.base.errors import ConfigError
from textmill.eval.measure import measure_source, sum_sources
from textmill.eval.scorer import open_scorer
from textmill.eval.sources import text_sources
from textmill.eval.windows import sliding_windows
from textmill.model.score import score_documents

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
