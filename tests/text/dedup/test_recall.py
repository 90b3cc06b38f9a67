"""What is found of planted pairs is what theory says, end to end."""

import random

import pytest

from textmill.text.dedup import MinHashSettings, measure_recall
from textmill.text.text_batch import TextBatch


def sample(num_texts, num_words, seed=1):
    rng = random.Random(seed)
    return TextBatch.of(
        [" ".join(f"w{int(rng.random() * 20_000)}" for _ in range(num_words + i % 60)) for i in range(num_texts)]
    )


@pytest.mark.parametrize(
    ("settings", "jaccards"),
    [
        (MinHashSettings(), (0.75, 0.8, 0.85, 0.9, 0.95)),
        (MinHashSettings(bands=5, rows=4, ngram=3, min_jaccard=0.3), (0.3, 0.5, 0.7)),
        (MinHashSettings(bands=20, rows=13, seed=2), (0.8, 0.9)),
    ],
)
def test_recall_follows_the_curve(tmp_path, settings, jaccards):
    points = measure_recall(sample(1000, 300), settings, folder=tmp_path, jaccards=jaccards)
    for wanted, point in zip(jaccards, points, strict=True):
        assert point.planted == 1000
        assert wanted <= point.jaccard < wanted + 0.02
        assert point.low <= point.found <= point.high, point
        assert point.is_as_expected
        assert point.high - point.low < 100
    assert not list(tmp_path.iterdir())


def test_permutations_of_any_seed_follow_the_curve(tmp_path):
    texts = sample(300, 200)
    points = [
        measure_recall(texts, MinHashSettings(seed=seed), folder=tmp_path, jaccards=(0.8,))[0] for seed in range(10)
    ]
    # One point of 20 is expected outside of a band of 95 %.
    assert sum(point.is_as_expected for point in points) >= 8
    off = sum(point.found - point.expected for point in points)
    assert abs(off) < 2.5 * (10 * 300 * 0.06 * 0.94) ** 0.5  # of 6 % that are missed on average


def test_none_below_the_least_jaccard_is_found(tmp_path):
    (point,) = measure_recall(sample(200, 200), MinHashSettings(min_jaccard=0.9), folder=tmp_path, jaccards=(0.8,))
    assert (point.found, point.expected, point.low, point.high) == (0, 0, 0, 0)


def test_the_same_each_time(tmp_path):
    texts = sample(100, 100)
    first, again, other = (
        measure_recall(texts, MinHashSettings(), folder=tmp_path, seed=seed, threads=threads)
        for seed, threads in ((1, 1), (1, 2), (2, 1))
    )
    assert first == again != other


def test_duplicates_and_short_texts_are_left_out(tmp_path):
    texts = TextBatch.joined([sample(20, 100), sample(20, 100), TextBatch.of(["too short", ""])])
    assert measure_recall(texts, MinHashSettings(), folder=tmp_path)[0].planted == 20
    assert measure_recall(TextBatch.of(["too short", ""]), MinHashSettings(), folder=tmp_path) == []
