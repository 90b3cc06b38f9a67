"""A model's blocks in torch's own functions under plain autograd, to measure the recomputing functions against."""

from __future__ import annotations

import torch
from torch.nn import functional

from textmill.model.llama import Block, Llama


def plain_backbone(model: Llama, ids_BT: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Hidden states before the last norm, of rows that are one document each."""
    angles = _angles(model, ids_BT.shape[1])
    x_BTD = model.model.embed_tokens(ids_BT).to(dtype)
    for block in model.model.layers:
        assert isinstance(block, Block)
        x_BTD = _block(block, x_BTD, angles)
    return x_BTD


def _angles(model: Llama, num_tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
    by = model.model.rope.rotation(0, num_tokens, torch.device("cpu"))
    half = by.cos.shape[-1] // 2
    return by.cos[:, 0, half:], by.sin[:, 0, half:]


def _block(block: Block, x: torch.Tensor, angles: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    attention, mlp = block.self_attn, block.mlp
    n = _norm(x, block.input_layernorm)
    q, k, v = (_heads(layer(n), attention.head_dim) for layer in (attention.q_proj, attention.k_proj, attention.v_proj))
    o = functional.scaled_dot_product_attention(
        _turn(q, *angles), _turn(k, *angles), v, is_causal=True, enable_gqa=q.shape[1] != k.shape[1]
    )
    x = x + attention.o_proj(o.transpose(1, 2).flatten(2))
    n = _norm(x, block.post_attention_layernorm)
    return x + mlp.down_proj(functional.silu(mlp.gate_proj(n)) * mlp.up_proj(n))


def _norm(x: torch.Tensor, norm: torch.nn.Module) -> torch.Tensor:
    return functional.rms_norm(x.float(), norm.weight.shape, norm.weight, norm.eps).to(x.dtype)


def _heads(x: torch.Tensor, head_dim: int) -> torch.Tensor:
    return x.unflatten(-1, (-1, head_dim)).transpose(1, 2)


def _turn(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    first, second = x.float().chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1).to(x.dtype)
