"""Log-probability sums: how many nats a model spends on a text, for evaluation and for losses.

N tokens that are scored; B, T, D, V as in ``llama``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from textmill.base.errors import ConfigError
from textmill.model.llama import Llama

# Rows of logits held at once: 512 rows of a 128k vocabulary in f32 are 262 MB.
_HEAD_ROWS = 512


def nats_of(logits_NV: torch.Tensor, targets_N: torch.Tensor) -> torch.Tensor:
    """Negative log-probability of each target, f32 [N], by a log-softmax in f32; differentiable."""
    return torch.nn.functional.cross_entropy(logits_NV.float(), targets_N, reduction="none")


def score_documents(
    model: Llama | Callable[[torch.Tensor], torch.Tensor],
    documents: Sequence[Sequence[int] | np.ndarray],
    *,
    first_id: int,
    context: int,
    stride: int | None = None,
    batch_size: int = 8,
    dtype: torch.dtype | None = None,
) -> np.ndarray:
    """Nats of each document, float64 [documents]: the sum of ``-log p(token | what stands before it)``.

    Every document begins with ``first_id`` (``<|endoftext|>``, say) as context, which is not scored itself. A long
    one is read through windows of ``context`` tokens that move on by ``stride``; each token is scored once, in the
    first window that reaches it, so it sees at least ``context - stride + 1`` tokens where the document has them.

    The batch size changes only how matrix products are rounded: relative differences stay below 1e-6 in f32.

    Args:
        model: a ``Llama``, or a function from ids [B, T] on the CPU to logits [B, T, V].
        documents: token ids; an empty document costs 0 nats.
        first_id: what a document's first token follows.
        context: tokens a window holds.
        stride: tokens a window moves on by; half the context unless given, ``context`` for windows side by side.
        batch_size: windows in one forward pass.
        dtype: of activations, where ``model`` is a ``Llama``; the log-softmax is in f32 anyway.
    """
    stride = max(context // 2, 1) if stride is None else stride
    _check(context, stride, batch_size)
    backbone, head, device = _parts(model, dtype)
    windows = [
        window for index, ids in enumerate(documents) for window in _windows(index, ids, first_id, context, stride)
    ]
    windows.sort(key=lambda window: len(window.inputs))  # stable; equals are padded least
    nats = np.zeros(len(documents), dtype=np.float64)
    with torch.no_grad():
        for start in range(0, len(windows), batch_size):
            batch = windows[start : start + batch_size]
            x_BTD = backbone(_padded(batch).to(device))
            for row, window in enumerate(batch):
                first = len(window.inputs) - len(window.targets)
                nats[window.document] += _sum_nats(
                    head, x_BTD[row, first : len(window.inputs)], torch.from_numpy(window.targets).to(device)
                )
    return nats


class _Window(NamedTuple):
    document: int
    inputs: np.ndarray
    targets: np.ndarray  # what follows the last len(targets) inputs


def _windows(
    document: int, ids: Sequence[int] | np.ndarray, first_id: int, context: int, stride: int
) -> Iterator[_Window]:
    text = np.concatenate(([first_id], np.asarray(ids, dtype=np.int64)))
    scored = 0  # targets text[1 : scored + 1] are done
    for start in range(0, max(len(text) - 1, 0), stride):
        end = min(start + context, len(text) - 1)
        if end > scored:
            yield _Window(document, text[start:end], text[scored + 1 : end + 1])
            scored = end


def _padded(batch: Sequence[_Window]) -> torch.Tensor:
    ids_BT = np.zeros((len(batch), max(len(window.inputs) for window in batch)), dtype=np.int64)
    for row, window in enumerate(batch):
        ids_BT[row, : len(window.inputs)] = window.inputs
    return torch.from_numpy(ids_BT)


def _sum_nats(head: Callable[[torch.Tensor], torch.Tensor], x_ND: torch.Tensor, targets_N: torch.Tensor) -> float:
    pieces = zip(x_ND.split(_HEAD_ROWS), targets_N.split(_HEAD_ROWS), strict=True)
    return sum(float(nats_of(head(x), targets).double().sum()) for x, targets in pieces)


def _parts(
    model: Llama | Callable[[torch.Tensor], torch.Tensor], dtype: torch.dtype | None
) -> tuple[Callable[[torch.Tensor], torch.Tensor], Callable[[torch.Tensor], torch.Tensor], torch.device]:
    """A backbone, a head and where the ids go; a function of logits is a backbone whose head is nothing."""
    if isinstance(model, Llama):
        device = model.model.norm.weight.device
        return lambda ids_BT: model.backbone(ids_BT, dtype=dtype), model.head, device
    return model, lambda logits: logits, torch.device("cpu")


def _check(context: int, stride: int, batch_size: int) -> None:
    if context < 1:
        raise ConfigError(f"context is {context}, and must be at least 1")
    if not 1 <= stride <= context:
        raise ConfigError(f"stride is {stride}, and must be 1 to the context ({context})")
    if batch_size < 1:
        raise ConfigError(f"batch_size is {batch_size}, and must be at least 1")
