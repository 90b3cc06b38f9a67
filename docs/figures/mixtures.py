"""Learning rates by step, and what a recipe's stages are made of."""

from __future__ import annotations

from drawing import INK, SOFT, Axis, Figure, Plot, legend
from textmill.base import units
from textmill.train.chart import COLOURS
from textmill.train.data_plan import plan_data
from textmill.train.recipe import load_recipe
from textmill.train.recipe_tables.steps import ScheduleTable
from textmill.train.schedule import learning_rate_factor

_KINDS = {
    "web": ("fineweb-edu", "dclm"),
    "code": ("starcoderdata", "stack-edu"),
    "math": ("openwebmath", "infimm-webmath", "finemath", "auggsm8k"),
    "synthetic": ("cosmopedia-v2",),
    "long documents": ("fineweb-edu-long", "dclm-long", "dolma-books"),
}


def schedules() -> Figure:
    """The share of the peak learning rate at each of 1,000 steps, of three schedules with 50 of warmup."""
    tables = {
        "wsd, linear decay": ScheduleTable(kind="wsd", warmup_steps=50, decay_fraction=0.2),
        "wsd, 1-sqrt decay": ScheduleTable(kind="wsd", warmup_steps=50, decay_fraction=0.2, decay="1-sqrt"),
        "cosine to a tenth": ScheduleTable(kind="cosine", warmup_steps=50),
    }
    figure = Figure("Learning rate by step for three schedules", 304)
    plot = Plot(figure, Axis(title="step", low=0, high=1000), Axis(title="share of the peak", low=0, high=1.05))
    plot.frame()
    steps = range(0, 1000, 5)
    for colour, table in enumerate(tables.values()):
        plot.curve(steps, [learning_rate_factor(table, step, 1000) for step in steps], colour=colour)
    legend(figure, 140, 180, list(enumerate(tables)))
    return figure


def stages() -> Figure:
    """What the stages of SmolLM2-1.7B are made of, and the learning rate above them."""
    recipe = load_recipe("smollm2-1.7b")
    plan = plan_data(recipe)
    figure = Figure("Learning rate and mixture by stage of SmolLM2-1.7B", 420)
    x = Axis(title="tokens", low=0, high=plan.num_tokens, num_ticks=6, label=units.count)
    rates = Plot(
        figure, x, Axis(title="learning rate", low=0, high=5.5e-4, num_ticks=3, label="{:g}".format), height=90
    )
    rates.frame()
    steps = [round(share * (plan.num_steps - 1) / 1000) for share in range(1001)]
    factors = [recipe.schedule.peak_lr * learning_rate_factor(recipe.schedule, step, plan.num_steps) for step in steps]
    rates.curve([step * plan.tokens_per_step for step in steps], factors, colour=1)
    shares = Plot(figure, x, Axis(title="share of the tokens", low=0, high=1, num_ticks=4), top=190, height=150)
    shares.frame()
    for stage in plan.stages:
        begin, end = (n * plan.tokens_per_step for n in (stage.first_step, stage.first_step + stage.num_steps))
        below = 0.0
        for colour, names in enumerate(_KINDS.values()):
            share = sum(source.weight for source in stage.sources if source.name in names)
            left, bottom = shares.place(begin, below)
            right, top = shares.place(end, below + share)
            figure.box(left, top, right - left, bottom - top, fill=COLOURS[colour])
            below += share
        left, _ = shares.place(begin, 1)
        figure.line([(left, shares.top), (left, shares.top + shares.height)], stroke="#ffffff", width=1.5)
        if stage.num_tokens > plan.num_tokens / 20:
            figure.text(left + 4, shares.top - 4, stage.name, size=11, fill=SOFT)
    for place, name in enumerate(_KINDS):
        figure.box(64 + place * 115, 396, 11, 11, fill=COLOURS[place])
        figure.text(81 + place * 115, 406, name, size=12, fill=INK)
    return figure
