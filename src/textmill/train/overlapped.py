"""Every rank has the whole model, and gradients are added up in buckets while backward goes on: torch's DDP."""

import contextlib
from collections.abc import Iterator

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from textmill.model.llama import Llama
from textmill.train.layout import Layout
from textmill.train.ranks import Ranks


class OverlappedLayout(Layout):
    """As ``Layout``; sums differ from its by rounding."""

    def __init__(self, model: Llama, ranks: Ranks) -> None:
        super().__init__(model, ranks)
        wrapped = DistributedDataParallel(self.nats, gradient_as_bucket_view=True, init_sync=False)
        wrapped.register_comm_hook(None, _sum_bucket)
        self.nats = wrapped

    @contextlib.contextmanager
    def micro_batch(self, *, is_last: bool) -> Iterator[None]:
        """Gradients of the last one are sent, with those that came together before."""
        assert isinstance(self.nats, DistributedDataParallel)
        with self.ranks.watched(), contextlib.nullcontext() if is_last else self.nats.no_sync():
            yield

    def finish_gradients(self) -> None:
        """They were sent with the last micro-batch."""


def _sum_bucket(state: None, bucket: distributed.GradBucket) -> torch.futures.Future[torch.Tensor]:
    """Add a bucket up: DDP itself would take the average. It reads the annotations, which must not be texts."""
    work = distributed.all_reduce(bucket.buffer(), async_op=True)
    assert work is not None
    return work.get_future().then(lambda done: done.value()[0])
