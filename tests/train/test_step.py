"""One step: however a batch is cut, its gradient is that of one large batch, and what is not finite is seen."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from textmill.data.loader import Batch  # noqa: E402
from textmill.model.config import ModelConfig  # noqa: E402
from textmill.model.llama import Llama  # noqa: E402
from textmill.train.optim import Optimizers  # noqa: E402
from textmill.train.recipe_tables.steps import OptimizerTable  # noqa: E402
from textmill.train.step import accumulate, clip, drop_gradients  # noqa: E402

CONFIG = ModelConfig(
    vocab_size=64,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
)


def model(dtype=torch.float32):
    return Llama(CONFIG).init_weights(1, residual="scaled").to(dtype)


def batch(count=8, *, ragged=False, seed=0):
    """Rows of 16 tokens; ragged ones have padding at their ends, which is no target."""
    generator = np.random.default_rng(seed)
    ids = generator.integers(0, 64, (count, 17))
    targets = ids[:, 1:].copy()
    if ragged:
        for row, length in enumerate(generator.integers(1, 16, count)):
            targets[row, length:] = -100
    return Batch(ids[:, :-1], targets, ("a",) * count)


def accumulated(parts, *, micro_rows, dtype=torch.float32, **options):
    return accumulate(parts, options.pop("batch"), micro_rows=micro_rows, dtype=dtype, **options)


@pytest.mark.parametrize("remat", ["none", "llama", "full"])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("micro_rows", [1, 2, 3, 5])
def test_accumulation_equals_one_large_batch(micro_rows, ragged, remat):
    """Odd cuts and ragged targets too: within 1e-6 of the largest gradient in float32."""
    rows = batch(ragged=ragged)
    whole, parts = model(), model()
    loss = accumulated(whole, batch=rows, micro_rows=8, remat=remat)
    assert accumulated(parts, batch=rows, micro_rows=micro_rows, remat=remat) == pytest.approx(loss, rel=1e-6)
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        assert (one.grad - other.grad).abs().max() <= 1e-6 * one.grad.abs().max()


@pytest.mark.parametrize("micro_rows", [1, 3])
def test_fifty_steps_in_parts_are_fifty_whole_steps(micro_rows):
    """In float64 nothing of the cut is left: within 1e-9 after 50 steps of AdamW."""
    ends = []
    for rows in (8, micro_rows):
        trained = model(torch.float64)
        optimizers = Optimizers(trained, OptimizerTable(), 1e-3)
        for step in range(50):
            accumulated(trained, batch=batch(ragged=True, seed=step), micro_rows=rows, dtype=torch.float64)
            clip(trained, 1.0)
            optimizers.step(1.0)
        ends.append(torch.cat([parameter.detach().flatten() for parameter in trained.parameters()]))
    assert (ends[0] - ends[1]).abs().max() <= 1e-9 * ends[0].abs().max()


def test_the_loss_is_the_mean_of_nats_a_target():
    rows = batch(ragged=True)
    logits = model()(torch.from_numpy(rows.inputs))
    mask = torch.from_numpy(rows.loss_mask)
    targets = torch.from_numpy(rows.targets).clamp(min=0)
    nats = -torch.log_softmax(logits, -1).gather(-1, targets[..., None])[..., 0][mask]
    assert accumulated(model(), batch=rows, micro_rows=2) == pytest.approx(nats.mean().item(), rel=1e-6)


def test_bf16_is_near_f32():
    """bfloat16 has 8 bits of mantissa: a loss within 1 % of float32's."""
    precise = accumulated(model(), batch=batch(), micro_rows=8)
    rough = accumulated(model(), batch=batch(), micro_rows=8, dtype=torch.bfloat16)
    assert rough == pytest.approx(precise, rel=0.01)


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_what_is_not_finite_shows_in_the_norm(poison):
    spoilt = model()
    spoilt.model.norm.weight.register_hook(lambda gradient: gradient * poison)
    accumulated(spoilt, batch=batch(), micro_rows=8)
    assert not math.isfinite(clip(spoilt, 1.0))
    drop_gradients(spoilt)
    assert all(parameter.grad is None for parameter in spoilt.parameters())
