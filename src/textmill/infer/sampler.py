"""From logits to a token: bias and penalties, then greedy, or drawn with temperature, top-k, top-p and min-p.

Everything here is a pure function: the random number of a draw depends on the seed and on the position in the text
alone, so a prompt with a seed gives the same tokens alone, in a batch, and continued from its own middle.

Probabilities are whole numbers in float64, in units so small that the whole vocabulary's sum stays below 2^53. Their
sums are exact in any order, so nothing is sorted that need not be: of 49,152 tokens one is drawn in 0.2 to 0.4 ms.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from textmill.infer.request import Request

# What is further below the most probable token shares the last bucket; weights end there anyway. A bucket of 0.01 nats
# holds a few dozen tokens of a vocabulary.
_SPREAD_NATS = 40.0
_NUM_BUCKETS = 4096
_RUN = 256
_RANDOM_BITS = 53
_EXACT_BITS = 52


def adjust(logits_V: np.ndarray, request: Request, seen: Collection[int], counts: Mapping[int, int]) -> np.ndarray:
    """Apply the bias and the penalties; float32 [V], the array itself where there are none.

    Args:
        logits_V: the model's logits, float32.
        request: bias and penalties.
        seen: the ids that prompt or answer have.
        counts: how often the answer has each of its ids.
    """
    if not request.logit_bias and not request.penalizes:
        return logits_V
    adjusted_V = logits_V.copy()
    if request.logit_bias:
        ids, bias = _arrays(request.logit_bias)
        adjusted_V[ids] += bias
    if request.repetition_penalty != 1.0 and seen:
        ids = np.fromiter(seen, np.int64, len(seen))
        logits, penalty = adjusted_V[ids], np.float32(request.repetition_penalty)
        adjusted_V[ids] = np.where(logits < 0, logits * penalty, logits / penalty)
    if counts and (request.frequency_penalty or request.presence_penalty):
        ids, times = _arrays(counts)
        adjusted_V[ids] -= times * np.float32(request.frequency_penalty) + np.float32(request.presence_penalty)
    return adjusted_V


def sample(logits_V: np.ndarray, request: Request, seed: int, position: int) -> int:
    """Choose the token at ``position`` of a text.

    Args:
        logits_V: the logits after ``adjust``; those of tokens that must not be drawn are minus infinity.
        request: temperature and truncation; temperature 0 takes the largest logit, the lowest id among equals.
        seed: of the text.
        position: how many tokens stand before it.
    """
    if request.temperature == 0.0:
        return int(np.argmax(logits_V))
    weights_V = weigh(logits_V, request)
    starts = np.arange(0, len(weights_V), _RUN)
    ends = np.cumsum(np.add.reduceat(weights_V, starts))
    drawn = random_bits(seed, position) * int(ends[-1]) >> _RANDOM_BITS
    run = int(np.searchsorted(ends, drawn, side="right"))
    drawn -= int(ends[run - 1]) if run else 0
    start = run * _RUN
    return start + int(np.searchsorted(np.cumsum(weights_V[start : start + _RUN]), drawn, side="right"))


def weigh(logits_V: np.ndarray, request: Request) -> np.ndarray:
    """How likely each token is to be drawn, relative to the others: whole numbers in float64 [V].

    The most probable token weighs 2^(52 - bits of V); what is less than half a unit, in a vocabulary of 49,152 tokens
    26 nats below it, weighs nothing. top-k comes first, then top-p, then min-p, each on what the one before left; of
    equals the lowest ids stay.
    """
    with np.errstate(
        over="ignore"
    ):  # a tiny temperature makes minus infinity of a difference, and nothing of its weight
        scaled_V = (logits_V.astype(np.float64) - logits_V.max()) / request.temperature
    weights_V = np.rint(np.exp(scaled_V) * 2.0 ** (_EXACT_BITS - len(logits_V).bit_length()))
    if request.top_k or request.top_p < 1.0:
        _truncate(weights_V, scaled_V, request)
    if request.min_p > 0.0:
        weights_V *= weights_V >= request.min_p * weights_V.max()
    return weights_V


def uniform(seed: int, position: int) -> float:
    """A number in [0, 1) with 53 random bits."""
    return random_bits(seed, position) * 2.0**-_RANDOM_BITS


def random_bits(seed: int, position: int) -> int:
    """A whole number below 2^53 from Philox-4x64-10, keyed with the seed and the position.

    It is the first word that the generator gives at counter 1, where numpy begins (Salmon et al., SC 2011, §4.3).
    """
    key = np.array([seed, position], dtype=np.uint64)
    return int(np.random.Philox(key=key).random_raw() >> 11)


def log_softmax(logits_V: np.ndarray) -> np.ndarray:
    """Natural log-probabilities of all tokens, float64."""
    shifted = logits_V.astype(np.float64) - logits_V.max()
    return shifted - np.log(np.exp(shifted).sum())


def most_probable(logprobs_V: np.ndarray, count: int) -> dict[int, float]:
    """The ``count`` most probable tokens and their log-probabilities, the lowest id first among equals."""
    if count == 0:
        return {}
    scaled_V = logprobs_V - logprobs_V.max()
    ids = np.flatnonzero(_fewest(scaled_V, _buckets(scaled_V), np.ones(len(logprobs_V)), count))
    ids = ids[np.argsort(-logprobs_V[ids], kind="stable")]
    return {int(token_id): float(logprobs_V[token_id]) for token_id in ids}


def _truncate(weights_V: np.ndarray, scaled_V: np.ndarray, request: Request) -> None:
    """Set the weights to 0 that top-k and top-p rule out."""
    buckets_V = _buckets(scaled_V)
    if request.top_k:
        weights_V *= _fewest(scaled_V, buckets_V, np.ones(len(weights_V)), request.top_k)
    if request.top_p < 1.0:
        weights_V *= _fewest(scaled_V, buckets_V, weights_V, request.top_p * weights_V.sum())


def _buckets(scaled_V: np.ndarray) -> np.ndarray:
    """Deal tokens into buckets by their logits, given less the largest of them; int32, 0 holds the most probable."""
    lowest = max(float(scaled_V.min()), -_SPREAD_NATS)
    per_nat = (_NUM_BUCKETS - 1) / lowest if lowest < 0.0 else 0.0
    return (np.maximum(scaled_V, lowest) * per_nat).astype(np.int32)


def _fewest(scaled_V: np.ndarray, buckets_V: np.ndarray, masses_V: np.ndarray, wanted: float) -> np.ndarray:
    """Which tokens are the fewest that hold ``wanted`` mass: the most probable ones, the lowest id among equals; bool.

    Only the bucket in which the mass is reached is sorted.

    Args:
        scaled_V: logits less the largest of them.
        buckets_V: of ``_buckets``.
        masses_V: what each token counts for: whole numbers, so that sums are exact.
        wanted: all tokens, where they hold less.
    """
    masses = np.cumsum(np.bincount(buckets_V, masses_V))
    reached = int(np.searchsorted(masses, wanted, side="left"))
    kept_V = buckets_V < reached
    if reached < len(masses):
        inside = np.flatnonzero(buckets_V == reached)
        order = inside[np.argsort(-scaled_V[inside], kind="stable")]
        before = masses[reached - 1] if reached else 0.0
        num_needed = int(np.searchsorted(before + np.cumsum(masses_V[order]), wanted, side="left")) + 1
        kept_V[order[:num_needed]] = True
    return kept_V


def _arrays(numbers: Mapping[int, float]) -> tuple[np.ndarray, np.ndarray]:
    """A mapping's ids as int64 and its numbers as float32."""
    ids = np.fromiter(numbers.keys(), np.int64, len(numbers))
    return ids, np.fromiter(numbers.values(), np.float32, len(numbers))
