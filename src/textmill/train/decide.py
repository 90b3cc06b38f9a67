"""From a recipe to a plan: what the recipe leaves to the machine is measured on a model that is thrown away."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from textmill.base import units
from textmill.base.errors import ConfigError
from textmill.model.config import ModelConfig
from textmill.train.compiled import faster_step_s
from textmill.train.memory import UNTUNED, MemoryChoice, Tuned, choose_memory
from textmill.train.plan import Plan, TrainStage
from textmill.train.precision import Precision, peak_flops_per_s
from textmill.train.ranks import CPU, own_device
from textmill.train.recipe import Recipe
from textmill.train.spread import HERE, Spread
from textmill.train.stage_steps import rows_of, stage_steps
from textmill.train.timing import precisions, set_threads, step_time_s

Say = Callable[[str], None]


def make_plan(
    recipe: Recipe,
    config: ModelConfig,
    say: Say = lambda message: None,
    *,
    rope_theta: float = 10_000.0,
    spread: Spread = HERE,
    tuned: Tuned = UNTUNED,
    shapes_vary: bool = False,
) -> Plan:
    """Decide a run.

    Args:
        recipe: what is wanted.
        config: the model's sizes, as they are at the run's end.
        say: told each decision with its reason.
        rope_theta: RoPE's base of stages that name none.
        spread: the processes that train, and on what.
        tuned: what a run that tunes a model holds. Of one that learns adapters no step is timed: a whole model that
            learns may not fit where this run does.
        shapes_vary: whether rows are as long as a step's texts happen to be, so that no blocks are compiled.

    Raises:
        ConfigError: the run does not fit into memory, or budget and stages disagree.
    """
    set_threads(recipe)
    memory = choose_memory(recipe, config, say, spread=spread, tuned=tuned)
    times: dict[Precision, float] = {}
    candidates = precisions(recipe, spread)
    device = own_device() if spread.device == "cuda" else CPU
    if tuned.adapters is not None:
        precision = _precision_of_products(candidates, device, say)
    else:
        if len(candidates) > 1 or recipe.budget.minutes is not None or spread.device == "cuda":
            times = _times(recipe, config, memory, spread, say)
        precision = min(candidates, key=lambda name: times.get(name, 0.0))
    if len(times) > 1:
        other = "f32" if precision == "bf16" else "bf16"
        taken, longer = (units.seconds(times[name]) for name in (precision, other))
        say(f"precision {precision}: a step takes {taken}, and {longer} in {other}")
    step_s = times.get(precision)
    stages = _stages(recipe, rope_theta, memory, step_s)

    def time_compiled() -> tuple[float, float]:
        begin = time.perf_counter()
        taken_s = step_time_s(recipe, config, memory, precision, spread, compiled=True)
        return taken_s, time.perf_counter() - begin

    num_steps = sum(stage.num_steps for stage in stages)
    compiled_s = None if step_s is None or shapes_vary else faster_step_s(step_s, num_steps, device, time_compiled, say)
    if shapes_vary:
        # Each new length would be compiled anew, and differently after a resume, which has seen other lengths.
        say("blocks are not compiled: every step's rows have a length of their own")
    if compiled_s is not None:  # minutes are more steps so
        step_s, stages = compiled_s, _stages(recipe, rope_theta, memory, compiled_s)
    return Plan(
        model=config,
        stages=stages,
        precision=precision,
        remat=memory.remat,
        threads=torch.get_num_threads(),
        step_time_s=step_s,
        predicted_bytes=memory.predicted_bytes,
        predicted_host_bytes=memory.predicted_host_bytes,
        peak_flops_per_s=peak_flops_per_s(precision, device),
        compiled=compiled_s is not None,
        learned_parameters=None if tuned.adapters is None else tuned.adapters.num_parameters,
    )


def _precision_of_products(candidates: tuple[Precision, ...], device: torch.device, say: Say) -> Precision:
    """The precision in which products alone are faster; measured in milliseconds, and without the model."""
    if len(candidates) == 1:
        return candidates[0]
    rates = {name: peak_flops_per_s(name, device) for name in candidates}
    precision = max(candidates, key=lambda name: rates[name])
    other = min(candidates, key=lambda name: name == precision)
    say(
        f"precision {precision}: matrix products alone do {units.count(rates[precision])} FLOP/s, and "
        f"{units.count(rates[other])} in {other}; steps are not timed, for that takes a model of which all is learned"
    )
    return precision


def _times(
    recipe: Recipe, config: ModelConfig, memory: MemoryChoice, spread: Spread, say: Say
) -> dict[Precision, float]:
    """Seconds of a step in each precision; none where the whole model does not fit one of the GPUs that share it."""
    try:
        return {name: step_time_s(recipe, config, memory, name, spread) for name in precisions(recipe, spread)}
    except torch.OutOfMemoryError as error:
        reason = "the whole model does not fit one GPU, where steps are timed"
        if recipe.budget.minutes is not None or spread.num_holders == 1:
            raise ConfigError(f"{reason}: give the budget in steps or tokens, as in --set budget.steps=1000") from error
    torch.cuda.empty_cache()
    say(f"steps are not timed, nor blocks compiled: {reason}")
    return {}


def _stages(
    recipe: Recipe, rope_theta: float, memory: MemoryChoice, step_time_s: float | None
) -> tuple[TrainStage, ...]:
    stages: list[TrainStage] = []
    for index, (stage, num_steps) in enumerate(zip(recipe.stages, stage_steps(recipe, step_time_s), strict=True)):
        stages.append(
            TrainStage(
                name=stage.name,
                first_step=sum(done.num_steps for done in stages),
                num_steps=num_steps,
                context=stage.context,
                rows=rows_of(recipe, stage),
                micro_rows=memory.micro_rows[index],
                rope_theta=recipe.model.rope_theta or stage.rope_theta or rope_theta,
                mixture=recipe.mixture_of(stage),
            )
        )
    return tuple(stages)
