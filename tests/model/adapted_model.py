"""A model whose layers have adapters, without what a run of tuning needs."""

import math

import torch

from textmill.model.activation_bytes import AdapterSizes
from textmill.model.adapted import Adapter, KeyedDropout
from textmill.model.linear import Linear

ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def adapt(model, *, rank=3, targets=ALL, dropout=0.0, dtype=torch.float32, dora=False):
    """Freeze a model, and give its layers adapters with random factors; returns it, its dropout and their sizes."""
    drops = KeyedDropout(dropout, seed=5)
    generator = torch.Generator().manual_seed(3)
    adapted = []
    if "lm_head" in targets:
        model.head_layer()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
        parameter.data = parameter.data.to(dtype if parameter.ndim == 2 else torch.float32)
    for name, layer in list(model.named_modules()):
        if isinstance(layer, Linear) and name.endswith(targets):
            num_out, num_in = layer.weight.shape
            layer.adapter = Adapter(num_in, num_out, rank=rank, scale=1.5, dropout=drops, name=name, dora=dora)
            with torch.no_grad():
                for part in layer.adapter.parameters():
                    part.copy_(torch.randn(part.shape, generator=generator) / math.sqrt(num_in))
            adapted.append(name)
    drops.watch(model.model)
    sizes = AdapterSizes.of(model.config, adapted, rank=rank, drops=dropout > 0, dora=dora)
    assert sizes.num_parameters == sum(p.numel() for p in model.parameters() if p.requires_grad)
    return model, drops, sizes
