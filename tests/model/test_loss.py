import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck
from torch.nn.functional import cross_entropy

from textmill.model import loss
from textmill.model.activation_bytes import chunk_rows
from textmill.model.llama import Llama
from textmill.model.loss import head_nats, summed_nats


def draw(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def ids(size, *shape, seed=0):
    return torch.randint(size, shape, generator=torch.Generator().manual_seed(seed))


def with_gradients(function, *inputs):
    inputs = [value.detach().clone().requires_grad_(True) for value in inputs]
    result = function(*inputs)
    (result / 7).backward()
    return result.detach(), [value.grad for value in inputs]


def plain(targets_BT):
    """As torch has it, with all logits at once."""

    def nats(x_BTD, weight_VD):
        logits_NV = (x_BTD @ weight_VD.to(x_BTD.dtype).t()).flatten(0, -2)
        return cross_entropy(logits_NV.float(), targets_BT.flatten(), reduction="sum")

    return nats


class Afresh(torch.autograd.Function):
    """The loss, computed anew for every backward: ours gives its gradients away in the first, gradcheck asks often."""

    @staticmethod
    def forward(ctx, x, weight, targets):
        ctx.save_for_backward(x, weight, targets)
        return head_nats(x, weight, targets)

    @staticmethod
    def backward(ctx, factor):
        *inputs, targets = ctx.saved_tensors
        with torch.enable_grad():
            inputs = [value.detach().requires_grad_(True) for value in inputs]
            return *torch.autograd.grad(head_nats(*inputs, targets), inputs, factor), None


@pytest.fixture
def _small_chunks(monkeypatch):
    monkeypatch.setattr(loss, "chunk_rows", lambda vocab_size: 5)


@pytest.mark.usefixtures("_small_chunks")
class TestInChunks:
    def test_gradients_equal_finite_differences(self):
        x_BTD, weight_VD = draw(2, 6, 4, dtype=torch.float64), draw(9, 4, seed=1, dtype=torch.float64)
        targets_BT = ids(9, 2, 6)
        targets_BT[0, 2] = targets_BT[1, 5] = -100
        inputs = (x_BTD.requires_grad_(True), weight_VD.requires_grad_(True))
        assert gradcheck(Afresh.apply, (*inputs, targets_BT))

    @settings(deadline=None, max_examples=40)
    @given(st.integers(1, 20), st.integers(1, 60), st.integers(1, 24), st.lists(st.integers(0, 19), max_size=8))
    def test_it_equals_cross_entropy(self, num_tokens, vocab_size, width, ignored):
        x_TD, weight_VD = draw(num_tokens, width), draw(vocab_size, width, seed=1)
        targets_T = ids(vocab_size, num_tokens)
        targets_T[[index for index in ignored if index < num_tokens]] = -100
        nats, gradients = with_gradients(lambda x, w: head_nats(x, w, targets_T), x_TD, weight_VD)
        expected, expected_gradients = with_gradients(plain(targets_T), x_TD, weight_VD)
        assert nats.dtype == torch.float64
        assert float(nats) == pytest.approx(float(expected), rel=1e-6, abs=1e-6)
        for gradient, wanted in zip(gradients, expected_gradients, strict=True):
            assert (gradient - wanted).abs().max() <= 1e-6 * max(1.0, float(wanted.abs().max()))

    def test_bf16_states_and_f32_weights(self):
        x_BTD, weight_VD, targets_BT = draw(2, 8, 16).bfloat16(), draw(50, 16, seed=1), ids(50, 2, 8)
        nats, gradients = with_gradients(lambda x, w: head_nats(x, w, targets_BT), x_BTD, weight_VD)
        expected, expected_gradients = with_gradients(plain(targets_BT), x_BTD, weight_VD)
        assert [gradient.dtype for gradient in gradients] == [torch.bfloat16, torch.float32]
        assert float(nats) == pytest.approx(float(expected), rel=1e-6)
        for gradient, wanted in zip(gradients, expected_gradients, strict=True):
            # Gradients of logits are rounded to 8 bits in both, before and after they are divided by 7.
            assert (gradient.float() - wanted.float()).abs().max() <= 0.01 * wanted.abs().max()


def test_one_chunk_and_many_are_the_same_to_rounding(monkeypatch):
    x_BTD, weight_VD, targets_BT = draw(4, 50, 16), draw(70, 16, seed=1), ids(70, 4, 50)
    results = []
    for rows in (7, 64, 1000):
        monkeypatch.setattr(loss, "chunk_rows", lambda vocab_size, rows=rows: rows)
        results.append(with_gradients(lambda x, w: head_nats(x, w, targets_BT), x_BTD, weight_VD))
    for nats, gradients in results[1:]:
        assert float(nats) == pytest.approx(float(results[0][0]), rel=1e-7)
        assert (gradients[1] - results[0][1][1]).abs().max() <= 1e-6 * gradients[1].abs().max()


@pytest.mark.parametrize("tied", [True, False])
def test_a_models_loss_reaches_head_and_table(small_config, tied):
    model = Llama(small_config(tie_word_embeddings=tied)).init_weights(1, residual="scaled")
    ids_BT = ids(101, 2, 12)
    targets_BT = ids_BT.roll(-1, 1)
    targets_BT[:, -1] = -100
    expected_nats = cross_entropy(model(ids_BT).flatten(0, 1), targets_BT.flatten(), reduction="sum")
    expected_nats.backward()
    expected = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    nats = summed_nats(model, model.backbone(ids_BT), targets_BT)
    nats.backward()
    assert nats.item() == pytest.approx(expected_nats.item(), rel=1e-6)
    for name, parameter in model.named_parameters():
        assert (parameter.grad - expected[name]).abs().max() <= 1e-5 * expected[name].abs().max(), name


def test_nothing_to_predict_is_no_loss_and_no_gradient():
    nats, gradients = with_gradients(lambda x, w: head_nats(x, w, torch.full((3,), -100)), draw(3, 4), draw(5, 4))
    assert float(nats) == 0
    assert not any(gradient.any() for gradient in gradients)


def test_without_gradients_none_are_made():
    with torch.no_grad():
        nats = head_nats(draw(3, 4).requires_grad_(True), draw(5, 4), ids(5, 3))
    assert not nats.requires_grad


def test_a_head_that_is_frozen_gets_no_gradient():
    x_TD, weight_VD, targets_T = draw(3, 4).requires_grad_(True), draw(5, 4), ids(5, 3)
    head_nats(x_TD, weight_VD, targets_T).backward()
    assert x_TD.grad is not None
    assert weight_VD.grad is None


def test_chunks_hold_8_megabytes_of_logits_or_512_rows():
    assert chunk_rows(4096) == 512
    assert chunk_rows(128_256) == 512
    assert chunk_rows(256) == 8192


def with_z_loss(targets, z_loss):
    """As torch has it, with all logits at once: what is minimised."""

    def total(x_BTD, weight_VD):
        logits_NV = (x_BTD @ weight_VD.t()).flatten(0, -2)
        z_N = torch.logsumexp(logits_NV, -1)[targets.flatten() != -100]
        return cross_entropy(logits_NV, targets.flatten(), reduction="sum") + z_loss * z_N.square().sum()

    return total


class WithZLoss(torch.autograd.Function):
    """The number that is minimised, as torch has it, with our gradients: our own number leaves the squares out."""

    @staticmethod
    def forward(ctx, x, weight, targets, z_loss):
        ctx.save_for_backward(x, weight, targets)
        ctx.z_loss = z_loss
        return with_z_loss(targets, z_loss)(x, weight)

    @staticmethod
    def backward(ctx, factor):
        *inputs, targets = ctx.saved_tensors
        with torch.enable_grad():
            inputs = [value.detach().requires_grad_(True) for value in inputs]
            return *torch.autograd.grad(head_nats(*inputs, targets, ctx.z_loss), inputs, factor), None, None


@pytest.mark.usefixtures("_small_chunks")
class TestZLoss:
    def test_gradients_equal_finite_differences(self):
        x_BTD, weight_VD = draw(2, 6, 4, dtype=torch.float64), draw(9, 4, seed=1, dtype=torch.float64)
        targets_BT = ids(9, 2, 6)
        targets_BT[0, 2] = targets_BT[1, 5] = -100
        inputs = (x_BTD.requires_grad_(True), weight_VD.requires_grad_(True))
        assert gradcheck(WithZLoss.apply, (*inputs, targets_BT, 0.3))

    @pytest.mark.parametrize("z_loss", [1e-4, 0.1])
    def test_gradients_equal_autograd_and_the_loss_is_as_without(self, z_loss):
        x_TD, weight_VD, targets_T = draw(40, 16, seed=2), draw(30, 16, seed=3), ids(30, 40)
        targets_T[7] = -100
        nats, gradients = with_gradients(lambda x, w: head_nats(x, w, targets_T, z_loss), x_TD, weight_VD)
        assert nats == head_nats(x_TD, weight_VD, targets_T)
        _, expected = with_gradients(with_z_loss(targets_T, z_loss), x_TD, weight_VD)
        for gradient, wanted in zip(gradients, expected, strict=True):
            assert (gradient - wanted).abs().max() <= 2e-6 * wanted.abs().max()

    def test_of_bf16_states_it_is_near(self):
        x_TD, weight_VD, targets_T = draw(40, 16, seed=2).bfloat16(), draw(30, 16, seed=3), ids(30, 40)
        _, (_, gradient) = with_gradients(lambda x, w: head_nats(x, w, targets_T, 0.1), x_TD, weight_VD)
        _, (_, wanted) = with_gradients(with_z_loss(targets_T, 0.1), x_TD.float(), weight_VD.bfloat16().float())
        assert (gradient - wanted).abs().max() <= 0.02 * wanted.abs().max()  # logits and gradients have 8 bits
