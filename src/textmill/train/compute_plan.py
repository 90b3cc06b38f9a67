"""How long a plan takes on GPUs: operations, divided by what a GPU does of its peak."""

from __future__ import annotations

from dataclasses import dataclass

from textmill.base.errors import ConfigError, did_you_mean
from textmill.model.machine import PEAK_FLOPS
from textmill.train.data_plan import DataPlan
from textmill.train.host_memory import GPUS_OF_A_HOST
from textmill.train.spread import Spread

# Between small models on many GPUs and large ones; LLaMA's 65B ran at 0.476 (arXiv:2302.13971 §2.4).
DEFAULT_MFU = 0.4


@dataclass(frozen=True, kw_only=True, slots=True)
class ComputePlan:
    """What a run takes.

    Attributes:
        gpu: the kind; ``num_gpus`` of them, or None where nobody says.
        peak_flops: of one GPU, bf16 operations a second.
        mfu: model FLOPs utilisation: 6 x parameters x tokens/s over the peak, attention left out.
        mfu_with_attention: the same speed with attention's operations counted.
        tokens_per_s: of one GPU.
        gpu_hours: of the run; ``stage_gpu_hours`` of each stage.
        gpus_of_a_host: how many share a host's memory: those of a board, or all where they are fewer.
        host_bytes: what each host keeps of the run, with the model shared out among all GPUs.
        days: of the run on ``num_gpus``; ``stage_days`` of each stage.
    """

    gpu: str
    num_gpus: int | None
    peak_flops: float
    mfu: float
    mfu_with_attention: float
    tokens_per_s: float
    gpu_hours: float
    stage_gpu_hours: tuple[float, ...]
    gpus_of_a_host: int | None
    host_bytes: int | None
    days: float | None
    stage_days: tuple[float, ...] | None


def plan_compute(
    plan: DataPlan, *, gpu: str = "a100", num_gpus: int | None = None, mfu: float = DEFAULT_MFU
) -> ComputePlan:
    """Reckon with GPUs that do ``mfu`` of their peak throughout.

    Raises:
        ConfigError: an unknown GPU, no GPU, or an ``mfu`` outside (0, 1].
    """
    if gpu not in PEAK_FLOPS:
        raise ConfigError(f'gpu "{gpu}" is unknown{did_you_mean(gpu, PEAK_FLOPS)} Known: {", ".join(PEAK_FLOPS)}')
    if num_gpus is not None and num_gpus < 1:
        raise ConfigError(f"gpus is {num_gpus}, and must be 1 or more")
    if not 0 < mfu <= 1:
        raise ConfigError(f"mfu is {mfu:g}, and must be above 0 and at most 1, as in 0.4")
    speed = PEAK_FLOPS[gpu] * mfu
    here = None if num_gpus is None else min(num_gpus, GPUS_OF_A_HOST)
    hours = tuple(stage.flops / speed / 3600 for stage in plan.stages)
    return ComputePlan(
        gpu=gpu,
        num_gpus=num_gpus,
        peak_flops=PEAK_FLOPS[gpu],
        mfu=mfu,
        mfu_with_attention=mfu * plan.flops_with_attention / plan.flops,
        tokens_per_s=speed / (6 * plan.num_parameters),
        gpu_hours=sum(hours),
        stage_gpu_hours=hours,
        gpus_of_a_host=here,
        host_bytes=None if num_gpus is None or here is None else plan.host_memory.of_host(_shared(num_gpus, here)),
        days=None if num_gpus is None else sum(hours) / num_gpus / 24,
        stage_days=None if num_gpus is None else tuple(h / num_gpus / 24 for h in hours),
    )


def _shared(num_gpus: int, here: int) -> Spread:
    return Spread(device="cuda", num_readers=num_gpus, num_holders=num_gpus, num_here=here)
