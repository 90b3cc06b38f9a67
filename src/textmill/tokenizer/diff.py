"""What two tokenizers do differently: settings, tokens, and every stretch of a text that they cut in other places.

Both cut a text into spans. Where both have an edge they can be compared: between two common edges next to each other
lies either one token of each, the same bytes, or a stretch that they write in different tokens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textmill import _core
from textmill.base.errors import ConfigError
from textmill.text.readers import Source
from textmill.text.stream import LastCut, TextPart, read_parts, source_files
from textmill.tokenizer.corpus import to_bytes
from textmill.tokenizer.explain import to_json
from textmill.tokenizer.tokenizer import Text, Tokenizer

_CHUNK_BYTES = 4 << 20
# Rare stretches are forgotten when there are more than these; what they cost stays in all the totals.
_MAX_STRETCHES = 1 << 19
_MAX_STRETCH_BYTES = 256
_NOT_SETTINGS = {"pieces", "kinds", "scores", "charsmap"}


@dataclass(frozen=True, slots=True)
class Setting:
    """Something that is set otherwise in the two; ``a`` and ``b`` are what JSON can hold."""

    name: str
    a: Any
    b: Any


@dataclass(frozen=True, slots=True)
class Usage:
    """What a source costs in each.

    Attributes:
        source: the file; "" for texts of no file.
        num_texts, num_bytes: texts, and bytes of them.
        num_tokens_a, num_tokens_b: tokens that they become.
        num_agreed_bytes: bytes in tokens that both have at that place.
    """

    source: str
    num_texts: int
    num_bytes: int
    num_tokens_a: int
    num_tokens_b: int
    num_agreed_bytes: int

    @property
    def bytes_per_token_a(self) -> float:
        """Bytes per token of the first; 0 where there are none."""
        return self.num_bytes / self.num_tokens_a if self.num_tokens_a else 0.0

    @property
    def bytes_per_token_b(self) -> float:
        """Bytes per token of the second; 0 where there are none."""
        return self.num_bytes / self.num_tokens_b if self.num_tokens_b else 0.0

    @property
    def agreement(self) -> float:
        """The share of the bytes that both have in the same tokens; 1 where there is no text."""
        return self.num_agreed_bytes / self.num_bytes if self.num_bytes else 1.0


@dataclass(frozen=True, slots=True)
class OwnToken:
    """A token that only one of the two has: how often the texts use it, and what the other makes of its bytes."""

    id: int
    text: bytes
    count: int
    instead: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Bytes that the two write in different tokens: how often, and the tokens of each."""

    text: bytes
    count: int
    a: tuple[bytes, ...]
    b: tuple[bytes, ...]

    @property
    def num_saved(self) -> int:
        """Tokens that the first saves against the second, in all; negative where it needs more."""
        return self.count * (len(self.b) - len(self.a))


@dataclass(frozen=True, slots=True)
class TokenizerDiff:
    """What two tokenizers, a and b, do differently.

    Attributes:
        settings: what is set otherwise.
        num_shared: different tokens, by their bytes, that both have; ``num_only_a`` and ``num_only_b`` one has.
        total: all texts together, and ``sources``, those of each file in the order in which they came.
        only_a, only_b: the most used of the tokens that one has alone.
        shorter_a, shorter_b: stretches that one writes in fewer tokens, the most saved first.
        other: stretches of equal numbers of tokens, the most frequent first.
        num_forgotten: stretches, rare or longer than 256 bytes, that were left out of these lists.
    """

    settings: tuple[Setting, ...]
    num_shared: int
    num_only_a: int
    num_only_b: int
    total: Usage
    sources: tuple[Usage, ...]
    only_a: tuple[OwnToken, ...]
    only_b: tuple[OwnToken, ...]
    shorter_a: tuple[Stretch, ...]
    shorter_b: tuple[Stretch, ...]
    other: tuple[Stretch, ...]
    num_forgotten: int

    def to_dict(self) -> dict[str, Any]:
        """Return nested dicts, lists, strings and numbers."""
        table = to_json(self)
        for usage, row in zip((self.total, *self.sources), (table["total"], *table["sources"]), strict=True):
            row["bytes_per_token_a"], row["bytes_per_token_b"] = usage.bytes_per_token_a, usage.bytes_per_token_b
            row["agreement"] = usage.agreement
        return table


