"""A quality classifier learns in seconds, is the same on any threads, and damaged files are refused."""

import ast
import json
import sysconfig
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textmill import _core
from textmill.base import safetensors
from textmill.base.errors import ConfigError, DataError
from textmill.text.quality import QualityModel, QualitySettings, reference, train_quality_model
from textmill.text.quality.report import auc
from textmill.text.quality.train import calibrate, epoch_order
from textmill.text.text_batch import TextBatch

CHARACTERS = st.characters(codec="utf-8").filter(lambda c: unicodedata.category(c) not in ("Cn", "Co", "Cs"))
TEXTS = st.text(st.sampled_from("aAbc \n\t.!-_(){}=é漢\u0301\u00ad\u2003") | CHARACTERS, max_size=60)


def docstrings_and_code():
    """Docstrings of the standard library, and the bodies of its functions without them."""
    good, bad = [], []
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and (text := ast.get_docstring(node)):
                if len(text) > 80:
                    good.append(text)
                code = "\n".join(ast.unparse(part) for part in node.body[1:])
                if len(code) > 80:
                    bad.append(code)
    return TextBatch.of(good), TextBatch.of(bad)


@pytest.fixture(scope="module")
def corpus():
    return docstrings_and_code()


@pytest.fixture(scope="module")
def trained(corpus):
    return train_quality_model(*corpus)


def test_it_tells_docstrings_from_code(trained):
    _, report = trained
    assert report.num_tested > 150
    assert report.accuracy > 0.95
    assert report.auc > 0.99
    assert report.calibration_error < 0.05
    json.dumps(report.to_json())
    kept = [row.kept_bad for row in report.thresholds]
    assert kept == sorted(kept, reverse=True)


def test_threads_and_batches_change_nothing(corpus, trained, tmp_path):
    again, report = train_quality_model(*corpus, threads=1)
    for name, model in (("a", trained[0]), ("b", again)):
        model.save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert report == trained[1]
    loaded = QualityModel.load(tmp_path / "a")
    scores = trained[0].scores(corpus[0], threads=1)
    assert scores.dtype == np.float32
    assert np.array_equal(loaded.scores(corpus[0], threads=3), scores)
    apart = [loaded.scores(TextBatch.of([text]))[0] for text in list(corpus[0])[:50]]
    assert np.array_equal(apart, scores[:50])


def test_a_share_is_kept(corpus, trained):
    """On documents that were trained on a threshold keeps fewer bad ones than asked for, since they are known."""
    model, _ = trained
    assert 0 < model.threshold_for(0.5) < model.threshold_for(0.1) < model.threshold_for(0.01) <= 1
    assert 0.01 < np.mean(model.scores(corpus[1]) >= model.threshold_for(0.1)) <= 0.1
    with pytest.raises(ConfigError, match="keep_share is 10"):
        model.threshold_for(10)


def test_a_text_without_words_has_the_bias(trained):
    model, _ = trained
    assert model.scores(TextBatch.of(["", " \n"])) == pytest.approx([1 / (1 + np.exp(-model.bias))] * 2, rel=1e-6)


@given(st.lists(TEXTS, min_size=1, max_size=4), st.integers(1, 3))
def test_buckets_are_the_twins_features(texts, max_ngram):
    batch = TextBatch.of(texts)
    starts, buckets = _core.hashed_ngrams(batch.data, batch.offsets, 1 << 20, max_ngram, 2)
    names = {}
    for number, text in enumerate(texts):
        row = buckets[starts[number] : starts[number + 1]].tolist()
        features = reference.features_of(text, max_ngram)
        assert len(row) == len(features)
        for bucket, feature in zip(row, features, strict=True):
            assert names.setdefault(feature, bucket) == bucket
    assert len(set(names.values())) == len(names)


def test_training_and_scores_are_the_twins():
    generator = np.random.default_rng(5)
    texts = TextBatch.of([" ".join(generator.choice(list("abcdefgh"), number % 9)) for number in range(60)])
    labels = (np.arange(60) % 3 == 0).astype(np.uint8)
    counts = generator.uniform(0.5, 2, 60).astype(np.float32)
    order = np.concatenate([epoch_order(np.arange(60), 3, epoch) for epoch in range(4)])
    starts, buckets = _core.hashed_ngrams(texts.data, texts.offsets, 256, 2, 1)
    settings = {"num_buckets": 256, "learning_rate": 0.3, "l2": 1e-3}
    weights, bias = _core.fit_logistic(starts, buckets, labels, counts, order, **settings)
    rows = np.split(buckets, starts[1:-1])
    expected, expected_bias = reference.fit_logistic(rows, labels, counts, order, **settings)
    np.testing.assert_allclose(weights, expected, rtol=1e-5, atol=1e-7)
    assert bias == pytest.approx(expected_bias, rel=1e-5)
    logits = _core.linear_scores(texts.data, texts.offsets, weights, bias, 2, 1)
    plain = [bias + weights[row].sum(dtype=np.float64) / max(1, len(row)) ** 0.5 for row in rows]
    np.testing.assert_allclose(logits, plain, rtol=1e-6, atol=1e-6)


