"""What ``--mesh`` says: how a model and its batches are shared out among ranks."""

from __future__ import annotations

import os
import re

import torch

from textmill.base.errors import ConfigError
from textmill.model.config import ModelConfig
from textmill.model.llama import Llama
from textmill.train.layout import Layout
from textmill.train.ranks import Ranks
from textmill.train.spread import Spread

_MESH = re.compile(r"(ddp|fsdp)|(hsdp|tp)=([1-9]\d{0,5})")


def check_mesh(text: str | None, ranks: Ranks) -> str:
    """Read what was asked for; where nothing was, ``ddp`` on CPUs and for a single process, else ``fsdp``.

    Raises:
        ConfigError: it is no mesh, or there is one process alone.
    """
    if text is None:
        return "fsdp" if ranks.size > 1 and ranks.device.type != "cpu" else "ddp"
    if not _MESH.fullmatch(text):
        raise ConfigError(f'--mesh is "{text}", and must be ddp, fsdp, hsdp=N (N ranks share a copy) or tp=N')
    if ranks.size == 1 and text != "ddp":
        raise ConfigError(
            f"--mesh {text} shares a model out among processes, and there is one; start several: "
            "torchrun --nproc-per-node 2 -m textmill train ..."
        )
    return text


def spread_of(mesh: str, ranks: Ranks) -> Spread:
    """What a plan reckons with; ``mesh`` is as ``check_mesh`` gives it."""
    match = _MESH.fullmatch(mesh)
    assert match is not None
    shared = int(match[3] or 1)
    return Spread(
        device=ranks.device.type,
        num_readers=ranks.size // shared if match[2] == "tp" else ranks.size,
        num_holders=ranks.size if match[1] == "fsdp" else shared,
        num_here=int(os.environ.get("LOCAL_WORLD_SIZE", "1")),
        shares_tables=match[2] != "tp",
    )


def make_layout(mesh: str, config: ModelConfig, ranks: Ranks, dtype: torch.dtype) -> Layout:
    """Lay an empty model out, on the ranks' devices.

    Args:
        mesh: as ``check_mesh`` gives it.
        config: the model's sizes.
        ranks: all that train together.
        dtype: of activations.

    Raises:
        ConfigError: model or ranks cannot be shared out so.
    """
    match = _MESH.fullmatch(mesh)
    assert match is not None
    if match[1] == "ddp":
        with ranks.device:
            model = Llama(config)
        if ranks.size == 1 or ranks.device.type == "cpu":
            return Layout(model, ranks)
        from textmill.train.overlapped import OverlappedLayout

        return OverlappedLayout(model, ranks)
    if match[2] == "tp":
        from textmill.train.tensor_parallel import SplitLayout

        return SplitLayout(config, ranks, size=int(match[3]))
    from textmill.train.sharded import ShardedLayout

    return ShardedLayout(config, ranks, num_shards=int(match[3]) if match[2] else None, dtype=dtype)
