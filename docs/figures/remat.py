"""What a block keeps of a token, by ``--remat``."""

from __future__ import annotations

from drawing import INK, Axis, Figure, Plot, legend
from textmill.model.activation_bytes import saved_bytes_per_block
from textmill.model.presets import preset
from textmill.train.chart import COLOURS


def saved_bytes() -> Figure:
    """Kilobytes that a block of SmolLM2-135M holds of a token from forward to backward."""
    config = preset("smollm2-135m")
    figure = Figure("Bytes that a block saves for a token, by remat and type", 250)
    plot = Plot(
        figure, Axis(title="KB a token and layer", low=0, high=42), Axis(title="--remat", low=0, high=3), height=150
    )
    for row, remat in enumerate(("none", "llama", "full")):
        y = plot.top + row * 50
        figure.text(plot.left - 8, y + 24, remat, anchor="end")
        for place, dtype in enumerate(("f32", "bf16")):
            saved = saved_bytes_per_block(config, batch=1, context=1, dtype=dtype, remat=remat).activations / 1000
            right, _ = plot.place(saved, 0)
            figure.box(plot.left, y + place * 18, right - plot.left, 16, fill=COLOURS[place])
            figure.text(right + 6, y + place * 18 + 13, f"{saved:.1f}", size=12)
    bottom = plot.top + plot.height
    for value in plot.x.ticks():
        x, _ = plot.place(value, 0)
        figure.text(x, bottom + 18, plot.x.label(value), size=12, anchor="middle")
    figure.line([(plot.left, bottom), (plot.left + plot.width, bottom)], stroke=INK, width=1)
    figure.text(plot.left + plot.width, bottom + 38, plot.x.title, anchor="end")
    legend(figure, 600, 120, ((0, "f32"), (1, "bf16")))
    return figure