def test_orders_are_permutations_that_differ():
    rows = np.arange(5, 105)
    orders = [epoch_order(rows, seed, epoch).tolist() for seed in (1, 2) for epoch in (0, 1)]
    assert all(sorted(order) == rows.tolist() for order in orders)
    assert len({tuple(order) for order in orders}) == 4
    assert epoch_order(np.arange(6), 1, 0).tolist() == epoch_order(np.arange(6), 1, 0).tolist()


def test_auc_counts_pairs():
    good, bad = np.array([0.5, 0.9, 0.5], np.float32), np.array([0.5, 0.1], np.float32)
    assert auc(good, bad) == np.mean([(g > b) + 0.5 * (g == b) for g in good for b in bad])


def test_calibration_finds_what_made_the_labels():
    generator = np.random.default_rng(6)
    raw = generator.normal(size=40_000).astype(np.float32)
    labels = (generator.random(40_000) < 1 / (1 + np.exp(-(3 * raw)))).astype(np.uint8)
    slope, offset = calibrate(raw, labels)
    assert (slope, offset) == pytest.approx((3, 0), abs=0.15)
    slope, _ = calibrate(np.array([-1.0, -2, 1, 2], np.float32), np.array([0, 0, 1, 1], np.uint8))
    assert 0 < slope < 100  # all told apart, and still finite
    with pytest.raises(DataError, match="cannot be told apart"):
        calibrate(-raw, labels)


def test_too_few_documents_are_refused(corpus):
    good, _ = corpus
    with pytest.raises(DataError, match="there are 3 bad documents"):
        train_quality_model(good, TextBatch.of(["a", "b", "c"]))
    with pytest.raises(DataError, match="bad documents .* would train"):
        train_quality_model(good, TextBatch.of(["the same text"] * 100))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_buckets": 1000}, "num_buckets is 1,000"),
        ({"max_ngram": 0}, "max_ngram is 0"),
        ({"epochs": 0}, "epochs is 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"held_out": 1.0}, "held_out is 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        QualitySettings(**settings)


def test_damaged_files_are_refused(trained, tmp_path):
    path = tmp_path / "m.safetensors"
    model, _ = trained
    model.save(path)
    whole = path.read_bytes()
    tensors, metadata = safetensors.load(path), safetensors.read_header(path).metadata
    tensors = {name: np.array(tensor) for name, tensor in tensors.items()}
    path.write_bytes(whole[:-5])
    with pytest.raises(DataError, match="truncated"):
        QualityModel.load(path)
    broken = [
        ({**tensors, "weights": tensors["weights"][:-1]}, metadata, "damaged"),
        ({**tensors, "weights": tensors["weights"] * np.float32("nan")}, metadata, "no numbers"),
        ({**tensors, "pool_scores": tensors["pool_scores"][::-1]}, metadata, "do not rise"),
        ({"bias": tensors["bias"]}, metadata, "damaged"),
        (tensors, {**metadata, "max_ngram": "99999999999"}, "max_ngram"),
        (tensors, {**metadata, "format": "textmill-quality-2"}, "no quality model of this release"),
        (tensors, {}, "no quality model"),
        (tensors, {**metadata, "words": "folded-1"}, "over other words .*'folded-1'.* 'folded-2' .* train"),
        (tensors, {key: metadata[key] for key in ("format", "max_ngram")}, "over other words .*'unnamed'"),
    ]
    for parts, notes, message in broken:
        safetensors.save(path, parts, notes)
        with pytest.raises(DataError, match=message):
            QualityModel.load(path)
    with pytest.raises(DataError, match="does not exist"):
        QualityModel.load(tmp_path / "none")


def test_wrong_arguments_are_refused():
    one, none = np.array([0, 1]), np.zeros(0, np.int64)
    buckets, labels, counts = np.zeros(1, np.uint32), np.zeros(1, np.uint8), np.ones(1, np.float32)
    settings = {"num_buckets": 2, "learning_rate": 0.1, "l2": 0.0}
    for starts, order in [(none, none), (np.array([0, 2]), none), (one, np.array([1])), (one, np.array([-1]))]:
        with pytest.raises(ValueError, match="starts"):
            _core.fit_logistic(starts, buckets, labels, counts, order, **settings)
    with pytest.raises(ValueError, match="starts"):
        _core.fit_logistic(one, buckets + np.uint32(2), labels, counts, none, **settings)
    with pytest.raises(ValueError, match="power of two"):
        _core.hashed_ngrams(labels, one, 3)
    with pytest.raises(ValueError, match="1 to 8"):
        _core.hashed_ngrams(labels, one, 4, 9)
