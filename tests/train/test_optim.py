"""Optimizers against closed forms, and their state as plain tensors."""

import pytest

torch = pytest.importorskip("torch")

from textmill.model.config import ModelConfig  # noqa: E402
from textmill.model.llama import Llama  # noqa: E402
from textmill.train.optim import Muon, Optimizers, orthogonalize  # noqa: E402
from textmill.train.recipe_tables.steps import OptimizerTable  # noqa: E402

CONFIG = ModelConfig(
    vocab_size=64,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
)


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 8, 40), (2, 40, 8), (1, 1, 5)])
def test_orthogonalize_brings_singular_values_near_one(shape):
    """Against the singular value decomposition: five steps leave values within 0.3 of 1, the vectors as they were."""
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    result = orthogonalize(matrices)
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    values = torch.diagonal(u.mT @ result @ v.mT, dim1=-2, dim2=-1)
    assert (values - 1).abs().max() < 0.3
    assert torch.allclose(u @ torch.diag_embed(values) @ v, result, atol=2e-3)


def test_orthogonalize_takes_matrices_one_by_one_as_together():
    matrices = torch.randn(4, 12, 20, generator=torch.Generator().manual_seed(1))
    alone = torch.cat([orthogonalize(matrix[None]) for matrix in matrices])
    assert torch.allclose(alone, orthogonalize(matrices), atol=1e-5)


def test_a_zero_gradient_moves_nothing_but_by_decay():
    parameter = torch.nn.Parameter(torch.ones(4, 4))
    parameter.grad = torch.zeros(4, 4)
    Muon([parameter], lr=0.1, weight_decay=0.5).step()
    assert torch.allclose(parameter, torch.full((4, 4), 0.95))


def train(table, steps, optimizers=None, model=None):
    if model is None:
        model = Llama(CONFIG)
        model.init_weights(3, residual="scaled")
    optimizers = optimizers or Optimizers(model, table, 1e-2)
    for step in range(steps):
        ids = torch.randint(0, 64, (2, 9), generator=torch.Generator().manual_seed(step))
        logits = model(ids[:, :-1])
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()).backward()
        optimizers.step(0.5)
    return model, optimizers


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_state_taken_out_and_put_back_changes_nothing(kind):
    table = OptimizerTable(kind=kind)
    model, optimizers = train(table, 4)
    straight, _ = train(table, 2, optimizers, model)

    half, half_optimizers = train(table, 4)
    fresh = Llama(CONFIG)
    fresh.load_state_dict(half.state_dict())
    again = Optimizers(fresh, table, 1e-2)
    again.load_state_tensors(half_optimizers.state_tensors())
    resumed, _ = train(table, 2, again, fresh)
    for (name, one), other in zip(straight.named_parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other), name


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_the_shapes_of_the_state_are_known_before_there_is_any(kind):
    _, optimizers = train(OptimizerTable(kind=kind), 1)
    fresh = Optimizers(Llama(CONFIG), OptimizerTable(kind=kind), 1e-2)
    assert fresh.state_tensors() == {}
    assert fresh.state_shapes() == {name: tuple(t.shape) for name, t in optimizers.state_tensors().items()}


def test_every_parameter_has_exactly_one_optimizer_and_norms_do_not_decay():
    model, optimizers = train(OptimizerTable(kind="muon"), 1)
    names = [name.rpartition("/")[0] for name in optimizers.state_tensors()]
    assert set(names) == {name for name, _ in model.named_parameters()}
    state = optimizers.state_tensors()
    assert "model.layers.0.self_attn.q_proj.weight/momentum" in state
    assert "model.embed_tokens.weight/exp_avg" in state


def test_adamw_equals_torchs_own_loop():
    """fused=True must not change the algorithm: its float32 rounding differs, so a relative 1e-5 is allowed."""
    model, _ = train(OptimizerTable(kind="adamw", weight_decay=0.1), 3)
    other = Llama(CONFIG)
    other.init_weights(3, residual="scaled")
    decayed = [p for p in other.parameters() if p.ndim == 2]
    plain = [p for p in other.parameters() if p.ndim == 1]
    reference = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}],
        lr=0.5e-2,
        betas=(0.9, 0.95),
        eps=1e-8,
        foreach=False,
        fused=False,
    )
    for step in range(3):
        ids = torch.randint(0, 64, (2, 9), generator=torch.Generator().manual_seed(step))
        torch.nn.functional.cross_entropy(other(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten()).backward()
        reference.step()
        reference.zero_grad()
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.allclose(one, two, rtol=1e-5, atol=1e-6)
