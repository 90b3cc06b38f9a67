"""Nats of single tokens against torch's own, with the gradients that any weights of them make."""

import pytest

pytest.importorskip("torch")

import torch

from textmill.model import token_nats as module
from textmill.model.token_nats import token_nats


@pytest.mark.parametrize("rows_at_once", [1, 3, 100])
def test_nats_and_gradients_are_those_of_torch(monkeypatch, rows_at_once):
    monkeypatch.setattr(module, "chunk_rows", lambda vocab: rows_at_once)
    generator = torch.Generator().manual_seed(1)
    x, head = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((7, 5), (11, 5)))
    targets = torch.randint(11, (7,), generator=generator)
    weights = torch.randn(7, generator=generator, dtype=torch.float64)
    grads = []
    for nats_of in (token_nats, lambda x, w, t: torch.nn.functional.cross_entropy(x @ w.t(), t, reduction="none")):
        leaves = [tensor.clone().requires_grad_() for tensor in (x, head)]
        nats = nats_of(*leaves, targets)
        (nats.square() * weights).sum().backward()
        grads.append([nats.detach(), *(leaf.grad for leaf in leaves)])
    for found, wanted in zip(*grads, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


def test_a_frozen_head_gets_no_gradient_and_bf16_states_keep_their_dtype():
    x = torch.randn(4, 8, dtype=torch.bfloat16, requires_grad=True)
    head = torch.randn(16, 8)
    nats = token_nats(x, head, torch.arange(4))
    nats.sum().backward()
    assert nats.dtype == torch.float32
    assert x.grad.dtype == torch.bfloat16
    assert head.grad is None


def test_nothing_to_score_is_nothing():
    x = torch.zeros(0, 8, requires_grad=True)
    token_nats(x, torch.randn(16, 8), torch.zeros(0, dtype=torch.int64)).sum().backward()
    assert x.grad.shape == (0, 8)
