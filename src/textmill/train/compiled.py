"""Blocks compiled by ``torch.compile``, where a measured probe says that it pays.

Compiling takes from seconds to minutes before the first step, is slower than eager code for some models on a CPU, and
needs a compiler. So short runs do without; for long ones steps are timed both ways on a model that is thrown away, with
what that took. The compiler keeps what it made on the disk, so a run's own start is quicker than the probe.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator

import torch

from textmill.base import units
from textmill.model.llama import Llama

Say = Callable[[str], None]
# A run that ends sooner has ended before compiling would have paid; a compiler for GPUs is quicker, and gains more.
_WORTH_S = {"cpu": 1800.0, "cuda": 300.0}
# Beyond so many kinds of block and batch of a process the compiler leaves new ones as they are written: one that went
# on from a checkpoint, and has seen fewer, would come to other bytes. Its own limit is 8, which a few stages reach.
_MOST_KINDS = 256


def compile_blocks(model: Llama) -> None:
    """Compile what each block does but for attention, which has kernels of its own; the same code serves all blocks.

    A compiled attention would be made anew for every other arrangement of documents in a batch.
    """
    for block in model.model.layers:
        left_out = "forward" if next(block.parameters()).device.type == "cpu" else "within_documents"
        setattr(block.self_attn, left_out, torch.compiler.disable(getattr(block.self_attn, left_out)))
        block.once = torch.compile(block.once, dynamic=False, recompile_limit=_MOST_KINDS)  # type: ignore[assignment]


def run_as_written(model: Llama) -> None:
    """Undo ``compile_blocks``."""
    for block in model.model.layers:
        vars(block).pop("once", None)
        for left_out in ("forward", "within_documents"):
            vars(block.self_attn).pop(left_out, None)


@contextlib.contextmanager
def as_written(model: Llama) -> Iterator[None]:
    """Run blocks as they are written for a while: texts of all lengths come, and each would be compiled anew."""
    left_out = [(block, vars(block).pop("once")) for block in model.model.layers if "once" in vars(block)]
    try:
        yield
    finally:
        for block, once in left_out:
            block.once = once  # type: ignore[assignment]


def are_compiled(model: Llama) -> bool:
    """Whether ``compile_blocks`` was called for a model, and not undone."""
    return any("once" in vars(block) for block in model.model.layers)


def why_not(device: torch.device) -> str | None:
    """Why nothing can be compiled for a device, as a sentence; None where it can."""
    try:
        if device.type == "cuda":
            from torch.utils._triton import has_triton

            return None if has_triton() else "triton, which torch compiles for GPUs with, is not installed"
        from torch._inductor.cpp_builder import get_cpp_compiler

        get_cpp_compiler()
    except Exception as error:  # noqa: BLE001 - whatever it is, the run goes on without
        return f"there is no C++ compiler that works ({_first_line(error)})"
    return None


def failure_of_trial(device: torch.device) -> str | None:
    """Why a function of one line cannot be compiled for a device, as a sentence; None where it can. Takes seconds."""
    try:
        torch.compile(_trial, dynamic=False)(torch.ones(8, device=device))
    except Exception as error:  # noqa: BLE001 - whatever it is, the run goes on without
        return failure_of_compiler(error)
    return None


def failure_of_compiler(error: BaseException) -> str:
    """What a compiler's error comes to, as a sentence."""
    return f"the compiler failed ({_first_line(error)})"


def _trial(x: torch.Tensor) -> torch.Tensor:
    return x.sin() + 1


def faster_step_s(
    eager_s: float, num_steps: int, device: torch.device, time_compiled: Callable[[], tuple[float, float]], say: Say
) -> float | None:
    """Decide whether a run's blocks are compiled, and say why; returns what a step takes then, and None where not.

    Args:
        eager_s: what a step takes without.
        num_steps: of the run.
        device: what it trains on.
        time_compiled: measures a step with compiled blocks, and how long all of that took; seconds.
        say: told of the decision.
    """
    if eager_s * num_steps < _WORTH_S.get(device.type, math.inf):
        return None
    reason = why_not(device)
    if reason is not None:
        say(f"blocks are not compiled: {reason}")
        return None
    try:
        compiled_s, took_s = time_compiled()
    except Exception as error:  # noqa: BLE001 - a compiler may fail in any way, and nothing depends on it
        say(f"blocks are not compiled: {failure_of_compiler(error)}")
        return None
    saved_s = (eager_s - compiled_s) * num_steps
    it_pays = saved_s > took_s
    say(
        f"blocks are {'' if it_pays else 'not '}compiled: a step takes {compiled_s:.3g} s so, and {eager_s:.3g} s "
        f"without; compiling and timing took {units.seconds(took_s)}"
    )
    return compiled_s if it_pays else None


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:200]
