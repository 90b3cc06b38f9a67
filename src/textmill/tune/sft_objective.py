"""What a run learns by supervised fine-tuning: the assistant's tokens of conversations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from textmill.model.llama import Llama
from textmill.model.loss import summed_nats
from textmill.model.remat import Remat
from textmill.train.precision import compute_dtype
from textmill.train.trainer import Trainer
from textmill.tune.base_model import BaseModel
from textmill.tune.chat_rows import ChatBatch, ChatSource, lay_out, packed
from textmill.tune.chat_tokens import ChatTokens
from textmill.tune.lora import LoraAdapters
from textmill.tune.tuned_objective import TunedObjective


class SftObjective(TunedObjective):
    """Conversations, of which answers are learned.

    Args:
        base: the model that tuning begins from.
        chats: all of them.
        held_out: conversations that the run is validated on.
        adapters: what is learned in the place of the weights, if not these.
    """

    def __init__(
        self,
        base: BaseModel,
        chats: Sequence[ChatTokens],
        held_out: Sequence[ChatTokens] = (),
        adapters: LoraAdapters | None = None,
    ) -> None:
        super().__init__(base, adapters)
        self._chats, self._held_out = chats, held_out

    def begin(self, trainer: Trainer) -> None:
        """Pack the conversations."""
        run = trainer.run
        assert run.recipe.tune is not None
        self._source = ChatSource(
            self._chats,
            context=run.plan.context,
            per_step=run.recipe.batch.rows,
            packs_all=run.recipe.tune.packing == "all",
            seed=run.recipe.run.seed,
        )

    def batch(self, trainer: Trainer, step: int) -> ChatBatch:
        """The conversations of a data step."""
        return self._source.batch(step)

    def accumulate(self, trainer: Trainer, batch: ChatBatch, micro_rows: int) -> tuple[float, dict[str, float]]:
        """Add the gradient of the mean loss over all targets of the batch, however it is cut into micro-batches."""
        plan = trainer.run.plan
        num_targets, total = int(batch.loss_mask.sum()), 0.0
        for start in range(0, len(batch.inputs), micro_rows):
            nats = answer_nats(
                trainer.model,
                batch,
                slice(start, start + micro_rows),
                dtype=compute_dtype(plan.precision),
                remat=plan.remat,
            )
            (nats / num_targets).backward()
            total += nats.item()
        return total / num_targets, {"num_tokens": batch.num_read, "num_targets": num_targets}

    def scores(self, trainer: Trainer) -> dict[str, float]:
        """Of held-out answers: ``loss``, nats a token, and ``perplexity``."""
        if not self._held_out:
            return {}
        plan, chats = trainer.run.plan, self._held_out
        rows = lay_out(chats, packed(chats, range(len(chats)), plan.context))
        total, at_once = 0.0, plan.stages[0].micro_rows
        with torch.no_grad():
            for start in range(0, len(rows.inputs), at_once):
                some = slice(start, start + at_once)
                total += answer_nats(trainer.model, rows, some, dtype=compute_dtype(plan.precision)).item()
        loss = total / int(rows.loss_mask.sum())
        return {"loss": loss, "perplexity": math.exp(min(loss, 700.0))}

    def documents(self, step: int) -> Sequence[str]:
        """The conversations of a data step."""
        return [self._chats[number].where for number in self._source.numbers(step)]


def answer_nats(
    model: Llama, batch: ChatBatch, rows: slice, *, dtype: torch.dtype, remat: Remat = "none"
) -> torch.Tensor:
    """Sum of ``-log p`` over the targets of some rows, f64, differentiable once.

    Only states that have a target go through the head: in conversations that is about half of them.
    """
    device = model.head_weight.device

    def on_device(array: NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)

    assert batch.positions is not None
    assert batch.segments is not None
    x_RTD = model.backbone(
        on_device(batch.inputs[rows]),
        dtype=dtype,
        positions_BT=on_device(batch.positions[rows]),
        segments_BT=on_device(batch.segments[rows]),
        remat=remat,
    )
    is_target_RT = on_device(batch.loss_mask[rows])
    return summed_nats(model, x_RTD[is_target_RT], on_device(batch.targets[rows])[is_target_RT])
