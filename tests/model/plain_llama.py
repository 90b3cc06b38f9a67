"""The family in torch's own functions and autograd, as a reader would write it, to compare with."""

import torch
from torch.nn import functional


def plain_backbone(model, ids_BT, numbers_BT=None):
    """Hidden states of rows of documents, by a mask; their numbers never fall in a row."""
    config = model.config
    numbers_BT = torch.zeros_like(ids_BT) if numbers_BT is None else numbers_BT
    x = model.model.embed_tokens(ids_BT)
    for index, block in enumerate(model.model.layers):
        x = _block(config, index, block, x, ids_BT=ids_BT, numbers_BT=numbers_BT, rope=model.model.rope)
    return _norm(x, model.model.norm.weight, config.rms_norm_eps)


def _block(config, index, block, x, *, ids_BT, numbers_BT, rope):
    attention, mlp = block.self_attn, block.mlp
    n = _norm(x, block.input_layernorm.weight, config.rms_norm_eps)
    q, k, v = (_heads(_product(n, part), config) for part in (attention.q_proj, attention.k_proj, attention.v_proj))
    if config.value_embeddings and (config.num_hidden_layers - index) % 2 == 1:
        v = v + _heads(attention.value_embeddings.weight[ids_BT], config)
    if config.qk_norm:
        q = _norm(q, attention.q_norm.weight, config.rms_norm_eps)
        k = _norm(k, attention.k_norm.weight, config.rms_norm_eps)
    if config.rotates(index):
        q, k = _turn(q, rope), _turn(k, rope)
    k, v = (x.repeat_interleave(config.queries_per_key_value_head, dim=1) for x in (k, v))
    scores = (q @ k.mT / config.head_dim**0.5).masked_fill(~_mask(numbers_BT, config.window_of(index)), -torch.inf)
    o = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
    x = x + _product(o, attention.o_proj)
    n = _norm(x, block.post_attention_layernorm.weight, config.rms_norm_eps)
    return x + _product(functional.silu(_product(n, mlp.gate_proj)) * _product(n, mlp.up_proj), mlp.down_proj)


def _norm(x, weight, eps):
    return x * (x.square().mean(-1, keepdim=True) + eps).rsqrt() * weight


def _product(x, layer):
    return functional.linear(x, layer.weight, layer.bias)


def _heads(x, config):
    return x.unflatten(-1, (-1, config.head_dim)).transpose(1, 2)


def _turn(x, rope):
    """The same angles in f32; whole rows are turned by their place in the row, which is the same to attention."""
    half = x.shape[-1] // 2
    positions = torch.arange(x.shape[2], dtype=torch.float32)
    angles = torch.outer(positions, rope._frequencies(torch.device("cpu")))
    cos, sin = angles.cos() * rope.factor, angles.sin() * rope.factor
    first, second = x[..., :half], x[..., half:]
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


def _mask(numbers_BT, window):
    positions = torch.arange(numbers_BT.shape[1])
    mask = positions <= positions[:, None]
    if window is not None:
        mask = mask & (positions > positions[:, None] - window)
    return mask & (numbers_BT[:, None, :, None] == numbers_BT[:, None, None, :])
