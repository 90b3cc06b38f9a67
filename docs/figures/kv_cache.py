"""The KV cache: who reads which head, and how many bytes that is."""

from __future__ import annotations

import dataclasses

from drawing import INK, SOFT, Axis, Figure, Plot, legend
from textmill.model.flops import kv_cache_bytes_of
from textmill.model.presets import preset
from textmill.train.chart import COLOURS

# Key-value heads of SmolLM2-135M's 9 query heads: its own are 3.
_KINDS = ((9, "multi-head"), (3, "grouped-query"), (1, "multi-query"))
_COLOUR = {9: 1, 3: 0, 1: 2}


def cache_bytes() -> Figure:
    """Megabytes of a text's keys and values in bf16, for three ways to share heads; its weights beside them."""
    config = preset("smollm2-135m")
    figure = Figure("Bytes of the KV cache by the length of the text", 304)
    x = Axis(title="tokens of the text", low=0, high=config.max_position_embeddings, num_ticks=5)
    plot = Plot(figure, x, Axis(title="MB", low=0, high=600))
    plot.frame()
    plot.level(2 * config.num_parameters / 1e6, "269 MB: all weights in bf16")
    for heads, _ in _KINDS:
        shared = dataclasses.replace(config, num_key_value_heads=heads)
        ends = (0, config.max_position_embeddings)
        plot.curve(ends, [kv_cache_bytes_of(shared, n, "bf16") / 1e6 for n in ends], colour=_COLOUR[heads])
    legend(figure, 84, 54, [(_COLOUR[heads], f"{name}: {heads} key-value heads") for heads, name in _KINDS])
    return figure


def heads() -> Figure:
    """Which of nine query heads reads which key-value head."""
    config = preset("smollm2-135m")
    figure = Figure("Query heads and the key-value heads that they read", 190)
    for place, (num_shared, name) in enumerate(_KINDS):
        left = 30 + place * 235
        shared = dataclasses.replace(config, num_key_value_heads=num_shared)
        per_head = shared.queries_per_key_value_head
        figure.text(left + 90, 26, name, anchor="middle")
        for head in range(shared.num_attention_heads):
            x, group = left + head * 20 + 10, head // per_head
            centre = left + (group + 0.5) * per_head * 20
            figure.line([(x, 72), (centre, 118)], stroke=SOFT, width=1)
            figure.box(x - 7, 52, 14, 20, fill="#ffffff", stroke=INK)
        for group in range(num_shared):
            figure.box(left + (group + 0.5) * per_head * 20 - 7, 118, 14, 20, fill=COLOURS[_COLOUR[num_shared]])
        figure.text(left + 90, 176, f"{kv_cache_bytes_of(shared, 1, 'bf16'):,} bytes a token", anchor="middle", size=12)
    figure.text(28, 46, "queries", size=11, fill=SOFT)
    figure.text(28, 152, "keys, values", size=11, fill=SOFT)
    return figure
