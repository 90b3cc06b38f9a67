"""A long text in windows of a model's context, each of its tokens scored once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from textmill.base.errors import ConfigError
from textmill.eval.prefix_tree import ScoredText


def sliding_windows(ids: np.ndarray, *, first_id: int, context: int, stride: int) -> Iterator[ScoredText]:
    """Cut a text into windows that move on by ``stride`` tokens.

    Each token is scored in the first window that reaches it, so it sees at least ``context - stride + 1`` tokens where
    the text has them; ``stride`` equal to ``context`` gives windows side by side.

    Args:
        ids: int32 [T]; none give no window.
        first_id: what the first token follows; it is not scored itself.
        context: tokens that a window's passes read.
        stride: 1 to ``context``.
    """
    if not 1 <= stride <= context:
        raise ConfigError(f"stride is {stride:,}, and must be 1 to the context ({context:,})")
    text = np.concatenate((np.array([first_id], np.int32), np.asarray(ids, np.int32)))
    scored = 0  # text[1 : scored + 1] are done
    for start in range(0, max(len(ids), 0), stride):
        end = min(start + context, len(ids))
        if end > scored:
            yield ScoredText(text[start : end + 1], scored + 1 - start)
            scored = end
