"""Documents that hold items of evaluation sets: found, reported, and dropped or cut."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from textmill import _core
from textmill.base.errors import ConfigError, did_you_mean
from textmill.text.decontamination.cutting import cut_out
from textmill.text.decontamination.entries import entries_of
from textmill.text.decontamination.items import EvalItem, read_items
from textmill.text.decontamination.profiles import Profile
from textmill.text.folders import Source
from textmill.text.text_batch import TextBatch

Action = Literal["drop", "cut", "report"]
ACTIONS: tuple[Action, ...] = ("drop", "cut", "report")


@dataclass(frozen=True, slots=True)
class Hit:
    """An item found in a document.

    Attributes:
        document: its number in the batch.
        item: the item's number in ``Decontaminator.items``.
        begin: character of the document where what was found begins.
        end: and where it ends.
        ngram: the first n-gram that both have, as it stands in the document.
        ratio: how much of the item is there, by the profile's measure.
        action: what became of the document: ``drop``, ``cut`` or ``report``.
    """

    document: int
    item: int
    begin: int
    end: int
    ngram: str
    ratio: float
    action: Action


@dataclass(frozen=True, slots=True, eq=False)
class Contamination:
    """What was found in a batch of documents.

    Attributes:
        kept: bool[num_documents]: false for those to be dropped.
        hits: by document, item and place.
        texts: the documents, all of them; those with cuts have changed.
        num_rejected: int64[num_items]: documents that share an n-gram with an item, and less than the profile asks for.
    """

    kept: NDArray[np.bool_]
    hits: list[Hit]
    texts: TextBatch
    num_rejected: NDArray[np.int64]

    def without(self, documents: Collection[int]) -> Contamination:
        """Return what was found where some documents are dropped that something was cut out of."""
        if not documents:
            return self
        kept = self.kept.copy()
        kept[list(documents)] = False
        hits = [hit if kept[hit.document] else _with_action(hit, "drop") for hit in self.hits]
        return Contamination(kept, hits, self.texts, self.num_rejected)


class Decontaminator:
    """Finds items of evaluation sets in documents. Immutable; it can be pickled, and builds its index again.

    Attributes:
        items: what is looked for.
        profile: how.
        action: what becomes of a document with an item: ``drop`` leaves it out, ``cut`` takes out what was found with
            200 characters on either side (see ``cutting``), ``report`` leaves it as it is.
        num_words: int64[num_items]: words of the longest text of each item that is looked for.
    """

    def __init__(self, items: Sequence[EvalItem], profile: Profile, action: Action = "drop") -> None:
        if action not in ACTIONS:
            raise ConfigError(
                f'the action is "{action}", and must be drop, cut or report' + did_you_mean(action, ACTIONS)
            )
        self.items = tuple(items)
        self.profile = profile
        self.action: Action = action
        entries = [entries_of(item, profile) for item in self.items]
        counts = [len(texts) for texts in entries]
        self._item_of_entry = np.repeat(np.arange(len(counts)), counts)
        texts = TextBatch.of([text.encode("utf-8", "replace") for texts in entries for text in texts])
        self._index = _core.NgramIndex(
            texts.data,
            texts.offsets,
            ngram=profile.ngram,
            min_words=profile.min_words,
            measure=profile.measure,
            min_ratio=profile.min_ratio,
        )
        self.num_words = np.zeros(len(self.items), np.int64)
        np.maximum.at(self.num_words, self._item_of_entry, self._index.num_words)

    @classmethod
    def against(
        cls,
        paths: Source,
        profile: str = "finemath",
        *,
        action: Action = "drop",
        fields: Sequence[str] | None = None,
        answer_fields: Sequence[str] | None = None,
        **overrides: Any,
    ) -> Decontaminator:
        """Look for the items of ``.jsonl`` files.

        Args:
            paths: files or globs.
            profile: a name of ``PROFILES``.
            action: what becomes of a document with an item.
            fields: of an item's record, as ``read_items`` takes them.
            answer_fields: the same.
            overrides: settings of the profile to change: ``ngram``, ``min_ratio``, ``min_words``.

        Raises:
            ConfigError: there is no such profile, action or setting.
            DataError: a file cannot be read, or an item has no text.
        """
        chosen = Profile.named(profile, **overrides)
        return cls(read_items(paths, fields=fields, answer_fields=answer_fields), chosen, action)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.items, self.profile, self.action)

    @property
    def cannot_be_found(self) -> NDArray[np.bool_]:
        """Items that are too short for the profile: bool[num_items]."""
        return self.num_words < self.profile.min_words

    def apply(self, texts: TextBatch, threads: int = 0) -> Contamination:
        """Look for the items in documents; ``threads`` 0 is one for each core, and never changes the result."""
        rows, ratios, rejected = self._index.scan(texts.data, texts.offsets, threads)
        hits, spans = self._hits(texts, rows, ratios)
        kept = np.ones(len(texts), np.bool_)
        if self.action == "drop":
            kept[rows[:, 0]] = False
        elif self.action == "cut" and hits:
            texts, kept = cut_out(texts, spans)
            hits = [hit if kept[hit.document] else _with_action(hit, "drop") for hit in hits]
        num_rejected = np.zeros(len(self.items), np.int64)
        np.add.at(num_rejected, self._item_of_entry, rejected)
        return Contamination(kept, hits, texts, num_rejected)

    def _hits(
        self, texts: TextBatch, rows: NDArray[np.int64], ratios: NDArray[np.float64]
    ) -> tuple[list[Hit], dict[int, list[tuple[int, int]]]]:
        """Make hits of what the index found, and the byte spans by document."""
        hits: list[Hit] = []
        spans: dict[int, list[tuple[int, int]]] = {}
        characters = np.empty(0, np.int64)
        for (document, entry, begin, end, first, last), ratio in zip(rows.tolist(), ratios.tolist(), strict=True):
            data = texts.data[texts.offsets[document] : texts.offsets[document + 1]]
            if document not in spans:
                # Characters before each byte, for documents with hits only: bytes that continue one are 10xxxxxx.
                characters = np.concatenate(([0], np.cumsum((data & 0xC0) != 0x80)))
            spans.setdefault(document, []).append((begin, end))
            ngram = " ".join(data[first:last].tobytes().decode("utf-8", "replace").split())
            item = int(self._item_of_entry[entry])
            place = (int(characters[begin]), int(characters[end]))
            hits.append(Hit(document, item, *place, ngram, ratio, self.action))
        return hits, spans


def _with_action(hit: Hit, action: Action) -> Hit:
    return Hit(hit.document, hit.item, hit.begin, hit.end, hit.ngram, hit.ratio, action)
