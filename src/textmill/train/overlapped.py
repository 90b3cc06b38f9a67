"""Every rank has the whole model, and gradients are added up in buckets while backward goes on: torch's DDP."""

from __future__ import annotations

import contextlib

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from textmill.model.llama import Llama
from textmill.train.layout import Layout
from textmill.train.ranks import Ranks


class OverlappedLayout(Layout):
    """As ``Layout``; sums differ from its by rounding."""

    in_step = True

    def __init__(self, model: Llama, ranks: Ranks) -> None:
        super().__init__(model, ranks)
        wrapped = DistributedDataParallel(self.nats, gradient_as_bucket_view=True, init_sync=False)
        wrapped.register_comm_hook(None, _sum_bucket)
        self.nats = wrapped

    def micro_batch(self, *, is_last: bool) -> contextlib.AbstractContextManager[None]:
        assert isinstance(self.nats, DistributedDataParallel)
        stack = contextlib.ExitStack()
        stack.enter_context(self.ranks.watched())
        if not is_last:
            stack.enter_context(self.nats.no_sync())
        return stack

    def finish_gradients(self) -> None:
        """They were sent with the last micro-batch."""


def _sum_bucket(state: None, bucket: distributed.GradBucket) -> torch.futures.Future[torch.Tensor]:
    """DDP itself would take the average."""
    work = distributed.all_reduce(bucket.buffer(), async_op=True)
    assert work is not None
    return work.get_future().then(lambda done: done.value()[0])
