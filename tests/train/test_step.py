"""One step: accumulation is the same as one large batch, and what is not finite never reaches the weights."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from textmill.base.errors import TextmillError  # noqa: E402
from textmill.model.config import ModelConfig  # noqa: E402
from textmill.model.llama import Llama  # noqa: E402
from textmill.train.optim import Optimizers  # noqa: E402
from textmill.train.recipe_tables import OptimizerTable  # noqa: E402
from textmill.train.step import accumulate, take_step  # noqa: E402

CONFIG = ModelConfig(
    vocab_size=64,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
)


def model():
    return Llama(CONFIG).init_weights(1, residual="scaled")


def rows(count=8):
    ids = np.random.default_rng(0).integers(0, 64, (count, 17))
    return ids[:, :-1], ids[:, 1:]


@pytest.mark.parametrize("micro_rows", [1, 2, 4])
def test_accumulation_equals_one_large_batch(micro_rows):
    """Sums in another order round differently: 1e-5 relative to the largest gradient is allowed in float32."""
    whole, parts = model(), model()
    loss = accumulate(whole, *rows(), micro_rows=8, precision="f32")
    assert accumulate(parts, *rows(), micro_rows=micro_rows, precision="f32") == pytest.approx(loss, rel=1e-6)
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        assert (one.grad - other.grad).abs().max() <= 1e-5 * one.grad.abs().max()


def test_the_loss_is_the_mean_of_nats_a_token():
    inputs, targets = rows()
    logits = model()(torch.from_numpy(inputs))
    nats = -torch.log_softmax(logits, -1).gather(-1, torch.from_numpy(targets)[..., None])
    loss = accumulate(model(), inputs, targets, micro_rows=2, precision="f32")
    assert loss == pytest.approx(nats.mean().item(), rel=1e-6)


def test_bf16_is_near_f32():
    """bfloat16 has 8 bits of mantissa: a loss within 1 % of float32's."""
    precise = accumulate(model(), *rows(), micro_rows=8, precision="f32")
    assert accumulate(model(), *rows(), micro_rows=8, precision="bf16") == pytest.approx(precise, rel=0.01)


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_what_is_not_finite_never_reaches_the_weights(poison):
    spoilt = model()
    optimizers = Optimizers(spoilt, OptimizerTable(), 1e-2)
    spoilt.model.norm.weight.register_hook(lambda gradient: gradient * poison)
    before = {name: tensor.clone() for name, tensor in spoilt.state_dict().items()}
    with pytest.raises(TextmillError, match="not finite|norm (nan|inf)"):
        take_step(spoilt, optimizers, *rows(), micro_rows=8, precision="f32", clip_grad_norm=1.0, factor=1.0)
    for name, tensor in spoilt.state_dict().items():
        assert torch.equal(tensor, before[name])