def diff(
    a: Tokenizer,
    b: Tokenizer,
    texts: Iterable[Text | TextPart],
    *,
    top: int = 20,
    progress: Callable[[int], object] | None = None,
) -> TokenizerDiff:
    """Compare two tokenizers, by their settings and on texts, which are taken one after the other.

    Args:
        a, b: the tokenizers.
        texts: whole texts, or what ``parts_of_files`` yields. Special tokens in a text are text.
        top: how many tokens and stretches each list holds.
        progress: called with the bytes seen so far, of files as they lie on the disk.

    Raises:
        ConfigError: ``top`` is below 0, or ``texts`` is one text.
    """
    if isinstance(texts, str | bytes):
        raise ConfigError("texts is one text; give a list of texts")
    if top < 0:
        raise ConfigError(f"top is {top}, and must be 0 or more")
    comparison = _Comparison(a, b)
    for text in texts:
        part = text if isinstance(text, TextPart) else TextPart(_data(text), "", True, 0)
        comparison.add(part)
        if progress is not None:
            progress(part.disk_bytes or comparison.num_bytes)
    return comparison.result(top)


def parts_of_files(a: Tokenizer, b: Tokenizer, files: Source) -> Iterator[TextPart]:
    """Read files, folders and globs to compare two tokenizers on; each file is a source.

    Long files come in parts where both tokenizers cut there anyway, and are else held whole, one at a time.

    Raises:
        DataError: a path does not exist, a folder holds no text, a file is not UTF-8 or a record has no text.
    """
    done = 0
    for file in source_files(files):
        for part in read_parts(file.path, last_cut=_last_cut(a, b)):
            yield TextPart(part.data, str(file.path), part.ends_text, done + part.disk_bytes)
        done += file.path.stat().st_size


def _data(text: Text) -> bytes:
    return to_bytes(text) if isinstance(text, str) else text


def _last_cut(a: Tokenizer, b: Tokenizer) -> LastCut | None:
    """What finds places to cut a text where a piece of both ends; None where texts stay whole."""
    if not (_tiles_bytes(a) and _tiles_bytes(b)):
        return None
    return partial(_core.last_cut, [each.vocabulary.pattern.splitter() for each in (a, b)])


def _tiles_bytes(tokenizer: Tokenizer) -> bool:
    """Whether the bytes of a text's tokens, one after the other, are the text."""
    vocabulary = tokenizer.vocabulary
    changes_text = vocabulary.normalizer or vocabulary.adds_prefix_space or tokenizer.missing_bytes
    return vocabulary.characters is None and not changes_text


@dataclass(slots=True, eq=False)
class _Side:
    """One of the two: what its tokens are, and how often each was used."""

    tokenizer: Tokenizer
    lengths: NDArray[np.int64]
    uses: NDArray[np.int64]

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> _Side:
        lengths = np.array([len(token) for token in tokenizer.vocabulary.tokens], dtype=np.int64)
        return cls(tokenizer, lengths, np.zeros(len(lengths), dtype=np.int64))

    def encode(self, text: bytes) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Return the ids of a text, and the edges of their spans: one more than ids, from 0 to the text's end."""
        if _tiles_bytes(self.tokenizer):
            ids = self.tokenizer.encode_batch([text], threads=1).ids
            edges = np.concatenate(([0], np.cumsum(self.lengths[ids])))
        else:
            listed, spans = self.tokenizer.encode_with_spans(text)
            ids = np.array(listed, dtype=np.uint32)
            edges = np.array([0, *(end for _, end in spans)], dtype=np.int64)
        self.uses += np.bincount(ids, minlength=len(self.uses))
        return ids, edges

    def texts(self, ids: bytes) -> tuple[bytes, ...]:
        """What tokens decode to, from their ids as an array's bytes."""
        return tuple(self.tokenizer.token_bytes(i) for i in np.frombuffer(ids, dtype=np.uint32).tolist())


@dataclass(slots=True)
class _Sums:
    num_texts: int = 0
    num_bytes: int = 0
    num_tokens_a: int = 0
    num_tokens_b: int = 0
    num_agreed_bytes: int = 0

    def usage(self, source: str) -> Usage:
        return Usage(
            source, self.num_texts, self.num_bytes, self.num_tokens_a, self.num_tokens_b, self.num_agreed_bytes
        )


