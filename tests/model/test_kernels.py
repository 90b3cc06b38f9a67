"""The native kernels of a training step beside their twins, which run in f64 here; and the same bits on any threads."""

import math
import os
import subprocess
import sys

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from textmill import _core
from textmill.model import kernels
from textmill.model.loss import plain_cross_entropy
from textmill.model.norm import plain_norm, plain_norm_backward
from textmill.model.rope import Rotation
from textmill.model.self_attention import plain_heads, plain_heads_backward
from textmill.model.swiglu import plain_swiglu, plain_swiglu_backward

DTYPES = st.sampled_from([torch.float32, torch.bfloat16])
SEEDS = st.integers(0, 1000)


def draw(*shape, seed, dtype=torch.float32, scale=1.0):
    return (scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))).to(dtype)


def part_of_wider(x, before, after):
    """The same values as a part of wider rows, as one product's outputs lie beside others'."""
    wide = torch.full((*x.shape[:-1], before + x.shape[-1] + after), torch.nan, dtype=x.dtype)
    wide[..., before : before + x.shape[-1]] = x
    return wide[..., before : before + x.shape[-1]]


def check(result, expected, dtype, *, rounding=2.0, scale=None):
    """Equal to f64's result but for f32's rounding, relative to the largest value, and one rounding to ``dtype``."""
    assert result.shape == expected.shape
    scale = expected.abs().max() if scale is None else scale
    limit = 4e-6 * scale + (expected.abs() * rounding * 2**-9 if dtype == torch.bfloat16 else 0.0) + 1e-38
    assert ((result.double() - expected).abs() <= limit).all()


def on_threads(run):
    """What ``run`` gives on one thread, after having seen that two and three give the same bits."""
    before = torch.get_num_threads()
    results = []
    try:
        for num_threads in (1, 2, 3):
            torch.set_num_threads(num_threads)
            results.append([x for x in run() if x is not None])
    finally:
        torch.set_num_threads(before)
    for others in results[1:]:
        for first, other in zip(results[0], others, strict=True):
            assert torch.equal(first.nan_to_num(7.0), other.nan_to_num(7.0))
    return results[0]


@settings(max_examples=60)
@given(DTYPES, SEEDS, st.integers(0, 300), st.integers(1, 150), st.booleans())
def test_norm(dtype, seed, num_rows, width, has_added):
    x = draw(num_rows, width, seed=seed, dtype=dtype, scale=3.0)
    weight = draw(width, seed=seed + 1)
    added = draw(num_rows, width, seed=seed + 2, dtype=dtype) if has_added else None
    rows, inverse, total = on_threads(lambda: kernels.norm(x, weight, 1e-5, added))
    wide_total = x.double() if added is None else (x + added).double()
    assert torch.equal(total.double(), wide_total)
    expected, expected_inverse, _ = plain_norm(wide_total, weight.double(), 1e-5)
    if num_rows == 0:
        return
    check(rows, expected, dtype)
    check(inverse, expected_inverse, torch.float32)


@settings(max_examples=60)
@given(DTYPES, SEEDS, st.integers(1, 300), st.integers(1, 150), st.booleans())
def test_norm_backward(dtype, seed, num_rows, width, has_added):
    gradient, x = (draw(num_rows, width, seed=seed + i, dtype=dtype) for i in range(2))
    weight, inverse = draw(width, seed=seed + 2), draw(num_rows, 1, seed=seed + 3).abs() + 0.1
    added = draw(num_rows, width, seed=seed + 4, dtype=dtype) if has_added else None
    d_x, d_weight = on_threads(lambda: kernels.norm_backward(gradient, x, inverse, weight, added))
    doubles = [None if t is None else t.double() for t in (gradient, x, inverse, weight, added)]
    expected, expected_weight = plain_norm_backward(*doubles)
    # The two terms of a row's gradient may cancel: what is lost is relative to them.
    check(
        d_x, expected, dtype, scale=inverse.double() * (1 + (x.double() * inverse).abs().amax(1, keepdim=True) ** 2) * 8
    )
    check(d_weight, expected_weight, torch.float32, scale=(gradient * x * inverse).abs().sum(0).max().double())


