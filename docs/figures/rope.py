"""RoPE: how long the waves are, and what is left of a dot product at a distance."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from drawing import Axis, Figure, Plot, legend
from textmill.model.config import ModelConfig
from textmill.model.presets import preset
from textmill.model.rope_scaling import rope_frequencies


def wavelengths() -> Figure:
    """Tokens of a whole turn, pair by pair, for the two bases of SmolLM2-135M and for Llama 3.1's scaling."""
    small, llama = preset("smollm2-135m"), preset("llama-3.1-8b")
    first = dataclasses.replace(small, rope_theta=10_000.0)
    figure = Figure("Wavelength of each pair of a head in tokens", 304)
    x = Axis(title="share of the head's pairs, fastest first", low=0, high=1, num_ticks=4)
    plot = Plot(figure, x, Axis(title="tokens for a turn", low=4, high=1e8, is_log=True))
    plot.frame()
    plot.level(small.max_position_embeddings, "8,192 tokens: SmolLM2's context")
    plain = dataclasses.replace(llama, rope_scaling=None)
    for colour, config, dash in ((0, small, ""), (4, first, ""), (2, llama, ""), (2, plain, "4 3")):
        waves = _wavelengths(config)
        plot.curve(np.arange(len(waves)) / (len(waves) - 1), waves, colour=colour, dash=dash)
    names = ((0, "SmolLM2-135M, base 100,000"), (4, "the same, base 10,000"), (2, "Llama 3.1 (dashed: unscaled)"))
    legend(figure, 84, 54, names)
    return figure


def dot_products() -> Figure:
    """The score of a vector of ones with itself at a distance, as a share of that at no distance."""
    config = preset("smollm2-135m")
    figure = Figure("Dot product of a query and an equal key by their distance", 304)
    x = Axis(title="distance in tokens", low=1, high=8192, is_log=True)
    plot = Plot(figure, x, Axis(title="share of the score at distance 0", low=-0.25, high=1))
    plot.frame()
    distances = np.unique(np.rint(np.geomspace(1, 8192, 300)))
    for colour, theta in ((4, 10_000.0), (0, 100_000.0)):
        frequencies, _ = rope_frequencies(dataclasses.replace(config, rope_theta=theta))
        scores = np.cos(np.outer(distances, frequencies.astype(np.float64))).mean(1)
        plot.curve(distances, scores, colour=colour)
    legend(figure, 470, 54, ((0, "base 100,000"), (4, "base 10,000")))
    return figure


def _wavelengths(config: ModelConfig) -> np.ndarray:
    return 2 * math.pi / rope_frequencies(config)[0].astype(np.float64)
