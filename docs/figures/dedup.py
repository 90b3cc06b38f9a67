"""How likely MinHash finds two texts that are so alike, and how many planted pairs it did find."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from drawing import INK, Axis, Figure, Plot
from textmill.text.dedup.recall import measure_recall
from textmill.text.dedup.settings import MinHashSettings
from textmill.text.text_batch import TextBatch
from textmill.train.chart import COLOURS

_INDICES = (0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
# The same 112 permutations, cut into bands of other lengths; colour, name and its place.
_BANDS = (
    (28, 4, 1, "28 bands of 4", (0.47, 0.82)),
    (14, 8, 0, "14 bands of 8, as FineWeb", (0.71, 0.68)),
    (7, 16, 2, "7 bands of 16", (0.852, 0.44)),
)


def found() -> Figure:
    """The chance of a common key by Jaccard index, for three ways to cut bands; dots are planted pairs."""
    figure = Figure("Share of pairs that are found, by their Jaccard index", 304)
    plot = Plot(
        figure,
        Axis(title="Jaccard index of the pair", low=0.3, high=1, num_ticks=7, label="{:.1f}".format),
        Axis(title="share that is found", low=0, high=1.02),
    )
    plot.frame()
    xs = [0.3 + 0.7 * step / 200 for step in range(201)]
    for bands, rows, colour, name, place in _BANDS:
        plot.curve(xs, [1 - (1 - x**rows) ** bands for x in xs], colour=colour)
        x, y = plot.place(*place)
        figure.text(x, y, name, size=12, anchor="end", fill=COLOURS[colour])
    least = MinHashSettings().min_jaccard
    figure.line([plot.place(least, 0), plot.place(least, 1)], stroke=INK, width=1, dash="4 3")
    x, y = plot.place(least, 0.04)
    figure.text(x + 6, y, f"min_jaccard = {least:g}", size=12)
    for index, share in _measured():
        x, y = plot.place(index, share)
        figure.box(x - 3.5, y - 3.5, 7, 7, fill=COLOURS[0], stroke="#ffffff")
    return figure


def _measured() -> list[tuple[float, float]]:
    """Of pairs without a least index: their mean index, and the share that was found."""
    rng = random.Random(1)
    words = [f"{first}{second}" for first in "bdfgklmnprst" for second in ("al", "ev", "in", "or", "um")]
    texts = TextBatch.of([" ".join(rng.choice(words) for _ in range(300)) for _ in range(200)])
    with tempfile.TemporaryDirectory() as folder:
        points = measure_recall(texts, MinHashSettings(min_jaccard=0.01), folder=Path(folder), jaccards=_INDICES)
    return [(point.jaccard, point.found / point.planted) for point in points]
