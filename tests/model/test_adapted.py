"""Blocks with adapters: the same gradients whatever is made again, from as many bytes as reckoned."""

import pytest
import torch

from model.adapted_model import ALL, adapt
from model.test_remat import REMATS, SIZES, ids_of, make_model, measured_blocks
from textmill.model.activation_bytes import saved_bytes_per_block
from textmill.model.loss import summed_nats

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


@pytest.mark.parametrize(("dropout", "dora"), [(0.0, False), (0.3, False), (0.0, True)], ids=["", "dropout", "dora"])
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize(
    "targets", [ALL, ("v_proj", "down_proj"), ("o_proj",), ("o_proj", "lm_head")], ids=["all", "two", "one", "head"]
)
def test_gradients_are_equal_bit_for_bit(small_config, *, targets, dtype, dropout, dora):
    if dora:  # of which the head has none
        targets = tuple(target for target in targets if target != "lm_head")
    model, drops, _ = adapt(make_model(small_config()), targets=targets, dropout=dropout, dtype=dtype, dora=dora)
    ids_BT = ids_of(model.config, 2, 19)

    def gradients(remat):
        drops.begin_step(4)
        model.zero_grad()
        summed_nats(model, model.backbone(ids_BT, dtype=dtype, remat=remat), ids_BT.roll(-1, 1)).backward()
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    expected = gradients("none")
    in_blocks = [target for target in targets if target != "lm_head"]
    assert len(expected) == (3 if dora else 2) * (
        len(in_blocks) * model.config.num_hidden_layers + ("lm_head" in targets)
    )
    for remat in ("llama", "full"):
        found = gradients(remat)
        assert all(torch.equal(found[name], expected[name]) for name in expected), remat


@pytest.mark.parametrize(("dropout", "dora"), [(0.0, False), (0.3, False), (0.3, True)], ids=["", "dropout", "dora"])
@pytest.mark.parametrize("remat", REMATS)
@pytest.mark.parametrize("dtype", ["f32", "bf16"])
@pytest.mark.parametrize("targets", [ALL, ("q_proj", "down_proj"), ("up_proj",), ("o_proj",)])
@pytest.mark.parametrize("sizes", [{}, SIZES["biases"]], ids=["", "biases"])
def test_saved_bytes_equal_the_formula(small_config, *, sizes, targets, dtype, remat, dropout, dora):
    config = small_config(**sizes)
    model, _, adapters = adapt(make_model(config), targets=targets, dropout=dropout, dtype=DTYPES[dtype], dora=dora)
    measured = measured_blocks(model, 2, 40, dtype=DTYPES[dtype], remat=remat)
    plain = saved_bytes_per_block(config, batch=2, context=40, dtype=dtype, remat=remat)
    more = 0 if remat == "full" else adapters.saved_bytes(80, dtype)[2]
    assert measured == plain.activations + more
