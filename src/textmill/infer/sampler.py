"""From logits to a token: bias and penalties, then greedy, or drawn with temperature, top-k, top-p and min-p.

Everything here is a pure function: the random number of a draw depends on the seed and on the position in the text
alone, so a prompt with a seed gives the same tokens alone, in a batch, and continued from its own middle.

Probabilities are whole numbers in float64, in units so small that the whole vocabulary's sum stays below 2^53. Their
sums are exact in any order, so nothing is sorted that need not be.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from textmill.infer.request import Request

# What is further below the most probable token shares the last bucket; weights end there anyway. A bucket of 0.01 nats
# holds a few dozen tokens of a vocabulary.
_SPREAD_NATS = 40.0
_NUM_BUCKETS = 4096
_GROUP = 64
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
    ids, weights = distribution(logits_V, request)
    ends = np.cumsum(np.add.reduceat(weights, np.arange(0, len(weights), _RUN)))
    drawn = random_bits(seed, position) * int(ends[-1]) >> _RANDOM_BITS
    run = int(np.searchsorted(ends, drawn, side="right"))
    drawn -= int(ends[run - 1]) if run else 0
    start = run * _RUN
    return int(ids[start + np.searchsorted(np.cumsum(weights[start : start + _RUN]), drawn, side="right")])


def distribution(logits_V: np.ndarray, request: Request) -> tuple[np.ndarray, np.ndarray]:
    """Ids in ascending order, all that may be drawn among them, and their weights: whole numbers in float64.

    The most probable token weighs 2^(52 - bits of V); what is less than half a unit, in a vocabulary of 49,152 tokens
    26 nats below it, weighs nothing. top-k comes first, then top-p, then min-p, each on what the one before left; of
    equals the lowest ids stay.
    """
    ids = _candidates(logits_V, request.top_k or len(logits_V))
    scaled = (logits_V if len(ids) == len(logits_V) else logits_V[ids]).astype(np.float64)
    scaled -= scaled.max()
    with np.errstate(
        over="ignore"
    ):  # a tiny temperature makes minus infinity of a difference, and nothing of its weight
        scaled /= request.temperature
    weights = np.exp(scaled)
    weights *= 2.0 ** (_EXACT_BITS - len(logits_V).bit_length())
    np.rint(weights, out=weights)
    if request.top_k or request.top_p < 1.0:
        _truncate(weights, scaled, request)
    if request.min_p > 0.0:
        weights *= weights >= request.min_p * weights.max()
    return ids, weights


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
    ids = _candidates(logprobs_V, count)
    ids = ids[np.argsort(-logprobs_V[ids], kind="stable")[:count]]
    return {int(token_id): float(logprobs_V[token_id]) for token_id in ids}


def _candidates(values_V: np.ndarray, count: int) -> np.ndarray:
    """Ids in ascending order that hold the ``count`` largest values and all that equal the last of them.

    As many groups of tokens as are wanted have a token that is at least the ``count``-th best of the groups' best ones.
    """
    starts = np.arange(0, len(values_V), _GROUP)
    if 2 * count > len(starts):
        return np.arange(len(values_V))
    best = np.maximum.reduceat(values_V, starts)
    return np.flatnonzero(values_V >= np.partition(best, len(best) - count)[len(best) - count])


def _truncate(weights: np.ndarray, scaled: np.ndarray, request: Request) -> None:
    """Set the weights to 0 that top-k and top-p rule out."""
    buckets = _buckets(scaled)
    if request.top_k:
        weights *= _fewest(scaled, buckets, np.ones(len(weights)), request.top_k)
    if request.top_p < 1.0:
        weights *= _fewest(scaled, buckets, weights, request.top_p * weights.sum())


def _buckets(scaled: np.ndarray) -> np.ndarray:
    """Deal tokens into buckets by their logits, given less the largest of them; int32, 0 holds the most probable."""
    lowest = max(float(scaled.min()), -_SPREAD_NATS)
    per_nat = (_NUM_BUCKETS - 1) / lowest if lowest < 0.0 else 0.0
    return (np.maximum(scaled, lowest) * per_nat).astype(np.int32)


def _fewest(scaled: np.ndarray, buckets: np.ndarray, masses: np.ndarray, wanted: float) -> np.ndarray:
    """Which tokens are the fewest that hold ``wanted`` mass: the most probable ones, the lowest id among equals; bool.

    Only the bucket in which the mass is reached is sorted.

    Args:
        scaled: logits less the largest of them.
        buckets: of ``_buckets``.
        masses: what each token counts for: whole numbers, so that sums are exact.
        wanted: all tokens, where they hold less.
    """
    held = np.cumsum(np.bincount(buckets, masses))
    reached = int(np.searchsorted(held, wanted, side="left"))
    kept = buckets < reached
    if reached < len(held):
        inside = np.flatnonzero(buckets == reached)
        order = inside[np.argsort(-scaled[inside], kind="stable")]
        before = held[reached - 1] if reached else 0.0
        num_needed = int(np.searchsorted(before + np.cumsum(masses[order]), wanted, side="left")) + 1
        kept[order[:num_needed]] = True
    return kept


def _arrays(numbers: Mapping[int, float]) -> tuple[np.ndarray, np.ndarray]:
    """A mapping's ids as int64 and its numbers as float32."""
    ids = np.fromiter(numbers.keys(), np.int64, len(numbers))
    return ids, np.fromiter(numbers.values(), np.float32, len(numbers))
