"""Weights of a block in four bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import textmill.studio.example
from drawing import SOFT, Axis, Figure, Plot, legend
from textmill.base.gguf_blocks import dequantize, quantize
from textmill.checkpoint.gguf_model import open_gguf
from textmill.studio.attention import StoredWeights
from textmill.train.chart import COLOURS

_TENSOR = "model.layers.1.mlp.up_proj.weight"
_BLOCK = 32
_LEVEL = "#f0d69a"


def four_bits() -> Figure:
    """The first 32 weights of a row of the studio's small model, and what Q4_0 makes of them."""
    stored = open_gguf(Path(textmill.studio.example.__file__).parent / "model.gguf")
    row = dict(StoredWeights(stored).items())[_TENSOR][0, :_BLOCK].astype(np.float32)
    kept = dequantize("Q4_0", quantize("Q4_0", row[None]).tobytes(), (1, _BLOCK))[0]
    step = float(np.diff(np.unique(kept)).min())
    most = float(np.abs(row).max()) * 1.15
    figure = Figure("32 weights of a row, and the sixteen values that four bits have for them", 304)
    plot = Plot(
        figure,
        Axis(title="column", low=-0.5, high=_BLOCK - 0.5, num_ticks=9),
        Axis(title="weight", low=-most, high=most),
    )
    plot.frame()
    top = float(kept[np.argmax(np.abs(kept))])
    for level in range(16):
        value = (level - 8) * abs(top) / 8 * (-1 if top > 0 else 1)
        figure.line([plot.place(-0.5, value), plot.place(_BLOCK - 0.5, value)], stroke=_LEVEL, width=1)
    for column, (weight, rounded) in enumerate(zip(row.tolist(), kept.tolist(), strict=True)):
        figure.line([plot.place(column, weight), plot.place(column, rounded)], stroke=SOFT, width=1)
        for value, size, colour in ((rounded, 10, COLOURS[4]), (weight, 6, COLOURS[0])):
            x, y = plot.place(column, value)
            figure.box(x - size / 2, y - size / 2, size, size, fill=colour)
    legend(figure, 470, 22, [(0, "weight"), (4, f"in four bits, steps of {step:.3f}")], step=16)
    return figure
