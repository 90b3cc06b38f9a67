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
from textmill.text.folders import Source
from textmill.text.stream import LastCut, TextPart, read_parts, source_files
from textmill.tokenizer.diff_settings import settings
from textmill.tokenizer.difference import OwnToken, Stretch, TokenizerDiff, Usage
from textmill.tokenizer.tokenizer import Text, Tokenizer
from textmill.tokenizer.utf8 import to_bytes

_CHUNK_BYTES = 4 << 20
# Rare stretches are forgotten when there are more than these; what they cost stays in all the totals.
_MAX_STRETCHES = 1 << 19
_MAX_STRETCH_BYTES = 256


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
        part = text if isinstance(text, TextPart) else TextPart(to_bytes(text), "", True, 0)
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
            settings=tuple(settings(self.a.tokenizer, self.b.tokenizer)),
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
