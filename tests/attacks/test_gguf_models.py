"""GGUF models whose sizes lie: each is a DataError before anything is made as large as it claims to be."""

import time
import tracemalloc

import numpy as np
import pytest

from textmill.base.errors import DataError
from textmill.base.gguf_writer import TensorToWrite, save
from textmill.checkpoint.stored_model import open_model

HONEST = {
    "general.architecture": "llama",
    "llama.block_count": 1,
    "llama.context_length": 64,
    "llama.embedding_length": 32,
    "llama.feed_forward_length": 32,
    "llama.attention.head_count": 2,
    "llama.attention.layer_norm_rms_epsilon": 1e-5,
}
HUGE = (1 << 32) - 1


@pytest.mark.parametrize(
    "lies",
    [
        {},  # but for its tensors
        {"llama.block_count": HUGE},
        {"llama.block_count": (1 << 64) - 1, "llama.attention.sliding_window": 8},
        {"general.architecture": "smollm3", **{f"smollm3{name[5:]}": HUGE for name in HONEST if name[:5] == "llama"}},
        {"llama.block_count": 4096, "llama.attention.head_count": 1 << 14, "llama.attention.key_length": 1 << 14},
        {"llama.attention.head_count": HUGE, "llama.attention.head_count_kv": 1},
        {"llama.attention.key_length": HUGE, "llama.attention.value_length": HUGE},
        {"llama.attention.key_length": 1 << 14, "llama.attention.value_length": 1 << 14},
        {"llama.attention.head_count_kv": np.full(1000, HUGE, "u4")},
        {"llama.attention.sliding_window": HUGE},
        {"llama.attention.sliding_window": 4, "llama.attention.sliding_window_pattern": np.ones(100_000, bool)},
        {"llama.embedding_length": HUGE, "llama.feed_forward_length": HUGE},
        {"llama.context_length": (1 << 64) - 1},
        {"llama.rope.scaling.type": "yarn", "llama.rope.scaling.factor": float("nan")},
        {"llama.rope.scaling.type": "yarn", "llama.rope.scaling.original_context_length": (1 << 64) - 1},
        {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": -1.0},
        {"llama.rope.freq_base": float("nan")},
        {"llama.rope.freq_base": "10000"},
        {"tokenizer.ggml.tokens": ["a"] * 2000, "tokenizer.ggml.eos_token_id": HUGE},
        {"x" * 60_000: "y" * 60_000, "llama." + "z" * 60_000: "\ue000" * 60_000},
    ],
)
def test_sizes_that_lie(tmp_path, lies):
    path = tmp_path / "x.gguf"
    tensors = [
        TensorToWrite("token_embd.weight", "F32", (300, 32), lambda: np.zeros((300, 32), np.float32)),
        TensorToWrite("rope_freqs.weight", "F32", (4,), lambda: np.array([1, np.nan, 3, np.inf], np.float32)),
    ]
    has_factors = "llama.rope.scaling.type" not in lies and "general.architecture" not in lies
    save(path, HONEST | lies, tensors[: 2 if has_factors else 1])
    tracemalloc.start()
    begin = time.process_time()
    try:
        with pytest.raises(DataError) as caught:
            open_model(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(str(caught.value)) < 1000
    assert str(path) in str(caught.value)
    # Names of 4,096 layers' tensors, and twice the header.
    assert peak < 30_000_000
    assert time.process_time() - begin < 5
