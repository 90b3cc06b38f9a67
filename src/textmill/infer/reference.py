"""The forward pass in plain numpy: the oracle of the tests, and the whole of LLaMA and its family on a page.

T tokens, D width, H query heads, K key-value heads, Q head size, F feed-forward, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from textmill.model.config import ModelConfig
from textmill.model.rope_scaling import rope_frequencies

Weights: TypeAlias = Mapping[str, np.ndarray]
Look: TypeAlias = Callable[[np.ndarray, np.ndarray, np.ndarray], object]


def with_adapter(tensors: Weights, factors: Mapping[str, tuple[np.ndarray, np.ndarray]], scale: float) -> Weights:
    """The same weights with factors A [R, I] and B [O, R] beside matrices [O, I], which are named (``....weight``).

    A product ``x W^T`` becomes ``x W^T + scale * (x A^T) B^T`` (LoRA, arXiv:2106.09685 §4.1).
    """
    beside = {}
    for name, (a_RI, b_OR) in factors.items():
        stem, dtype = name.removesuffix(".weight"), tensors[name].dtype
        beside[f"{stem}.lora_A"], beside[f"{stem}.lora_B"] = a_RI.astype(dtype), (scale * b_OR).astype(dtype)
    return {**tensors, **beside}


def logits_of(config: ModelConfig, tensors: Weights, ids_T: Sequence[int]) -> np.ndarray:
    """Logits [T, V] of the token after each of ``ids_T``, in the dtype of the tensors (Hugging Face names)."""
    return states_of(config, tensors, ids_T) @ head_of(config, tensors).T


def states_of(config: ModelConfig, tensors: Weights, ids_T: Sequence[int]) -> np.ndarray:
    """States [T, D] of the last layer, normed."""
    x_TD = tensors["model.embed_tokens.weight"][np.asarray(ids_T)]
    for layer in range(config.num_hidden_layers):
        x_TD = block(config, layer, layer_weights(tensors, layer), x_TD, ids_T)
    return rms_norm(x_TD, tensors["model.norm.weight"], config.rms_norm_eps)


def head_of(config: ModelConfig, tensors: Weights) -> np.ndarray:
    """The matrix [V, D] that makes logits of normed states: the input table, where it is tied to that."""
    return tensors["model.embed_tokens.weight" if config.tie_word_embeddings else "lm_head.weight"]


def layer_weights(tensors: Weights, layer: int) -> Weights:
    """The tensors of one layer, without the prefix that numbers it."""
    prefix = f"model.layers.{layer}."
    return {name[len(prefix) :]: tensors[name] for name in tensors if name.startswith(prefix)}


def block(
    config: ModelConfig,
    layer: int,
    weights: Weights,
    x_TD: np.ndarray,
    ids_T: Sequence[int],
    *,
    look: Look | None = None,
) -> np.ndarray:
    """One layer; ``look`` is shown how its heads attend."""
    normed_TD = rms_norm(x_TD, weights["input_layernorm.weight"], config.rms_norm_eps)
    x_TD = x_TD + attention(config, layer, weights, normed_TD, ids_T, look=look)
    normed_TD = rms_norm(x_TD, weights["post_attention_layernorm.weight"], config.rms_norm_eps)
    return x_TD + feed_forward(weights, normed_TD)


def rms_norm(x_TD: np.ndarray, weight_D: np.ndarray, eps: float) -> np.ndarray:
    """Scale the last axis to unit root mean square, then each value by its weight (arXiv:1910.07467)."""
    return x_TD / np.sqrt(np.mean(x_TD**2, axis=-1, keepdims=True) + eps).astype(x_TD.dtype) * weight_D


def linear(weights: Weights, name: str, x_TD: np.ndarray) -> np.ndarray:
    """Multiply by a matrix [out, in], and add an adapter's product and a bias [out] where there are."""
    product_TX = x_TD @ weights[f"{name}.weight"].T
    if f"{name}.lora_A" in weights:
        product_TX = product_TX + (x_TD @ weights[f"{name}.lora_A"].T) @ weights[f"{name}.lora_B"].T
    return product_TX + weights[f"{name}.bias"] if f"{name}.bias" in weights else product_TX