@settings(max_examples=80)
@given(
    DTYPES,
    SEEDS,
    st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 4), st.integers(1, 40)),
    st.booleans(),
    st.sampled_from(["none", "shared", "each"]),
)
def test_heads(dtype, seed, sizes, has_norm, turns):
    assume(has_norm or turns != "none")
    batch, num_tokens, num_heads, half = sizes
    dim = 2 * half
    x = part_of_wider(draw(batch, num_tokens, num_heads * dim, seed=seed, dtype=dtype), 3, 5)
    x = x.unflatten(-1, (num_heads, dim))
    weight = draw(dim, seed=seed + 1) if has_norm else None
    by = None
    if turns != "none":
        angles = draw(*((batch,) if turns == "each" else ()), num_tokens, 1, half, seed=seed + 2, scale=9.0)
        by = Rotation(torch.cat((angles.cos(),) * 2, -1), torch.cat((-angles.sin(), angles.sin()), -1))
    results = on_threads(lambda: kernels.heads(x, weight, 1e-5, by))
    wide_by = None if by is None else Rotation(by.cos.double(), by.sin.double())
    wide_weight = None if weight is None else weight.double()
    expected, expected_inverse = plain_heads(x.double(), wide_weight, 1e-5, wide_by)
    check(results[0], expected, dtype)

    gradient = draw(batch, num_tokens, num_heads, dim, seed=seed + 3, dtype=dtype)
    inverse = results[1] if has_norm else None

    def backward():
        out = part_of_wider(torch.zeros(batch, num_tokens, num_heads * dim, dtype=dtype), 2, 1)
        out = out.unflatten(-1, (num_heads, dim))
        d_weight = kernels.heads_backward(gradient, x if has_norm else None, inverse, weight, by=by, out_BTHQ=out)
        return out.contiguous(), d_weight

    results = on_threads(backward)
    expected = torch.empty_like(gradient, dtype=torch.float64)
    d_weight = plain_heads_backward(
        gradient.double(), x.double(), expected_inverse, wide_weight, by=wide_by, out_BTHQ=expected
    )
    scale = 8.0 if not has_norm else 8 * float(expected_inverse.max()) * max(1.0, float(weight.abs().max())) * dim
    check(results[0], expected, dtype, scale=scale)
    if has_norm:
        check(results[1], d_weight, torch.float32, scale=float(batch * num_tokens * num_heads * 16))


@settings(max_examples=60)
@given(DTYPES, SEEDS, st.integers(0, 100), st.integers(1, 300), st.sampled_from([1.0, 30.0]))
def test_swiglu(dtype, seed, num_rows, width, scale):
    both = draw(num_rows, 2 * width, seed=seed, dtype=dtype, scale=scale)
    gate, up = both.chunk(2, -1)
    gradient = draw(num_rows, width, seed=seed + 1, dtype=dtype)
    (gated,) = on_threads(lambda: [kernels.swiglu(gate, up)])
    d_both, again = on_threads(lambda: kernels.swiglu_backward(gradient.clone(), gate, up, again=True))
    assert torch.equal(again, gated)
    if num_rows == 0:
        return
    check(gated, plain_swiglu(gate.double(), up.double()), dtype)
    expected, _ = plain_swiglu_backward(gradient.double(), gate.double(), up.double(), again=True)
    check(d_both, expected, dtype)


@settings(max_examples=60)
@given(DTYPES, SEEDS, st.integers(0, 40), st.integers(1, 3000), st.sampled_from([1.0, 20.0]))
def test_cross_entropy(dtype, seed, num_rows, vocab_size, scale):
    logits = draw(num_rows, vocab_size, seed=seed, dtype=dtype, scale=scale)
    targets = torch.randint(vocab_size, (num_rows,), generator=torch.Generator().manual_seed(seed))
    targets[::3] = -100

    def run():
        place = logits.clone()
        return torch.tensor(kernels.cross_entropy(place, targets, makes_gradient=True), dtype=torch.float64), place

    nats, gradient = on_threads(run)
    kept = logits.clone()
    assert kernels.cross_entropy(kept, targets, makes_gradient=False) == float(nats)
    assert torch.equal(kept, logits)
    expected = logits.double()
    expected_nats = plain_cross_entropy(expected, targets, makes_gradient=True)
    assert float(nats) == pytest.approx(float(expected_nats), rel=1e-6, abs=1e-6)
    if num_rows:
        check(gradient, expected, dtype, scale=1.0)


