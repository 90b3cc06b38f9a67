"""The native kernels of attention equal a loop in f64, in any layout, for any documents, on any number of threads."""

import math
import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.model.attention_kernels import attend, attend_backward
from textmill.model.segments import Segments

CPU = torch.device("cpu")
# Rounding of f32 sums and of exp; of bf16 results and of what products take in bf16: weights and their gradients.
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}


@pytest.fixture(autouse=True)
def threads():
    number = torch.get_num_threads()
    yield
    torch.set_num_threads(number)


def draw(*shape, dtype=torch.float32, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def problem(batch=2, num_tokens=37, num_heads=4, num_key_value_heads=2, head_dim=16, *, dtype=torch.float32, seed=1):
    """Queries, keys, values, and a gradient of outputs."""
    heads = (num_heads, num_key_value_heads, num_key_value_heads, num_heads)
    return [draw(batch, num_tokens, h, head_dim, dtype=dtype, seed=seed + i) for i, h in enumerate(heads)]


def run(q, k, v, gradient, starts=None):
    o, lse = attend(q, k, v, starts)
    return o, lse, *attend_backward(gradient, (q, k, v, o, lse), starts)


def loop(q, k, v, gradient, starts=None):
    """A row and a head after the other, all scores at once."""
    q, k, v = (x.double().requires_grad_() for x in (q, k, v))
    group = q.shape[2] // k.shape[2]
    o, lse = torch.empty_like(q), torch.empty(q.shape[:3], dtype=torch.float64)
    positions = torch.arange(q.shape[1])
    for row in range(q.shape[0]):
        seen = positions <= positions[:, None]
        if starts is not None:
            seen &= positions >= starts[row, :, None]
        for head in range(q.shape[2]):
            keys, values = k[row, :, head // group], v[row, :, head // group]
            scores = (q[row, :, head] @ keys.T / math.sqrt(q.shape[3])).masked_fill(~seen, -torch.inf)
            o[row, :, head] = scores.softmax(-1) @ values
            lse[row, :, head] = scores.logsumexp(-1).detach()
    o.backward(gradient.double())
    return o.detach(), lse, q.grad, k.grad, v.grad


def assert_close(results, expected):
    tolerance = TOLERANCE[results[0].dtype]
    for name, result, right in zip(("o", "lse", "d_q", "d_k", "d_v"), results, expected, strict=True):
        error = (result.double() - right).abs().max()
        assert error <= tolerance * max(1.0, float(right.abs().max())), (name, float(error))


def starts_of(rows, window=None):
    """Of rows of documents, given by their lengths."""
    numbers = torch.stack([torch.repeat_interleave(torch.arange(len(row)), torch.tensor(row)) for row in rows])
    return Segments(numbers, tuple(numbers.shape), torch.float32, CPU).starts_of(window)


@st.composite
def documents(draw, batch, num_tokens):
    rows = []
    for _ in range(batch):
        cuts = sorted(draw(st.sets(st.integers(1, max(1, num_tokens - 1)), max_size=draw(st.sampled_from([0, 2, 40])))))
        ends = [cut for cut in cuts if cut < num_tokens] + [num_tokens]
        rows.append([end - start for start, end in zip([0, *ends], ends, strict=False)])
    return rows


@settings(deadline=None, max_examples=60)
@given(st.data())
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["f32", "bf16"])
def test_any_problem_equals_a_loop(dtype, data):
    batch, num_tokens = data.draw(st.integers(1, 2)), data.draw(st.integers(1, 150))
    num_key_value_heads, group = data.draw(st.integers(1, 2)), data.draw(st.integers(1, 3))
    head_dim = data.draw(st.integers(1, 64).map(lambda half: 2 * half))
    rows = data.draw(documents(batch, num_tokens))
    starts = starts_of(rows, data.draw(st.none() | st.integers(1, 60)))
    heads = (group * num_key_value_heads, num_key_value_heads, head_dim)
    inputs = problem(batch, num_tokens, *heads, dtype=dtype, seed=data.draw(st.integers(0, 99)))
    assert_close(run(*inputs, starts), loop(*inputs, starts))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["f32", "bf16"])
