"""Optimizers against closed forms, and their state as plain tensors."""

import dataclasses
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")

from textmill.model.config import ModelConfig  # noqa: E402
from textmill.model.llama import Llama  # noqa: E402
from textmill.train.muon import Muon, orthogonalize  # noqa: E402
from textmill.train.optim import TABLE_LR, Optimizers  # noqa: E402
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


OWN = dataclasses.replace(CONFIG, model_type="textmill", value_embeddings=True, qk_norm=True)


def random(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


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


@pytest.mark.parametrize("shape", [(2, 64, 64), (2, 32, 96), (2, 96, 32), (2, 128, 384)])
def test_in_bf16_singular_values_do_not_run_away(shape):
    """Rounding by 2^-9 turns vectors a little, and takes small values of a square matrix for none at all."""
    matrices = random(*shape)
    result = orthogonalize(matrices, torch.bfloat16)
    assert result.dtype == torch.float32
    values = torch.linalg.svdvals(result)
    assert values.max() < 1.2
    exact = orthogonalize(matrices)
    assert (result - exact).norm() <= 0.05 * exact.norm()


@pytest.mark.parametrize("shape", [(24, 8), (8, 24), (12, 12)])
def test_muon_takes_a_step_of_its_scale_along_the_polar_factor(shape):
    """Of a matrix whose singular values are all 1, U V^T is the matrix; five steps leave each within 0.15 of 1."""
    u, _, v = torch.linalg.svd(random(*shape), full_matrices=False)
    parameter = torch.nn.Parameter(torch.zeros(shape))
    parameter.grad = 3.0 * (u @ v)
    Muon([parameter]).step(0.1)
    scale = 0.1 * max(1.0, shape[0] / shape[1]) ** 0.5
    assert (parameter.detach() + scale * (u @ v)).norm() <= 0.15 * scale * (u @ v).norm()


def test_muon_equals_a_plain_loop():
    """Nesterov momentum as a moving average, matrices one by one, in f64."""
    shapes = [(6, 10), (10, 6), (6, 10)]
    parameters = [torch.nn.Parameter(random(*shape, seed=n, dtype=torch.float64)) for n, shape in enumerate(shapes)]
    muon = Muon(parameters, momentum=0.9, weight_decay=0.1, dtype=torch.float64)
    expected = [parameter.detach().clone() for parameter in parameters]
    averages = [torch.zeros_like(parameter) for parameter in expected]
    for step in range(4):
        for n, (parameter, weights) in enumerate(zip(parameters, expected, strict=True)):
            gradient = random(*shapes[n], seed=10 * step + n, dtype=torch.float64)
            parameter.grad = gradient.clone()
            averages[n] = 0.9 * averages[n] + 0.1 * gradient
            update = orthogonalize((0.1 * gradient + 0.9 * averages[n])[None], torch.float64)[0]
            scale = max(1.0, shapes[n][0] / shapes[n][1]) ** 0.5
            expected[n] = (1 - 0.02 * 0.1) * weights - 0.02 * scale * update
        muon.step(0.02)
    for parameter, weights in zip(parameters, expected, strict=True):
        assert torch.allclose(parameter, weights, rtol=0, atol=1e-12)


def test_a_zero_gradient_moves_nothing_but_by_decay():
    parameter = torch.nn.Parameter(torch.ones(4, 4))
    parameter.grad = torch.zeros(4, 4)
    Muon([parameter], weight_decay=0.5).step(0.1)
    assert torch.allclose(parameter, torch.full((4, 4), 0.95))


def train(table, steps, optimizers=None, model=None, config=CONFIG):
    if model is None:
        model = Llama(config)
        model.init_weights(3, residual="scaled")
    optimizers = optimizers or Optimizers(model, table, 1e-2)
    for step in range(steps):
        ids = torch.randint(0, 64, (2, 9), generator=torch.Generator().manual_seed(step))
        logits = model(ids[:, :-1])
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()).backward()
        optimizers.step(0.5)
    return model, optimizers


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_state_taken_out_and_put_back_changes_nothing(kind, ema_decay):
    table = OptimizerTable(kind=kind, ema_decay=ema_decay)
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
    states = optimizers.state_tensors(), again.state_tensors()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0] | states[1])


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_the_shapes_of_the_state_are_known_before_there_is_any(kind, ema_decay):
    table = OptimizerTable(kind=kind, ema_decay=ema_decay)
    _, optimizers = train(table, 1)
    fresh = Optimizers(Llama(CONFIG), table, 1e-2)
    assert fresh.state_tensors() == {}
    assert fresh.state_shapes() == {name: tuple(t.shape) for name, t in optimizers.state_tensors().items()}


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_the_average_equals_a_plain_loop(kind):
    """All weights after each step, in f64: the last counts 1, each one before 0.8 times as much as the next."""
    table = OptimizerTable(kind=kind, ema_decay=0.8)
    model = Llama(CONFIG).init_weights(3, residual="scaled").double()
    optimizers = Optimizers(model, table, 1e-2)
    seen = []
    for _ in range(7):
        train(table, 1, optimizers, model)
        seen.append({name: parameter.detach().clone() for name, parameter in model.named_parameters()})
    shares = [0.8 ** (len(seen) - 1 - step) for step in range(len(seen))]
    with optimizers.averaged():
        averaged = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for name, parameter in model.named_parameters():
        expected = sum(share * weights[name] for share, weights in zip(shares, seen, strict=True)) / sum(shares)
        assert torch.allclose(averaged[name], expected, rtol=0, atol=1e-12), name
        assert torch.equal(parameter, seen[-1][name]), f"{name} is not as it was"