def test_a_target_that_is_no_token_is_refused():
    for target in (5, -1, -101):
        with pytest.raises(IndexError, match=f"target {target} is no token of a vocabulary of 5"):
            kernels.cross_entropy(torch.zeros(1, 5), torch.tensor([target]), makes_gradient=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
class TestWhatIsNotANumberStaysSo:
    """A spike is seen because the loss is no number; and it spoils no other row."""

    def test_in_a_norm(self, dtype, bad):
        x, weight = draw(4, 37, seed=0, dtype=dtype), torch.ones(37)
        x[2, 36] = bad
        rows, inverse, _ = kernels.norm(x, weight, 1e-5)
        assert not rows[2, 36].isfinite() or inverse[2] == 0
        assert rows[[0, 1, 3]].isfinite().all()
        d_x, _ = kernels.norm_backward(torch.ones_like(x), x, inverse, weight)
        assert d_x[2].isnan().any()
        assert d_x[[0, 1, 3]].isfinite().all()

    def test_in_swiglu(self, dtype, bad):
        gate, up = (draw(3, 21, seed=i, dtype=dtype) for i in range(2))
        up[1, 20] = bad
        gated = kernels.swiglu(gate, up)
        assert not gated[1, 20].isfinite()
        assert gated.isfinite().sum() == gated.numel() - 1

    def test_in_a_loss(self, dtype, bad):
        logits, targets = draw(3, 50, seed=0, dtype=dtype), torch.tensor([1, 2, 49])
        logits[1, 2] = bad
        nats = kernels.cross_entropy(logits, targets, makes_gradient=True)
        assert nats == torch.inf if bad == -torch.inf else math.isnan(nats)
        assert logits[[0, 2]].isfinite().all()
        assert logits[1].isnan().any() or bad == -torch.inf


def test_rounding_is_torchs():
    """Of sums with all bf16: halves to the even one, small numbers, infinities."""
    x = (torch.arange(1 << 16, dtype=torch.int32) << 16).view(torch.float32).to(torch.bfloat16)
    for other in (1.0, -0.1260, 2e-38):
        added = torch.full_like(x, other)
        _, _, total = kernels.norm(x, torch.ones(len(x)), 1.0, added)
        expected = x + added
        assert torch.equal(total.isnan(), expected.isnan())
        assert torch.equal(total[~total.isnan()], expected[~expected.isnan()])


@pytest.mark.skipif("TEXTMILL_ISA" in os.environ, reason="a tier is asked for already")
@pytest.mark.parametrize("isa", ["avx2", "portable"])
def test_in_other_tiers(isa):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    environment = os.environ | {"TEXTMILL_ISA": isa}
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=560)
    assert result.returncode == 0, result.stdout


def test_the_tier_is_the_one_that_was_asked_for():
    assert _core.training_isa() == os.environ.get("TEXTMILL_ISA", _core.training_isa())


def test_what_kernels_do_not_take_goes_to_the_twins():
    assert kernels.fit(torch.zeros(2), torch.zeros(2))
    assert kernels.fit(torch.zeros(2, dtype=torch.bfloat16), torch.nn.Parameter(torch.zeros(2)))
    assert not kernels.fit(torch.zeros(2, dtype=torch.float64))
    assert not kernels.fit(torch.zeros(2, dtype=torch.float16))
    assert not kernels.fit(torch.zeros(2, device="meta"))
    assert not kernels.fit(torch.zeros(2), torch.zeros(2, dtype=torch.bfloat16))
    with torch._subclasses.FakeTensorMode():
        assert not kernels.fit(torch.zeros(2))
