"""When the compiler fails: blocks are run as they are written, and the step is taken again from its beginning."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from textmill.base.errors import TextmillError
from textmill.train.compiled import are_compiled, failure_of_compiler, run_as_written
from textmill.train.run import save_run
from textmill.train.trainer import Trainer


def failure_to_compile(trainer: Trainer, error: BaseException) -> str | None:
    """What the compiler failed of, as a sentence; None where the error is another one.

    Raises:
        TextmillError: there are other ranks, which wait for what will not come.
    """
    if not are_compiled(trainer.model) or not _is_of_the_compiler(error):
        return None
    reason, ranks = failure_of_compiler(error), trainer.layout.ranks
    if ranks.size > 1:
        raise TextmillError(
            f"rank {ranks.rank} of {ranks.size} cannot compile the blocks of step {trainer.step + 1}: {reason}. Start "
            "all ranks again with --resume, with TORCHDYNAMO_DISABLE=1 in their environment to do without"
        ) from error
    return reason


def go_on_without(trainer: Trainer, reason: str, tell: Callable[..., None]) -> None:
    """Run blocks as they are written, from now on.

    Before a run's first step that is a decision like those of its plan, which ``config.json`` then has. Later it is
    not: a run that goes on elsewhere may compile again what was compiled, and the log says that bytes may differ.

    Args:
        trainer: at the step whose gradient was thrown away, or that comes first; every rank is there.
        reason: why, as a sentence.
        tell: the log.
    """
    run_as_written(trainer.model)
    run = trainer.run
    is_new = trainer.step == run.plan.start_step
    if is_new:
        trainer.run = dataclasses.replace(run, plan=dataclasses.replace(run.plan, compiled=False))
        if trainer.layout.ranks.is_first:
            save_run(trainer.run)
    tell("not_compiled", trainer.step, reason=reason, from_the_start=is_new)


def _is_of_the_compiler(error: BaseException) -> bool:
    from torch._dynamo.exc import TorchDynamoException  # they take time to import, and are there where any was raised
    from torch._inductor.exc import CppCompileError

    return isinstance(error, TorchDynamoException | CppCompileError)
