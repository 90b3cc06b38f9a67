"""``textmill data plan``: what a recipe reads and costs, before anything runs."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from textmill.base import units
from textmill.cli.arguments import WholeNumber, program
from textmill.cli.output import Output, for_terminal

if TYPE_CHECKING:
    from textmill.train.compute_plan import ComputePlan
    from textmill.train.data_plan import DataPlan, SourcePlan, StagePlan

_NAME_WIDTH = 15
_WRAP = 78


def plan(
    recipe: str,
    /,
    *,
    gpus: WholeNumber | None = None,
    gpu: Literal["a100", "h100", "h200"] = "a100",
    mfu: float = 0.4,
    set_: Annotated[list[str] | None, Parameter(name="--set", negative="")] = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Plan a recipe: steps, tokens and epochs of each source by stage, learning rates, FLOPs, GPU-hours, days.

    For example:
        textmill data plan llama-65b --gpus 2048 --mfu 0.476
        textmill data plan smollm2-1.7b --gpus 256 --gpu h100 --mfu 0.3
        textmill data plan tiny --set budget.steps=500
        textmill data plan mine.toml --set model.params=30M
        textmill data plan mine.toml --json

    Nothing is read but the manifests of shards. A source needs no data yet: data.sources.NAME.tokens says how many
    unique tokens it will have. Weights of a stage that do not sum to 1, and sources that are read more than 5 times
    (data.sources.NAME.max_epochs), are refused.

    Parameters
    ----------
    recipe
        A TOML file, a run folder (its recipe again), or the name of a recipe that comes along: llama-7b, smollm2-1.7b,
        tinyllama-1.1b, ...
    gpus
        GPUs that train at once; without it, GPU-hours are told and days are not.
    gpu
        Their kind. Peaks are 312 TFLOP/s for a100 and 989 for h100 and h200 (bf16, dense).
    mfu
        The part of the peak that is reached, by the count of 6 x parameters operations a token, which leaves attention
        out. By matrix products and attention it is told beside.
    set_
        Change a key of the recipe, as in table.key=value; may be given several times.
    json
        Print everything as JSON.
    """
    from textmill.base.config import to_table
    from textmill.train.compute_plan import plan_compute
    from textmill.train.data_plan import plan_data
    from textmill.train.recipe import load_recipe

    output = Output()
    loaded = load_recipe(recipe, set_ or [])
    planned = plan_data(loaded)
    compute = plan_compute(planned, gpu=gpu, num_gpus=gpus, mfu=mfu)
    if json:
        output.json(to_table(planned) | {"compute": to_table(compute)})
        return 0
    for line in _lines(recipe, planned, compute):
        output.data(for_terminal(line))
    for warning in planned.warnings:
        output.warning(warning)
    without_path = [name for name, source in loaded.data.sources.items() if source.path is None]
    if without_path:
        output.say(f"to train, give {', '.join(without_path)} a path: --set data.sources.{without_path[0]}.path=FOLDER")
    else:
        output.hint(f"next: {program()} train {quote(recipe)}")
    return 0


def _lines(name: str, planned: DataPlan, compute: ComputePlan) -> Iterator[str]:
    yield (
        f"{name}: {units.count(planned.num_parameters)} parameters, {units.count(planned.num_tokens)} tokens, "
        f"{planned.num_steps:,} steps of {units.count(planned.tokens_per_step)} tokens"
    )
    for number, stage in enumerate(planned.stages):
        yield ""
        yield from _stage_lines(planned, compute, number, stage)
    yield ""
    yield from _compute_lines(planned, compute)
    if planned.derived:
        yield ""
        yield "derived"
        for value in planned.derived:
            yield from _indented(str(value))


def _stage_lines(planned: DataPlan, compute: ComputePlan, number: int, stage: StagePlan) -> Iterator[str]:
    several = len(planned.stages) > 1
    yield f"stage {number + 1} of {len(planned.stages)}: {stage.name}" if several else f"stage: {stage.name}"
    yield _fact(
        "length",
        f"{units.count(stage.num_tokens)} tokens, {stage.num_steps:,} steps"
        + (f" from step {stage.first_step:,}" if several else ""),
    )
    yield _fact("rows", f"{stage.rows:,} a step, of {stage.context:,} tokens; RoPE base {stage.rope_theta:,.0f}")
    yield _fact("learning rate", f"{stage.first_lr:.3g} at its first step, {stage.last_lr:.3g} at its last")
    if several:
        yield _fact("compute", f"{_flop(stage.flops)}, {_time(compute, number)}")
    if stage.note:
        yield from _wrapped("note", stage.note)
    yield ""
    width = max(_NAME_WIDTH, *(len(source.name) + 2 for source in stage.sources))
    yield f"  {'source':<{width}}{'weight':>9}{'tokens':>9}{'unique':>9}{'epochs':>9}{'so far':>9}"
    for source in stage.sources:
        yield f"  {source.name:<{width}}{_source_cells(source)}"


def _source_cells(source: SourcePlan) -> str:
    unique = "?" if source.unique_tokens is None else units.count(source.unique_tokens)
    epochs, so_far = ("?" if e is None else f"{e:.2f}" for e in (source.epochs, source.epochs_so_far))
    weight = f"{100 * source.weight:.4g} %"
    return f"{weight:>9}{units.count(source.num_tokens):>9}{unique:>9}{epochs:>9}{so_far:>9}"


def _compute_lines(planned: DataPlan, compute: ComputePlan) -> Iterator[str]:
    yield _fact("compute", f"{_flop(planned.flops)} by 6 x parameters a token,")
    yield _fact("", f"{_flop(planned.flops_with_attention)} by matrix products and attention")
    yield _fact("GPU-hours", f"{_hours(compute.gpu_hours)} on {compute.gpu.upper()}")
    if compute.days is not None:
        yield _fact("days", f"{compute.days:.3g} on {compute.num_gpus:,} GPUs")
    if compute.host_bytes is not None:
        yield _fact(
            "host memory",
            f"{units.num_bytes(compute.host_bytes)} on a host of {compute.gpus_of_a_host} "
            f"{units.plural(compute.gpus_of_a_host or 0, 'GPU')}, beside theirs",
        )
    yield _fact("speed", f"{compute.tokens_per_s:,.0f} tokens/s a GPU")
    peak, by_first, by_second = compute.peak_flops / 1e12, 100 * compute.mfu, 100 * compute.mfu_with_attention
    yield _fact("MFU", f"{by_first:.3g} % of {peak:.0f} TFLOP/s by the first count, {by_second:.3g} % by the second")


def _fact(name: str, value: str) -> str:
    return f"  {name:<{_NAME_WIDTH}}{value}"


def _indented(text: str) -> Iterator[str]:
    import textwrap

    yield from textwrap.wrap(text, _WRAP, initial_indent="  ", subsequent_indent="    ")


def _wrapped(name: str, text: str) -> Iterator[str]:
    import textwrap

    for index, line in enumerate(textwrap.wrap(text, _WRAP - _NAME_WIDTH - 2)):
        yield _fact("" if index else name, line)


def _time(compute: ComputePlan, number: int) -> str:
    hours = f"{_hours(compute.stage_gpu_hours[number])} GPU-hours"
    return hours if compute.stage_days is None else f"{hours}, {compute.stage_days[number]:.3g} days"


def _hours(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.2g}"


def _flop(flops: float) -> str:
    return f"{flops:.3g} FLOP".replace("e+", "e")
