"""A model whose layers have adapters, without what a run of tuning needs."""

import math

import torch

from textmill.model.activation_bytes import AdapterSizes
from textmill.model.adapted import Adapter, KeyedDropout
from textmill.model.linear import Linear

ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def adapt(model, *, rank=3, targets=ALL, dropout=0.0, dtype=torch.float32):
    """Freeze a model, and give its layers adapters with random factors; returns it, its dropout and their sizes."""
    drops = KeyedDropout(dropout, seed=5)
    generator = torch.Generator().manual_seed(3)
    ranks, inputs = [0] * len(model.model.layers), [0] * len(model.model.layers)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
        parameter.data = parameter.data.to(dtype if parameter.ndim == 2 else torch.float32)
    for name, layer in list(model.named_modules()):
        if isinstance(layer, Linear) and name.endswith(targets) and ".layers." in f".{name}":
            num_out, num_in = layer.weight.shape
            layer.adapter = Adapter(num_in, num_out, rank=rank, scale=1.5, dropout=drops, name=name)
            with torch.no_grad():
                for factor in layer.adapter.parameters():
                    factor.copy_(torch.randn(factor.shape, generator=generator) / math.sqrt(num_in))
            number = int(name.removeprefix("model.layers.").partition(".")[0])
            ranks[number] += rank
            inputs[number] += num_in if dropout else 0
    drops.watch(model.model)
    learned = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return model, drops, AdapterSizes(num_parameters=learned, ranks=tuple(ranks), num_masked=tuple(inputs))
