"""The forward pass in plain numpy: the oracle of the tests, and the whole of LLaMA on a page.

T tokens, D width, H query heads, K key-value heads, Q head size, F feed-forward, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from textmill.model.config import ModelConfig


def logits_of(config: ModelConfig, tensors: Mapping[str, np.ndarray], ids_T: Sequence[int]) -> np.ndarray:
    """Logits [T, V] of the token after each of ``ids_T``, in the dtype of the tensors (Hugging Face names)."""
    table_VD = tensors["model.embed_tokens.weight"]
    x_TD = table_VD[np.asarray(ids_T)]
    for layer in range(config.num_hidden_layers):
        prefix = f"model.layers.{layer}."
        weights = {name[len(prefix) : -len(".weight")]: t for name, t in tensors.items() if name.startswith(prefix)}
        x_TD = x_TD + attention(config, weights, rms_norm(x_TD, weights["input_layernorm"], config.rms_norm_eps))
        x_TD = x_TD + feed_forward(weights, rms_norm(x_TD, weights["post_attention_layernorm"], config.rms_norm_eps))
    x_TD = rms_norm(x_TD, tensors["model.norm.weight"], config.rms_norm_eps)
    return x_TD @ (table_VD if config.tie_word_embeddings else tensors["lm_head.weight"]).T


def rms_norm(x_TD: np.ndarray, weight_D: np.ndarray, eps: float) -> np.ndarray:
    """Scale each token to unit root mean square, then each value by its weight (arXiv:1910.07467)."""
    return x_TD / np.sqrt(np.mean(x_TD**2, axis=-1, keepdims=True) + eps).astype(x_TD.dtype) * weight_D


def attention(config: ModelConfig, weights: Mapping[str, np.ndarray], x_TD: np.ndarray) -> np.ndarray:
    """Each token gathers values of itself and the tokens before it, weighted by how its query meets their keys.

    Query head h reads key-value head h // (H / K) (arXiv:2305.13245).
    """
    num_tokens = len(x_TD)
    q_HTQ = rotate(split_heads(x_TD @ weights["self_attn.q_proj"].T, config.head_dim), config.rope_theta)
    k_KTQ = rotate(split_heads(x_TD @ weights["self_attn.k_proj"].T, config.head_dim), config.rope_theta)
    v_KTQ = split_heads(x_TD @ weights["self_attn.v_proj"].T, config.head_dim)
    future_TT = np.triu(np.ones((num_tokens, num_tokens), dtype=bool), k=1)
    heads = []
    for head, q_TQ in enumerate(q_HTQ):
        shared = head // config.queries_per_key_value_head
        scores_TT = q_TQ @ k_KTQ[shared].T / np.sqrt(config.head_dim).astype(x_TD.dtype)
        heads.append(softmax(np.where(future_TT, -np.inf, scores_TT)) @ v_KTQ[shared])
    return np.concatenate(heads, axis=-1) @ weights["self_attn.o_proj"].T


def split_heads(x_TX: np.ndarray, head_dim: int) -> np.ndarray:
    """Cut the last axis into heads: [T, heads * Q] to [heads, T, Q]."""
    return x_TX.reshape(len(x_TX), -1, head_dim).swapaxes(0, 1)


def rotate(x_HTQ: np.ndarray, theta: float) -> np.ndarray:
    """Turn the pair (i, i + Q/2) of the token at position t by the angle t * theta^(-2i/Q) (arXiv:2104.09864)."""
    num_tokens, head_dim = x_HTQ.shape[1:]
    frequencies = theta ** (-np.arange(0, head_dim, 2) / head_dim)
    angles = np.outer(np.arange(num_tokens), frequencies)
    cos, sin = np.cos(angles).astype(x_HTQ.dtype), np.sin(angles).astype(x_HTQ.dtype)
    first, second = np.split(x_HTQ, 2, axis=-1)
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def feed_forward(weights: Mapping[str, np.ndarray], x_TD: np.ndarray) -> np.ndarray:
    """SwiGLU: one product gates the other (arXiv:2002.05202)."""
    gate_TF = x_TD @ weights["mlp.gate_proj"].T
    up_TF = x_TD @ weights["mlp.up_proj"].T
    return (gate_TF / (1 + np.exp(-gate_TF)) * up_TF) @ weights["mlp.down_proj"].T


def softmax(x_TT: np.ndarray) -> np.ndarray:
    """Positive numbers that sum to 1 in each row."""
    powers = np.exp(x_TT - x_TT.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)
