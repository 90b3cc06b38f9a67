"""What a run does when a step's loss or gradient is no good: passes over batches, and goes back where it jumped.

A value that is not finite costs its batch: it never reached the weights, so there is nothing to go back from. A jump
may come from what the steps before it did, so the run goes back 1 to 2 times ``rewind_steps`` and passes over all
batches since (PaLM, arXiv:2204.02311 §5.1). Where it has gone back to that step before, or to a later one, the batch
alone is passed over; where nothing was learned since the last decision, twice as many as then. So it always ends.

A norm that jumps with a loss as it was, and jumps again with other batches, is no bad batch: gradients are larger now
(they grow while weights settle), they are clipped, and the run goes on from the norms that come.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from textmill.base.errors import TextmillError
from textmill.train.interventions import Skip, save_interventions
from textmill.train.objective import ObjectiveLoader
from textmill.train.ranks import Ranks
from textmill.train.trainer import Trainer

# 2^10 batches that nothing can be learned from are no accident.
_MOST_IN_A_ROW = 10
_MOST_DOCUMENTS = 100
# After so many decisions in a row for the norm alone it is taken for what norms are now.
_NORMS_IN_A_ROW = 3


def intervene(trainer: Trainer, loss: float, grad_norm: float, tell: Callable[..., None], ranks: Ranks) -> bool:
    """Decide, write the decision down, and bring the trainer to where it goes on.

    Args:
        trainer: at the step whose gradient was thrown away.
        loss, grad_norm: what was wrong.
        tell: the log.
        ranks: the first one writes.

    Returns:
        whether the run went back behind checkpoints, which are of a way that was left.

    Raises:
        TextmillError: it has come to this too often without a step in between.
    """
    is_spike = trainer.watch.judge(loss, grad_norm) == "spike"
    limits = trainer.watch.limits()
    skip = decide(trainer, is_spike=is_spike)
    documents = _documents(trainer)
    trainer.interventions = trainer.interventions.with_skip(skip)
    if ranks.is_first:
        save_interventions(trainer.run.folder, trainer.interventions)
    skipped = {"skipped": [[skip.first, skip.end]], "documents": documents}
    if is_spike:
        assert limits is not None
        tell(
            "spike",
            trainer.step,
            loss=loss,
            grad_norm=grad_norm,
            loss_limit=limits.loss,
            grad_norm_limit=limits.grad_norm if math.isfinite(limits.grad_norm) else None,
            rewind_to=skip.back_to,
            **skipped,
        )
    else:
        # JSON has no nan: the reason says it.
        tell("discard", trainer.step, reason=f"the loss is {loss}, the gradient's norm {grad_norm}", **skipped)
    if skip.back_to < trainer.step:
        trainer.go_to(skip.back_to)
    trainer.remake_loader()
    return bool(trainer.outdated())


def decide(trainer: Trainer, *, is_spike: bool) -> Skip:
    """Choose what is passed over, from the decisions before and the step alone: a resumed run decides the same."""
    step = trainer.step
    data_step = trainer.loader.skipped.data_step
    decided, in_a_row = _decided(trainer)
    if in_a_row == _MOST_IN_A_ROW:
        raise TextmillError(
            f"at step {step + 1} loss or gradient were no good {in_a_row} times in a row, {2**in_a_row - 1:,} batches "
            "passed over: that is no bad batch. Lower schedule.peak_lr or lengthen schedule.warmup_steps, and look at "
            f"the data{_how_to_look(trainer)}"
        )
    reason = "spike" if is_spike else "not finite"
    target = trainer.snapshots.target(step, trainer.run.plan.start_step)
    if is_spike and not in_a_row and all(skip.back_to < target for skip in decided):
        return Skip(first=data_step(target), end=data_step(step) + 1, back_to=target, reason="spike")
    return Skip(first=data_step(step), end=data_step(step) + 2**in_a_row, back_to=step, reason=reason)


def norms_rose(trainer: Trainer, loss: float) -> bool:
    """Say whether a spike is one of the norm alone, and came again with other batches in place of the step's own."""
    limits = trainer.watch.limits()
    assert limits is not None, "there are no spikes without limits"
    return loss <= limits.loss and _decided(trainer)[1] >= _NORMS_IN_A_ROW


def _decided(trainer: Trainer) -> tuple[list[Skip], int]:
    """What nobody asked for, and how many of the last decisions were taken at the step in hand."""
    decided = [skip for skip in trainer.interventions.skips if skip.reason != "asked"]
    in_a_row = 0
    while in_a_row < len(decided) and decided[-1 - in_a_row].back_to == trainer.step:
        in_a_row += 1
    return decided, in_a_row


def _how_to_look(trainer: Trainer) -> str:
    """The command that shows what the step in hand is made of; what tuning is made of, the log names."""
    if trainer.objective is not None:
        return " that events.jsonl names"
    return f" with: textmill data inspect {trainer.run.folder} --step {trainer.step + 1}"


def _documents(trainer: Trainer) -> list[str]:
    """Name the documents of the batch in hand."""
    names: Iterable[str]
    if isinstance(trainer.loader, ObjectiveLoader):
        names = trainer.loader.documents(trainer.step)
    else:
        names = (
            f"{record.source}/{document.name if document.name is not None else document.number}"
            for record in trainer.loader.describe(trainer.step)
            for document in record.documents
        )
    return list(dict.fromkeys(names))[:_MOST_DOCUMENTS]
