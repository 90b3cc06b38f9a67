import itertools
import math

import numpy as np
import pytest

from textmill.eval.intervals import bootstrap_difference, bootstrap_ratio, mcnemar, sign_flip_test, wilson


def test_wilson_gives_the_intervals_that_are_published():
    # R. G. Newcombe, 1998, Statistics in Medicine 17:857, table I, method 3.
    published = {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0.0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }
    for (right, count), (low, high) in published.items():
        assert wilson(right, count) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (1, 0), (3, 9), (8, 8), (0, 6), (7, 2)])
def test_mcnemar_counts_every_way_the_coins_can_fall(only_a, only_b):
    count = only_a + only_b
    uneven = abs(only_a - only_b)
    ways = [sum(coins) for coins in itertools.product((0, 1), repeat=count)]
    p = sum(abs(2 * heads - count) >= uneven for heads in ways) / len(ways)
    assert mcnemar(only_a, only_b).p_value == pytest.approx(p)


def test_mcnemar_of_thousands_of_items():
    assert mcnemar(5000, 5000).p_value == 1.0
    assert 0 <= mcnemar(4000, 6000).p_value < 1e-80


def test_an_interval_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        sizes = rng.integers(50, 500, 60).astype(float)
        amounts = sizes * rng.normal(1.5, 0.4, 60)
        low, high = bootstrap_ratio(amounts, sizes)
        held += low <= 1.5 <= high
    assert 176 <= held <= 199  # 95 % of 200 is 190; percentile intervals of 60 documents are a little narrow


def test_the_same_documents_give_the_same_interval():
    sizes, amounts = np.array([3.0, 5.0, 9.0]), np.array([4.0, 4.0, 20.0])
    assert bootstrap_ratio(amounts, sizes) == bootstrap_ratio(amounts.copy(), sizes.copy())
    assert bootstrap_ratio(amounts[:1], sizes[:1]) is None


def test_a_difference_is_paired():
    """What documents have in common does not widen it: the interval of a constant difference is a point."""
    rng = np.random.default_rng(1)
    a = rng.normal(100, 50, 40)
    low, high = bootstrap_difference(a, a + 2.0, np.ones(40))
    assert (low, high) == pytest.approx((2.0, 2.0))


@pytest.mark.parametrize("count", [1, 2, 3, 7, 12])
def test_sign_flips_count_every_way_the_signs_can_fall(count):
    rng = np.random.default_rng(count)
    a, b = rng.integers(-3, 4, (2, count)).astype(float)
    told = sum(b) - sum(a)
    ways = [
        sum(s * (y - x) for s, x, y in zip(signs, a, b, strict=True))
        for signs in itertools.product((1, -1), repeat=count)
    ]
    assert sign_flip_test(a, b) == pytest.approx(sum(abs(way) >= abs(told) for way in ways) / len(ways))


def test_sign_flips_of_few_pairs_are_never_sure():
    for count in range(6):
        assert sign_flip_test(np.zeros(count), np.ones(count)) == max(0.0, min(1.0, 2.0 ** (1 - count)))
    assert sign_flip_test(np.zeros(6), np.full(6, 0.1)) == 2 / 2**6


def test_drawn_sign_flips_come_near_the_exact_ones_and_stay_the_same():
    rng = np.random.default_rng(4)
    a, b = rng.normal(0, 1, (2, 40))
    first = sign_flip_test(a, b + 0.4)
    assert sign_flip_test(a, b + 0.4) == first
    # Sums of many signs are near to a normal distribution.
    d = b + 0.4 - a
    assert first == pytest.approx(math.erfc(abs(d.sum()) / math.sqrt(2 * (d**2).sum())), abs=0.02)
    assert sign_flip_test(a, a + 1.0) == 1 / 10_000


def test_sign_flips_are_seldom_sure_of_nothing():
    rng = np.random.default_rng(6)
    sure = sum(sign_flip_test(*rng.normal(0, 1, (2, 9))) < 0.05 for _ in range(400))
    assert 8 <= sure <= 34  # 5 % of 400 is 20