def test_the_average_changes_nothing_of_the_training():
    with_average, optimizers = train(OptimizerTable(kind="muon", ema_decay=0.9), 2)
    with pytest.raises(ZeroDivisionError), optimizers.averaged():
        raise ZeroDivisionError
    with_average, _ = train(OptimizerTable(kind="muon", ema_decay=0.9), 2, optimizers, with_average)
    without, optimizers = train(OptimizerTable(kind="muon"), 2)
    without, optimizers = train(OptimizerTable(kind="muon"), 2, optimizers, without)
    for one, other in zip(with_average.parameters(), without.parameters(), strict=True):
        assert torch.equal(one, other)
    with optimizers.averaged():  # of none, it is the weights
        assert all(torch.equal(p, q) for p, q in zip(with_average.parameters(), without.parameters(), strict=True))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_matrices_decay_and_norms_biases_and_tables_do_not(kind, tied):
    """By name: with gradients of 0, what decays shrinks by lr x decay and the rest stays."""
    biased = dataclasses.replace(CONFIG, qkv_bias=True, o_bias=True, mlp_bias=True)
    for config in (biased, OWN):
        model = Llama(dataclasses.replace(config, tie_word_embeddings=tied)).init_weights(3, residual="scaled")
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(1.0)
                parameter.grad = torch.zeros_like(parameter)
        before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
        Optimizers(model, OptimizerTable(kind=kind, weight_decay=0.5, muon_lr=1e-2), 1e-2).step(1.0)
        for name, parameter in model.named_parameters():
            decays = name.endswith("proj.weight") or name == "lm_head.weight"
            assert torch.allclose(parameter, before[name] * (1 - 0.005 * decays), rtol=1e-6, atol=0), name


@pytest.mark.parametrize(("kind", "tied"), [("muon", False), ("muon", True), ("adamw", False)])
def test_beside_muon_an_input_table_that_is_no_head_learns_faster(kind, tied):
    """AdamW's first step moves every value by its rate."""
    model = Llama(dataclasses.replace(OWN, tie_word_embeddings=tied)).init_weights(3, residual="scaled")
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    Optimizers(model, OptimizerTable(kind=kind, weight_decay=0.0), 1e-3).step(0.5)
    moved = {name: (before[name] - parameter).mean().item() for name, parameter in model.named_parameters()}
    fast = "model.embed_tokens.weight" if kind == "muon" and not tied else None
    for name in (name for name in moved if kind == "adamw" or "proj" not in name):
        expected = 0.5e-3 * (TABLE_LR if name == fast else 1.0)
        assert moved[name] == pytest.approx(expected, rel=1e-3), name


def test_muon_takes_no_table_of_value_embeddings():
    _, optimizers = train(OptimizerTable(kind="muon"), 1, config=OWN)
    names = {name for name in optimizers.state_tensors() if "value_embeddings" in name}
    table = "model.layers.1.self_attn.value_embeddings.weight"
    assert names == {f"{table}/{key}" for key in ("step", "exp_avg", "exp_avg_sq")}


def test_every_parameter_has_exactly_one_optimizer():
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
    decayed = [p for name, p in other.named_parameters() if p.ndim == 2 and "embed" not in name]
    plain = [p for name, p in other.named_parameters() if p.ndim == 1 or "embed" in name]
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


def test_no_compiler_of_torch_is_imported_for_a_step():
    """It takes as long as torch itself, at the start of every run; torch's distributed tensors do, too."""
    code = (
        "import sys, torch\n"
        "import textmill.train.pipeline, textmill.train.loop\n"
        "from textmill.train.optim import Optimizers\n"
        "from textmill.train.recipe_tables.steps import OptimizerTable\n"
        "layer = torch.nn.Linear(2, 2)\n"
        "layer(torch.ones(1, 2)).sum().backward()\n"
        "Optimizers(layer, OptimizerTable(), 1e-3).step(1.0)\n"
        "assert not {'torch._dynamo', 'torch.distributed.tensor', 'sympy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
