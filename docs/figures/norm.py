"""RMSNorm in a small model: how large rows are that come in, and that they leave alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

import textmill.studio.example
from drawing import Axis, Figure, Plot, legend
from textmill.checkpoint.gguf_model import open_gguf
from textmill.infer.reference import attention, feed_forward, layer_weights, rms_norm
from textmill.studio.attention import StoredWeights

TEXT = "def read(self, path):\n    with open(path) as file:\n        return file."


def rows() -> Figure:
    """The root mean square of each token's row before each norm of the studio's small model."""
    sizes = list(_sizes_before_norms())
    figure = Figure("Root mean square of rows before each norm", 304)
    x = Axis(title="norm, two a layer and the last", low=0.5, high=len(sizes) + 0.5, num_ticks=9)
    y = Axis(title="root mean square of a row", low=0.01, high=100, is_log=True)
    plot = Plot(figure, x, y)
    plot.frame()
    plot.level(1.0, "every row, once it is divided", share=0.6)
    for token in range(len(sizes[0])):
        plot.curve(range(1, len(sizes) + 1), [size[token] for size in sizes], colour=5)
    medians = [float(np.median(size)) for size in sizes]
    plot.curve(range(1, len(sizes) + 1), medians, colour=0)
    legend(figure, 470, 54, ((0, "median of the tokens"), (5, "each token")))
    return figure


def _sizes_before_norms() -> Iterator[np.ndarray]:
    """Root mean squares [T] of what each norm takes, in f64."""
    stored = open_gguf(Path(textmill.studio.example.__file__).parent / "model.gguf")
    config = stored.config
    weights = {name: values.astype(np.float64) for name, values in StoredWeights(stored).items()}
    ids = stored.load_tokenizer().encode(TEXT)
    x_TD = weights["model.embed_tokens.weight"][ids]
    for number in range(config.num_hidden_layers):
        layer = layer_weights(weights, number)
        yield _size(x_TD)
        normed = rms_norm(x_TD, layer["input_layernorm.weight"], config.rms_norm_eps)
        x_TD = x_TD + attention(config, number, layer, normed, ids)
        yield _size(x_TD)
        normed = rms_norm(x_TD, layer["post_attention_layernorm.weight"], config.rms_norm_eps)
        x_TD = x_TD + feed_forward(layer, normed)
    yield _size(x_TD)


def _size(x_TD: np.ndarray) -> np.ndarray:
    return np.sqrt(np.mean(x_TD**2, axis=-1))