def attention(
    config: ModelConfig,
    layer: int,
    weights: Weights,
    x_TD: np.ndarray,
    ids_T: Sequence[int],
    *,
    look: Look | None = None,
) -> np.ndarray:
    """Each token gathers values of the tokens that it sees, weighted by how its query meets their keys.

    Query head h reads key-value head h // (H / K) (arXiv:2305.13245). ``look(map_HTT, k_KTQ, v_KTQ)`` is shown what
    each query (row) gives each key (column), and the keys and values that a cache would keep.
    """
    q_TX, k_TX, v_TX = (linear(weights, f"self_attn.{name}_proj", x_TD) for name in "qkv")
    if config.embeds_values(layer):
        v_TX = v_TX + weights["self_attn.value_embeddings.weight"][np.asarray(ids_T)]
    q_HTQ, k_KTQ, v_KTQ = (split_heads(x_TX, config.head_dim) for x_TX in (q_TX, k_TX, v_TX))
    if config.qk_norm:
        q_HTQ = rms_norm(q_HTQ, weights["self_attn.q_norm.weight"], config.rms_norm_eps)
        k_KTQ = rms_norm(k_KTQ, weights["self_attn.k_norm.weight"], config.rms_norm_eps)
    if config.rotates(layer):
        q_HTQ, k_KTQ = rotate(config, q_HTQ), rotate(config, k_KTQ)
    seen_TT = seen(len(x_TD), config.window_of(layer))
    maps, heads = [], []
    for number, q_TQ in enumerate(q_HTQ):
        shared = number // config.queries_per_key_value_head
        scores_TT = q_TQ @ k_KTQ[shared].T / np.sqrt(config.head_dim).astype(x_TD.dtype)
        maps.append(softmax(np.where(seen_TT, scores_TT, -np.inf)))
        heads.append(maps[-1] @ v_KTQ[shared])
    if look is not None:
        look(np.stack(maps), k_KTQ, v_KTQ)
    return linear(weights, "self_attn.o_proj", np.concatenate(heads, axis=-1))


def split_heads(x_TX: np.ndarray, head_dim: int) -> np.ndarray:
    """Cut the last axis into heads: [T, heads * Q] to [heads, T, Q]."""
    return x_TX.reshape(len(x_TX), -1, head_dim).swapaxes(0, 1)


def seen(num_tokens: int, window: int | None) -> np.ndarray:
    """Which tokens (columns) each token (row) sees: itself, and those before it that are less than ``window`` away."""
    back_TT = np.subtract.outer(np.arange(num_tokens), np.arange(num_tokens))
    return (back_TT >= 0) & (back_TT < (num_tokens if window is None else window))


def rotate(config: ModelConfig, x_HTQ: np.ndarray) -> np.ndarray:
    """Turn the pair (i, i + Q/2) of the token at position t by the angle t * frequency i (arXiv:2104.09864).

    Frequency i is theta^(-2i/Q), where RoPE is not scaled.
    """
    frequencies, factor = rope_frequencies(config)
    angles = np.outer(np.arange(x_HTQ.shape[1]), frequencies.astype(np.float64))
    cos, sin = (factor * np.cos(angles)).astype(x_HTQ.dtype), (factor * np.sin(angles)).astype(x_HTQ.dtype)
    first, second = np.split(x_HTQ, 2, axis=-1)
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def feed_forward(weights: Weights, x_TD: np.ndarray) -> np.ndarray:
    """SwiGLU: one product gates the other (arXiv:2002.05202)."""
    gate_TF = linear(weights, "mlp.gate_proj", x_TD)
    up_TF = linear(weights, "mlp.up_proj", x_TD)
    return linear(weights, "mlp.down_proj", gate_TF / (1 + np.exp(-gate_TF)) * up_TF)


def softmax(x_TT: np.ndarray) -> np.ndarray:
    """Positive numbers that sum to 1 in each row."""
    powers = np.exp(x_TT - x_TT.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)
