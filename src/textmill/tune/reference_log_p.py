"""Log-probabilities of answers under the model that tuning began from: computed once, and kept with the run.

They are in files of some pairs each, whole or absent, so that a run killed on the way does not begin anew; their folder
is named for the model's weights and the tokens, so that none is ever taken for another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from textmill.base.errors import DataError
from textmill.base.files import new_file
from textmill.model.llama import Llama
from textmill.tune.answer_log_p import answer_tokens, by_answer
from textmill.tune.answer_rows import pack
from textmill.tune.preference_tokens import Pair, hash_of

FOLDER = "reference"
_PAIRS_A_FILE = 1024


def reference_log_p(
    folder: Path,
    first_model: Callable[[], AbstractContextManager[Llama]],
    pairs: Sequence[Pair],
    *,
    weights: str,
    dtype: torch.dtype,
    rows_at_once: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> NDArray[np.float64]:
    """Sums of log-probabilities of the chosen and the rejected answers, float64 [pairs, 2].

    Args:
        folder: the run's.
        first_model: opens the model that tuning begins from; asked only where anything has to be computed.
        pairs: all of the run's.
        weights: a hash of that model's weights.
        dtype: of activations and products.
        rows_at_once: rows, each as long as the longest pair, that go through the model together.
        progress: told how many pairs are done, and of how many, where any has to be computed.

    Raises:
        DataError: a sum is not finite, named with its pair's file and line.
    """
    key = f"{weights[:16]}-{hash_of(pairs)[:16]}-{str(dtype).removeprefix('torch.')}"
    parts: list[NDArray[np.float64]] = []
    with ExitStack() as stack:
        model: Llama | None = None
        for first in range(0, len(pairs), _PAIRS_A_FILE):
            some = pairs[first : first + _PAIRS_A_FILE]
            path = folder / FOLDER / key / f"{first:09}.npy"
            part = _read(path, len(some))
            if part is None:
                model = stack.enter_context(first_model()) if model is None else model
                part = _compute(
                    model,
                    some,
                    dtype=dtype,
                    rows_at_once=rows_at_once,
                    progress=lambda done, first=first: progress(first + done, len(pairs)),
                )
                with new_file(path) as file:
                    np.save(file, part)
            parts.append(part)
    return np.concatenate(parts)


def _read(path: Path, num_pairs: int) -> NDArray[np.float64] | None:
    """A file's sums; None where it is not there, or damaged."""
    try:
        part = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return part if part.shape == (num_pairs, 2) and part.dtype == np.float64 and np.isfinite(part).all() else None


def _compute(
    model: Llama,
    pairs: Sequence[Pair],
    *,
    dtype: torch.dtype,
    rows_at_once: int,
    progress: Callable[[int], None],
) -> NDArray[np.float64]:
    """Sums of some pairs; ``progress`` is told about how many of them are done."""
    groups = [[pair.chosen, pair.rejected] for pair in pairs]
    batch = pack(groups, context=max(sum(text.num_inputs for text in group) for group in groups))
    sums = torch.zeros(2 * len(pairs), dtype=torch.float64)
    with torch.no_grad():
        for start in range(0, len(batch.inputs), rows_at_once):
            tokens = answer_tokens(model, batch, slice(start, start + rows_at_once), dtype=dtype)
            sums += by_answer(tokens.log_p, tokens.owners, len(sums)).cpu()
            progress(min(len(pairs), (start + rows_at_once) * len(pairs) // len(batch.inputs)))
    result = sums.reshape(-1, 2).numpy()
    for pair, row in zip(pairs, result, strict=True):
        if not np.isfinite(row).all():
            raise DataError(
                f"{pair.where}: the model that tuning begins from gives this pair log-probabilities that are not "
                "finite: its weights hold NaN or infinity, or overflow. Look at the file it came from"
            )
    return result
