"""When memory runs out in a step: fewer rows go through at once, and the step is taken again from where it began."""

from __future__ import annotations

from collections.abc import Callable

import torch

from textmill.base.errors import TextmillError
from textmill.train.interventions import FewerRows, save_interventions
from textmill.train.plan import TrainStage
from textmill.train.ranks import Ranks
from textmill.train.trainer import Trainer

# What torch's allocator on the CPU says; it has no error of its own for that.
_SAID = ("can't allocate memory", "not enough memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that memory ran out, on a GPU or on the CPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _SAID)


def halve_micro_rows(
    trainer: Trainer, stage: TrainStage, num_rows: int, tell: Callable[..., None], ranks: Ranks
) -> None:
    """Let half as many rows go through at once for the rest of a stage, and keep that for a resume.

    The batch stays what it was, so the mathematics do; sums are rounded in another order.

    Args:
        trainer: at the step whose gradient was thrown away.
        stage: the one that the step is of.
        num_rows: rows of this process that went through at once when memory ran out.
        tell: the log.
        ranks: where there are several, the others wait for a gradient that will not come: all have to begin again.

    Raises:
        TextmillError: it was a single row already, or there are other ranks.
    """
    if num_rows == 1:
        raise TextmillError(
            f"memory ran out with one row of {stage.context:,} tokens at once; give the run more memory, or start it "
            "again with --remat full, a shorter context or a smaller model"
        )
    fewer = num_rows // 2
    decision = FewerRows(first=trainer.step, stage=stage.name, micro_rows=fewer)
    trainer.interventions = trainer.interventions.with_fewer_rows(decision)
    save_interventions(trainer.run.folder, trainer.interventions)
    if ranks.size > 1:
        raise TextmillError(
            f"memory ran out on rank {ranks.rank} with {num_rows} rows at once; it will be {fewer} from now on: start "
            "all ranks again with --resume"
        )
    tell("micro_rows", trainer.step, old=num_rows, new=fewer)
