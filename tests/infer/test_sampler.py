import collections

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_np

from textmill.infer.request import Request
from textmill.infer.sampler import distribution, log_softmax, most_probable, sample, uniform

logits = st_np.arrays(
    np.float32, st.integers(1, 40), elements=st.floats(-30, 30, width=32) | st.sampled_from([0.0, 1.0, -np.inf])
).filter(lambda values: np.isfinite(values).any())
temperatures = st.floats(0.05, 10.0)
properties = settings(deadline=None, max_examples=200)


def softmax(values, temperature=1.0):
    powers = np.exp((values.astype(np.float64) - values.max()) / temperature)
    return powers / powers.sum()


@properties
@given(logits)
def test_greedy_takes_the_lowest_of_the_largest(values):
    assert sample(values, Request(temperature=0.0), 1, 1) == int(np.flatnonzero(values == values.max())[0])


@properties
@given(logits, temperatures)
def test_without_truncation_it_is_the_softmax(values, temperature):
    ids, probabilities = distribution(values, Request(temperature=temperature))
    found = np.zeros(len(values))
    found[ids] = probabilities
    np.testing.assert_allclose(found, softmax(values, temperature), atol=1e-12)
    assert np.all(np.isfinite(values[ids]))


@properties
@given(logits, temperatures, st.integers(1, 50))
def test_top_k_keeps_k_and_the_lowest_ids_of_a_tie(values, temperature, top_k):
    ids, probabilities = distribution(values, Request(temperature=temperature, top_k=top_k))
    order = sorted(range(len(values)), key=lambda i: (-values[i], i))[:top_k]
    assert list(ids) == order[: len(ids)]
    dropped = order[len(ids) :]  # only what has no probability at all
    assert np.all(softmax(values, temperature)[dropped] < 1e-300)
    assert probabilities.sum() == pytest.approx(1.0)


@properties
@given(logits, temperatures, st.floats(0.001, 1.0))
def test_top_p_keeps_the_fewest_that_hold_the_mass(values, temperature, top_p):
    ids, _ = distribution(values, Request(temperature=temperature, top_p=top_p))
    mass = softmax(values, temperature)[ids]
    assert mass.sum() >= top_p - 1e-9
    assert mass[:-1].sum() < top_p + 1e-9  # one fewer would not do
    assert len(ids) >= 1


@properties
@given(logits, temperatures, st.floats(0.0, 1.0))
def test_min_p_is_a_part_of_the_largest(values, temperature, min_p):
    ids, _ = distribution(values, Request(temperature=temperature, min_p=min_p))
    mass = softmax(values, temperature)
    kept = np.zeros(len(values), bool)
    kept[ids] = True
    assert np.all(mass[kept] >= min_p * mass.max() * (1 - 1e-9))
    assert np.all(mass[~kept] <= min_p * mass.max() * (1 + 1e-9) + 1e-300)


@properties
@given(logits, temperatures, st.integers(0, 50), st.floats(0.001, 1), st.floats(0, 1), st.integers(0, 2**64 - 1))
def test_what_is_drawn_may_be_drawn(values, temperature, top_k, top_p, min_p, seed):  # noqa: PLR0917  drawn
    request = Request(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    ids, probabilities = distribution(values, request)
    drawn = sample(values, request, seed, 3)
    assert drawn in ids
    assert probabilities.sum() == pytest.approx(1.0)
    assert drawn == sample(values.copy(), request, seed, 3)


def test_draws_follow_the_distribution():
    values = np.log(np.array([0.5, 0.3, 0.15, 0.05], np.float32))
    counts = collections.Counter(sample(values, Request(temperature=1.0), seed, 7) for seed in range(4000))
    # Four standard deviations of a binomial of 4,000 draws are at most 127.
    assert [counts[i] for i in range(4)] == pytest.approx([2000, 1200, 600, 200], abs=127)


def test_random_numbers_depend_on_seed_and_position_alone():
    state = np.random.get_state()[1].tolist()
    numbers = {(seed, position): uniform(seed, position) for seed in range(50) for position in range(50)}
    assert len(set(numbers.values())) == 2500
    assert all(0.0 <= number < 1.0 for number in numbers.values())
    assert np.mean(list(numbers.values())) == pytest.approx(0.5, abs=0.024)  # four standard errors
    assert np.random.get_state()[1].tolist() == state
    # These are a promise to whoever keeps a seed: they may not change from release to release.
    assert [uniform(0, 0), uniform(1, 2), uniform(2**64 - 1, 131_072)] == [
        0.011546754286331562,
        0.30931491118583454,
        0.5126857521596663,
    ]


@properties
@given(logits)
def test_log_probabilities(values):
    logprobs = log_softmax(values)
    np.testing.assert_allclose(np.exp(logprobs), softmax(values), atol=1e-12)
    best = most_probable(logprobs, 5)
    assert list(best) == sorted(range(len(values)), key=lambda i: (-logprobs[i], i))[:5]
