"""The twin of deduplication in plain Python: shingle sets, MinHash, candidates by a dictionary, clusters by search."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from textmill.text.dedup.settings import DedupSettings, MinHashSettings
from textmill.text.reference_words import folded_words

_MASK = (1 << 64) - 1
_MULTIPLIER = 0x9E3779B97F4A7C15


def text_hash(data: bytes) -> tuple[int, int]:
    """Compute 128 bits of a text."""
    first, second = 0x243F6A8885A308D3, 0x13198A2E03707345
    third, fourth = 0xA4093822299F31D1, 0x082EFA98EC4E6C89
    for begin in range(0, len(data) // 16 * 16 + 1, 16):
        low = int.from_bytes(data[begin : begin + 8], "little")
        high = int.from_bytes(data[begin + 8 : begin + 16], "little")
        first, second = _folded(first ^ low, high ^ third), _folded(second ^ high, low ^ fourth)
    length = len(data)
    return _folded(first ^ length, second ^ third), _folded(second ^ length ^ 0x13198A2E03707345, first ^ fourth)


def _folded(a: int, b: int) -> int:
    product = a * b
    return (product & _MASK) ^ (product >> 64)


def _mix(state: int, block: int) -> int:
    state = (state ^ block) * _MULTIPLIER & _MASK
    return state ^ (state >> 32)


def _word_hash(word: bytes) -> int:
    state = len(word) * _MULTIPLIER & _MASK
    for begin in range(0, max(16, len(word)), 8):
        state = _mix(state, int.from_bytes(word[begin : begin + 8], "little"))
    return state


def shingles(text: str, ngram: int) -> set[int]:
    """Hash every ``ngram`` words in a row; fewer are one shingle."""
    hashes = [_word_hash(word.folded.encode()) for word in folded_words(text)]
    ngram = min(ngram, len(hashes))
    return {_shingle_hash(hashes[i : i + ngram]) for i in range(len(hashes) - ngram + 1)} if hashes else set()


def _shingle_hash(hashes: Sequence[int]) -> int:
    h = len(hashes) + sum(word * pow(_MULTIPLIER, place, 1 << 64) for place, word in enumerate(hashes, 1)) & _MASK
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        h = (h ^ (h >> 33)) * factor & _MASK
    return h ^ (h >> 33)


def jaccard(a: set[int], b: set[int]) -> float:
    """Compute the share of what is in either that is in both; 0 of two empty sets."""
    return len(a & b) / len(a | b) if a or b else 0.0


def _random_numbers(seed: int) -> Iterator[int]:
    """SplitMix64."""
    while True:
        seed = (seed + _MULTIPLIER) & _MASK
        z = (seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & _MASK
        yield z ^ (z >> 31)


def band_keys(sets: set[int], settings: MinHashSettings) -> list[int]:
    """Compute the key of each band: of the least numbers that permutations make of the upper halves of shingles."""
    if not sets:
        return [0] * settings.bands
    numbers = _random_numbers(settings.seed)
    keys = []
    for band in range(settings.bands):
        key = band + 1
        for _ in range(settings.rows):
            factor, term = divmod(next(numbers), 1 << 32)[::-1]
            least = min(((factor | 1) * (shingle >> 32) + term) & 0xFFFFFFFF for shingle in sets)
            key = _mix(key, least)
        keys.append(key or 1)
    return keys


@dataclass(frozen=True, slots=True)
class KnownText:
    """A document with what decides whether it stays."""

    text: str
    score: float = 0.0
    source: str = ""


def cluster_sizes(documents: Sequence[KnownText], settings: DedupSettings) -> list[int]:
    """Compute how many documents each one that stays stands for, 0 for the others."""
    sizes = [0] * len(documents)
    for source in sorted({each.source for each in documents} if settings.scope == "source" else {""}):
        chosen = [i for i, each in enumerate(documents) if settings.scope == "all" or each.source == source]
        for cluster in _clusters(chosen, documents, settings):
            sizes[_keeper(cluster, documents, settings)] = len(cluster)
    return sizes


def _clusters(chosen: list[int], documents: Sequence[KnownText], settings: DedupSettings) -> list[list[int]]:
    """Join copies first; of these only the one that stays is compared with others."""
    copies: dict[object, list[int]] = {}
    for i in chosen:
        copies.setdefault(documents[i].text if settings.exact else i, []).append(i)
    clusters = {_keeper(same, documents, settings): same for same in copies.values()}
    if settings.minhash is not None:
        for a, b in _links(sorted(clusters), documents, settings.minhash):
            first = next(cluster for cluster in clusters.values() if a in cluster)
            second = next(key for key, cluster in clusters.items() if b in cluster)
            if clusters[second] is not first:
                first += clusters.pop(second)
    return list(clusters.values())


def _links(chosen: list[int], documents: Sequence[KnownText], minhash: MinHashSettings) -> Iterator[tuple[int, int]]:
    """Compare the documents that share a key with the leaders before them."""
    sets = {i: shingles(documents[i].text, minhash.ngram) for i in chosen}
    groups: dict[tuple[int, int], list[int]] = {}
    for i in chosen:
        for band, key in enumerate(band_keys(sets[i], minhash) if sets[i] else []):
            leaders = groups.setdefault((band, key), [])
            like = next((one for one in leaders if jaccard(sets[one], sets[i]) >= minhash.min_jaccard), None)
            if like is not None:
                yield like, i
            elif len(leaders) < minhash.max_leaders:
                leaders.append(i)


def _keeper(cluster: list[int], documents: Sequence[KnownText], settings: DedupSettings) -> int:
    def rank(i: int) -> tuple[float, ...]:
        by_rule = {"score": -documents[i].score, "longest": -len(documents[i].text.encode()), "first": i}
        return (*(by_rule[rule] for rule in settings.keep), i)

    return min(cluster, key=rank)
