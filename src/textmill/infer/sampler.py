"""From logits to a token: greedy, or drawn with temperature, top-k, top-p and min-p.

Everything here is a pure function: the random number of a draw depends on the seed and on the position in the text
alone, so a prompt with a seed gives the same tokens alone, in a batch, and continued from its own middle.
"""

from __future__ import annotations

import numpy as np

from textmill.infer.request import Request


def sample(logits_V: np.ndarray, request: Request, seed: int, position: int) -> int:
    """Choose the token at ``position`` of a text.

    Args:
        logits_V: the model's logits; those of tokens that must not be drawn are minus infinity.
        request: temperature and truncation; temperature 0 takes the largest logit, the lowest id among equals.
        seed: of the text.
        position: how many tokens stand before it.
    """
    if request.temperature == 0.0:
        return int(np.argmax(logits_V))
    ids, probabilities = distribution(logits_V, request)
    drawn = np.searchsorted(np.cumsum(probabilities), uniform(seed, position) * probabilities.sum(), side="right")
    return int(ids[min(drawn, len(ids) - 1)])


def distribution(logits_V: np.ndarray, request: Request) -> tuple[np.ndarray, np.ndarray]:
    """Ids that may be drawn, the most probable first and the lowest id first among equals, and their probabilities.

    top-k comes first, then top-p, then min-p, each on what the one before left; float64, sums to 1.
    """
    scaled_V = logits_V.astype(np.float64) / request.temperature
    ids = np.argsort(-scaled_V, kind="stable")
    ids = ids[: request.top_k] if request.top_k else ids
    probabilities = np.exp(scaled_V[ids] - scaled_V[ids[0]])
    probabilities /= probabilities.sum()
    if request.top_p < 1.0:
        mass_before = np.cumsum(probabilities) - probabilities
        kept = max(int(np.searchsorted(mass_before, request.top_p, side="left")), 1)
        ids, probabilities = ids[:kept], probabilities[:kept]
    likely = probabilities >= max(request.min_p * probabilities[0], np.finfo(np.float64).tiny)
    ids, probabilities = ids[likely], probabilities[likely]
    return ids, probabilities / probabilities.sum()


def uniform(seed: int, position: int) -> float:
    """A number in [0, 1) with 53 random bits: Philox-4x64-10 keyed with the seed and the position.

    It is the first word that the generator gives at counter 1, where numpy begins (Salmon et al., SC 2011, §4.3).
    """
    key = np.array([seed, position], dtype=np.uint64)
    return int(np.random.Philox(key=key).random_raw() >> 11) * 2.0**-53


def log_softmax(logits_V: np.ndarray) -> np.ndarray:
    """Natural log-probabilities of all tokens, float64."""
    shifted = logits_V.astype(np.float64) - logits_V.max()
    return shifted - np.log(np.exp(shifted).sum())


def most_probable(logprobs_V: np.ndarray, count: int) -> dict[int, float]:
    """The ``count`` most probable tokens and their log-probabilities, the lowest id first among equals."""
    return {int(token_id): float(logprobs_V[token_id]) for token_id in np.argsort(-logprobs_V, kind="stable")[:count]}
