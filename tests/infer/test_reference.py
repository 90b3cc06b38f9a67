"""The numpy twin beside transformers: random weights of every family and kind of RoPE scaling."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from infer.native_models import random_tensors
from model.families import configs
from textmill.infer.reference import logits_of, seen

NUM_TOKENS = 40


@pytest.mark.peer
@settings(deadline=None, max_examples=60)
@given(configs(), st.integers(0, 99))
def test_logits_equal_transformers(config, seed):
    from transformers import AutoConfig, AutoModelForCausalLM

    peer = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config.to_hf())).eval()
    tensors = random_tensors(config, seed)
    loaded = peer.load_state_dict({name: torch.from_numpy(t) for name, t in tensors.items()}, strict=False)
    assert loaded.unexpected_keys == []
    assert set(loaded.missing_keys) <= {"lm_head.weight"}
    peer.tie_weights()
    ids = np.random.default_rng(seed).integers(0, config.vocab_size, NUM_TOKENS).tolist()
    with torch.no_grad():
        theirs = peer(torch.tensor([ids])).logits[0].numpy()
    # They compute in f32: sums of products in another order, and frequencies that are off by up to 4e-6 of themselves
    # where RoPE is scaled, which is 2e-4 rad after 39 tokens. The worst of 1,500 models was off by 3e-5.
    tolerance = 2e-4 * max(1.0, float(np.abs(theirs).max()))
    for dtype in (np.float32, np.float64):
        ours = logits_of(config, {name: t.astype(dtype) for name, t in tensors.items()}, ids)
        assert (ours.dtype, ours.shape) == (dtype, (NUM_TOKENS, config.vocab_size))
        assert np.abs(ours - theirs).max() <= tolerance


@pytest.mark.parametrize(
    ("window", "rows"), [(None, ["1000", "1100", "1110", "1111"]), (2, ["1000", "1100", "0110", "0011"])]
)
def test_what_a_token_sees(window, rows):
    assert ["".join("01"[int(value)] for value in row) for row in seen(4, window)] == rows