class _Comparison:
    """What was counted so far."""

    def __init__(self, a: Tokenizer, b: Tokenizer) -> None:
        self.a, self.b = _Side.of(a), _Side.of(b)
        self.last_cut = _last_cut(a, b)
        self.total, self.sources = _Sums(), dict[str, _Sums]()
        self.stretches: Counter[tuple[bytes, bytes, bytes]] = Counter()
        self.num_forgotten = 0

    @property
    def num_bytes(self) -> int:
        return self.total.num_bytes

    def add(self, part: TextPart) -> None:
        sums = [self.total]
        if part.source:
            sums.append(self.sources.setdefault(part.source, _Sums()))
        for each in sums:
            each.num_texts += part.ends_text
        for chunk in _chunks(part.data, self.last_cut):
            num_tokens_a, num_tokens_b, num_agreed = self._compare(chunk)
            for each in sums:
                each.num_bytes += len(chunk)
                each.num_tokens_a += num_tokens_a
                each.num_tokens_b += num_tokens_b
                each.num_agreed_bytes += num_agreed

    def _compare(self, text: bytes) -> tuple[int, int, int]:
        (ids_a, edges_a), (ids_b, edges_b) = self.a.encode(text), self.b.encode(text)
        common = np.intersect1d(edges_a, edges_b)
        firsts_a, firsts_b = _places(common, edges_a), _places(common, edges_b)
        is_same = (np.diff(firsts_a) == 1) & (np.diff(firsts_b) == 1)
        num_agreed = int(np.diff(common)[is_same].sum())
        self._count_stretches(text, common, ~is_same, (ids_a.tobytes(), firsts_a), (ids_b.tobytes(), firsts_b))
        return len(ids_a), len(ids_b), num_agreed

    def _count_stretches(
        self,
        text: bytes,
        common: NDArray[np.int64],
        differs: NDArray[np.bool_],
        a: tuple[bytes, NDArray[np.int64]],
        b: tuple[bytes, NDArray[np.int64]],
    ) -> None:
        is_short = np.diff(common) <= _MAX_STRETCH_BYTES
        self.num_forgotten += int((differs & ~is_short).sum())
        first = np.flatnonzero(differs & is_short)
        (ids_a, firsts_a), (ids_b, firsts_b) = a, b
        rows = zip(
            *(
                places[chosen].tolist()
                for places in (common, 4 * firsts_a, 4 * firsts_b)
                for chosen in (first, first + 1)
            ),
            strict=True,
        )
        self.stretches.update(
            (text[begin:end], ids_a[begin_a:end_a], ids_b[begin_b:end_b])
            for begin, end, begin_a, end_a, begin_b, end_b in rows
        )
        if len(self.stretches) > _MAX_STRETCHES:
            kept = Counter(dict(self.stretches.most_common(_MAX_STRETCHES // 2)))
            self.num_forgotten += len(self.stretches) - len(kept)
            self.stretches = kept

    def result(self, top: int) -> TokenizerDiff:
        tokens_a, tokens_b = (_tokens(side.tokenizer) for side in (self.a, self.b))
        stretches = [
            Stretch(text, count, self.a.texts(ids_a), self.b.texts(ids_b))
            for (text, ids_a, ids_b), count in self._candidates(top)
        ]
        stretches.sort(key=lambda stretch: (-abs(stretch.num_saved), -stretch.count, stretch.text))
        return TokenizerDiff(
            settings=tuple(_settings(self.a.tokenizer, self.b.tokenizer)),
            num_shared=len(tokens_a & tokens_b),
            num_only_a=len(tokens_a - tokens_b),
            num_only_b=len(tokens_b - tokens_a),
            total=self.total.usage(""),
            sources=tuple(sums.usage(source) for source, sums in self.sources.items()),
            only_a=tuple(_own_tokens(self.a, tokens_b, self.b.tokenizer, top)),
            only_b=tuple(_own_tokens(self.b, tokens_a, self.a.tokenizer, top)),
            shorter_a=tuple(stretch for stretch in stretches if stretch.num_saved > 0),
            shorter_b=tuple(stretch for stretch in stretches if stretch.num_saved < 0),
            other=tuple(stretch for stretch in stretches if stretch.num_saved == 0),
            num_forgotten=self.num_forgotten,
        )

    def _candidates(self, top: int) -> Iterator[tuple[tuple[bytes, bytes, bytes], int]]:
        """The stretches at the top of each of the three lists."""
        lists: tuple[list[Any], list[Any], list[Any]] = ([], [], [])
        for key, count in self.stretches.items():
            num_saved = count * (len(key[2]) - len(key[1]))
            lists[(num_saved > 0) - (num_saved < 0)].append((-abs(num_saved), -count, key))
        for entries in lists:
            for _, count, key in sorted(entries)[:top]:
                yield key, -count


def _chunks(text: bytes, last_cut: LastCut | None) -> Iterator[bytes]:
    """Cut a long text where both may be cut; without such a place in a chunk, it is joined with the next one."""
    begin = end = 0
    while len(text) - end > _CHUNK_BYTES:
        cut = last_cut(text[end : end + _CHUNK_BYTES]) if last_cut else 0
        if cut:
            yield text[begin : end + cut]
            begin = end + cut
        end = begin if cut else end + _CHUNK_BYTES
    if begin < len(text):
        yield text[begin:]


def _places(common: NDArray[np.int64], edges: NDArray[np.int64]) -> NDArray[np.int64]:
    """The token that begins at each common edge; the number of tokens for the last."""
    places = np.searchsorted(edges, common, side="left")
    places[-1:] = len(edges) - 1  # tokens without a span of their own may stand at the end
    return places


def _tokens(tokenizer: Tokenizer) -> set[bytes]:
    added = set(tokenizer.special_tokens.values())
    return {token for i, token in enumerate(tokenizer.vocabulary.tokens) if token and i not in added}


def _own_tokens(side: _Side, others: set[bytes], other: Tokenizer, top: int) -> Iterator[OwnToken]:
    tokens, added, found = side.tokenizer.vocabulary.tokens, set(side.tokenizer.special_tokens.values()), 0
    for token_id in np.argsort(-side.uses, kind="stable").tolist():
        if found == top or not side.uses[token_id]:
            return
        text = tokens[token_id]
        if text and text not in others and token_id not in added:
            found += 1
            spans = other.encode_with_spans(text)[1]
            instead = tuple(text[begin:end] for begin, end in spans if begin < end)
            yield OwnToken(token_id, text, int(side.uses[token_id]), instead)


def _settings(a: Tokenizer, b: Tokenizer) -> Iterator[Setting]:
    facts_a, facts_b = _facts(a), _facts(b)
    for name in [*facts_a, *(name for name in facts_b if name not in facts_a)]:
        if facts_a.get(name) != facts_b.get(name):
            yield Setting(name, facts_a.get(name), facts_b.get(name))
    specials_a, specials_b = a.special_tokens, b.special_tokens
    for text in [*specials_a, *(text for text in specials_b if text not in specials_a)]:
        if specials_a.get(text) != specials_b.get(text):
            yield Setting(f"special token {text}", specials_a.get(text), specials_b.get(text))


def _facts(tokenizer: Tokenizer) -> dict[str, Any]:
    vocabulary = tokenizer.vocabulary
    facts = {
        "merges": "bytes" if vocabulary.characters is None else "characters",
        "tokens": tokenizer.vocab_size,
        "number of merges": len(tokenizer.merge_table),
        "pattern": tokenizer.pattern,
        "regexes": list(vocabulary.pattern.regexes),
        "normaliser": tokenizer.normalizer,
        "space before a text": vocabulary.adds_prefix_space,
        "whole pieces are looked up": vocabulary.whole_pieces,
        "bytes without a token": tokenizer.missing_bytes.hex(" "),
        "ids before a text": list(tokenizer.prefix_ids),
        "ids after a text": list(tokenizer.suffix_ids),
        "ids that end a text": list(tokenizer.stop_ids),
        "chat template": tokenizer.chat_template,
    }
    rules = vocabulary.characters.facts() if vocabulary.characters is not None else {}
    return facts | {name.replace("_", " "): value for name, value in rules.items() if name not in _NOT_SETTINGS}