@pytest.mark.parametrize(
    "sizes",
    [
        {"num_tokens": 1, "head_dim": 2},
        {"num_tokens": 300, "head_dim": 64, "num_heads": 3, "num_key_value_heads": 1},
        {"num_tokens": 600, "head_dim": 48, "batch": 1},  # over several chunks of keys
        {"num_tokens": 65, "head_dim": 128},
        {"num_tokens": 129, "head_dim": 33},
    ],
    ids=["least", "grouped", "chunks", "wide", "odd"],
)
@pytest.mark.parametrize("window", [None, 70])
def test_sizes_equal_a_loop(sizes, window, dtype):
    inputs = problem(dtype=dtype, **sizes)
    starts = starts_of([[inputs[0].shape[1]]] * inputs[0].shape[0], window)
    assert_close(run(*inputs, starts), loop(*inputs, starts))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["f32", "bf16"])
def test_documents_equal_calls_of_their_own_bit_for_bit(dtype):
    """Where they begin with a panel of keys; elsewhere sums have another order."""
    lengths = [64, 16, 112, 64]
    inputs = problem(1, sum(lengths), dtype=dtype)
    results = run(*inputs, starts_of([lengths]))
    start = 0
    for length in lengths:
        at = slice(start, start + length)
        alone = run(*(x[:, at] for x in inputs))
        assert_close(alone, [x[:, at].double() for x in results])
        assert torch.equal(alone[0], results[0][:, at])
        assert torch.equal(alone[1], results[1][:, at])
        start += length


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["f32", "bf16"])
@pytest.mark.parametrize("window", [None, 20])
def test_bits_do_not_depend_on_threads(dtype, window):
    inputs = problem(3, 200, 6, 3, 24, dtype=dtype)
    starts = starts_of([[200], [3, 97, 100], [150, 50]], window)
    results = []
    for number in (1, 2, 3):
        torch.set_num_threads(number)
        results.append(run(*inputs, starts))
    for other in results[1:]:
        assert all(torch.equal(x, y) for x, y in zip(results[0], other, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["f32", "bf16"])
def test_parts_of_one_product_are_read_where_they_are(dtype):
    qkv = draw(2, 50, 8, 20, dtype=dtype)
    q, k, v = qkv.split((4, 2, 2), dim=2)
    gradient = draw(2, 4, 50, 20, dtype=dtype, seed=2).transpose(1, 2)
    expected = run(*(x.contiguous() for x in (q, k, v, gradient)))
    assert all(torch.equal(x, y) for x, y in zip(run(q, k, v, gradient), expected, strict=True))
    sparse = [x.transpose(2, 3).contiguous().transpose(2, 3) for x in (q, k, v, gradient)]
    assert all(torch.equal(x, y) for x, y in zip(run(*sparse), expected, strict=True))


def test_gradients_go_where_they_are_asked_to():
    q, k, v, gradient = problem()
    o, lse = attend(q, k, v, None)
    expected = attend_backward(gradient, (q, k, v, o, lse), None)
    d_qkv = torch.full((2, 37, 8, 16), torch.nan)
    attend_backward(gradient, (q, k, v, o, lse), None, d_qkv.split((4, 2, 2), dim=2))
    assert torch.equal(d_qkv, torch.cat(expected, dim=2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["f32", "bf16"])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_comes_out_where_it_is_seen(dtype, bad):
    """Of a query its own row, of a key or value those that see it."""
    for which, place in ((0, slice(20, 21)), (1, slice(20, None)), (2, slice(20, None))):
        inputs = problem(1, 40, 1, 1, 16, dtype=dtype)
        inputs[which][0, 20] = bad
        o = attend(*inputs[:3], None)[0]
        assert not o[0, place].isfinite().all(dim=-1).any()
        assert o[0, :16].isfinite().all()


def test_large_scores_do_not_overflow():
    inputs = problem(1, 64)
    inputs[0] *= 1e4
    inputs[1] *= 1e4
    results, expected = run(*inputs), loop(*inputs)
    assert (results[0] - expected[0]).abs().max() < 1e-2  # scores of 1e8 have no digits behind the point in f32
    assert all(x.isfinite().all() for x in results)


@pytest.mark.skipif("TEXTMILL_ISA" in os.environ, reason="a tier is asked for already")
@pytest.mark.parametrize("isa", ["avx2", "portable"])
def test_in_other_tiers(isa):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    environment = os.environ | {"TEXTMILL_ISA": isa}
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=560)
    assert result.returncode == 0, result.stdout
