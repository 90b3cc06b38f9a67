"""What GGUF calls the tensors of the LLaMA family, and in which order it keeps the rows that RoPE turns.

Hugging Face turns value i of a head with value i + head_dim / 2: its rows are halves. llama.cpp turns neighbours in
the architectures of ``INTERLEAVED``, so their files hold the rows of q and k (and their biases) in pairs:
row 2 i + s of a head is Hugging Face's row s * head_dim / 2 + i. This is the one place that knows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from textmill.model.config import ModelConfig

ARCHITECTURES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "smollm3": "smollm3"}
"""By ``model_type``."""
INTERLEAVED = frozenset({"llama", "smollm3"})
ROPE_FACTORS = "rope_freqs.weight"

_WHOLE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
_OF_LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_LAYERS = "model.layers."


def gguf_name(name: str) -> str:
    """Return what GGUF calls a tensor of ``ModelConfig.tensor_shapes``."""
    module, _, kind = name.rpartition(".")
    if module in _WHOLE:
        return f"{_WHOLE[module]}.{kind}"
    layer, _, part = module.removeprefix(_LAYERS).partition(".")
    return f"blk.{layer}.{_OF_LAYER[part]}.{kind}"


def row_order(name: str, config: ModelConfig, architecture: str) -> NDArray[np.int64] | None:
    """Return which row of the file is each of Hugging Face's rows, int64[out]; None where they are the same.

    Args:
        name: Hugging Face's of the tensor.
        config: of the model.
        architecture: GGUF's name of it.
    """
    module = name.rpartition(".")[0]
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(module.rpartition(".")[2])
    if heads is None or architecture not in INTERLEAVED:
        return None
    # [head, half, pair] of Hugging Face lies at [head, pair, half].
    places = np.arange(heads * config.head_dim, dtype=np.int64).reshape(heads, config.head_dim // 2, 2)
    return np.ascontiguousarray(places.swapaxes(1, 2)).reshape(-1)


def file_order(order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return which of Hugging Face's rows each row of the file is: the inverse of ``row_order``."""
    inverse = np.empty_like(order)
    inverse[order] = np.arange(len(order))
    return inverse
