"""Text to token ids, with added tokens, normalising, and what is put before a text: all but the plainest of encoding.

A text is taken apart into added tokens and ordinary text, and the native encoders turn ordinary text into ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from textmill import _core
from textmill.base.errors import DataError
from textmill.tokenizer.batch import TokenBatch
from textmill.tokenizer.chat_strings import RenderedPart
from textmill.tokenizer.normalize import normalize, places_with_dropped, with_prefix_space
from textmill.tokenizer.special import AddedTokens, Part, SpecialPolicy
from textmill.tokenizer.utf8 import to_bytes
from textmill.tokenizer.vocabulary import Encoder, Vocabulary

Text = str | bytes
Span = tuple[int, int]


class TextEncoder:
    """The native encoders of a vocabulary, and its added tokens. Immutable.

    Attributes:
        vocabulary: what it encodes with.
        added: its added tokens.
        at_start, after_token: the encoders of ordinary text at the start of a text, and after an added token.
        missing_bytes: bytes that are left out of a text, because no token stands for them.
        is_plain: ordinary text is encoded as it is: nothing is normalised or put before it.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.at_start, self.after_token = vocabulary.build_encoders()  # which checks that all fits together
        self.added = AddedTokens(vocabulary.added, vocabulary.normalizer)
        self.missing_bytes = self.at_start.missing_bytes if isinstance(self.at_start, _core.Encoder) else b""
        if vocabulary.whole_pieces and self.missing_bytes:
            _check_whole_pieces(vocabulary, self.missing_bytes)
        self.is_plain = not vocabulary.normalizer and not vocabulary.adds_prefix_space

    def encode(self, text: Text, special: SpecialPolicy) -> list[int]:
        """Turn a text into ids; ``Tokenizer.encode`` says how."""
        ids: list[int] = []
        for number, part in enumerate(self.added.split(to_bytes(text), special)):
            if part.token_id is not None:
                ids.append(part.token_id)
            else:
                ids += self._encode_ordinary(part.text, is_at_start=number == 0)
        return ids

    def encode_rendered(self, parts: Iterable[RenderedPart]) -> list[int]:
        """Turn what a chat template wrote into ids.

        Its own texts may hold added tokens, those of messages are ordinary. Ordinary text between two added tokens is
        encoded as one, whoever wrote it.
        """
        ids: list[int] = []
        ordinary: list[bytes] = []
        for rendered in parts:
            for part in self.added.split(to_bytes(rendered.text), "parse" if rendered.is_template else "text"):
                if part.token_id is None:
                    ordinary.append(part.text)
                else:
                    ids += self._encode_ordinary(b"".join(ordinary), is_at_start=not ids)
                    ids.append(part.token_id)
                    ordinary.clear()
        return ids + self._encode_ordinary(b"".join(ordinary), is_at_start=not ids)

    def encode_rendered_with_marks(self, parts: Iterable[RenderedPart]) -> tuple[list[int], list[bool]]:
        """The ids of ``encode_rendered``, and whether each is what the model is to write.

        A token that lies on both sides of a mark counts as the model's, as it does in transformers.
        """
        ids: list[int] = []
        is_marked: list[bool] = []
        texts: list[bytes] = []
        marks: list[NDArray[np.bool_]] = []

        def encode_ordinary() -> None:
            text = b"".join(texts)
            if not text:
                return
            if self.vocabulary.characters is not None:
                part_ids, ends = self._encode_characters(text, is_at_start=not ids)
            else:
                part_ids, ends = self._encode_bytes(text)
            before = np.concatenate(([0], np.cumsum(np.concatenate(marks))))
            edges = np.minimum(np.concatenate(([0], ends)), len(text))
            ids.extend(part_ids)
            is_marked.extend((np.diff(before[edges]) > 0).tolist())
            texts.clear()
            marks.clear()

        for rendered in parts:
            for part in self.added.split(to_bytes(rendered.text), "parse" if rendered.is_template else "text"):
                if part.token_id is None:
                    texts.append(part.text)
                    marks.append(np.full(len(part.text), rendered.is_generation))
                else:
                    encode_ordinary()
                    ids.append(part.token_id)
                    is_marked.append(rendered.is_generation)
        encode_ordinary()
        return ids, is_marked

    def _encode_ordinary(self, text: bytes, *, is_at_start: bool) -> list[int]:
        return self._encoder(is_at_start).encode(self._prepared(text))

    def encode_batch(self, texts: Sequence[Text], num_threads: int, special: SpecialPolicy) -> TokenBatch:
        """Turn texts into ids; the arrays are the same for any number of threads."""
        split_texts = [self.added.split(to_bytes(text), special) for text in texts]
        parts = [part for text_parts in split_texts for part in text_parts]
        parts_before = np.cumsum([0, *map(len, split_texts)])
        is_first = np.zeros(len(parts) + 1, dtype=bool)
        is_first[parts_before] = True  # the place of a text without parts is that of the next one, or the end
        ids, offsets = self._encode_parts(parts, is_first[:-1], num_threads)
        return TokenBatch(ids, offsets[parts_before])

    def _encode_parts(
        self, parts: Sequence[Part], is_first: NDArray[np.bool_], num_threads: int
    ) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Return the ids of all parts, uint32[n], and where those of each begin, int64[len(parts) + 1]."""
        token_ids = np.array([-1 if part.token_id is None else part.token_id for part in parts], dtype=np.int64)
        lengths = np.ones(len(parts), dtype=np.int64)
        encoded = [(token_ids >= 0, token_ids[token_ids >= 0].astype(np.uint32))]
        for encoder, chosen in (
            (self.at_start, is_first & (token_ids < 0)),
            (self.after_token, ~is_first & (token_ids < 0)),
        ):
            texts = [self._prepared(parts[place].text) for place in np.flatnonzero(chosen).tolist()]
            part_ids, offsets = encoder.encode_batch(texts, num_threads)
            lengths[chosen] = np.diff(offsets)
            encoded.append((chosen, part_ids))
        part_of_id = np.repeat(np.arange(len(parts)), lengths)
        ids = np.empty(len(part_of_id), dtype=np.uint32)
        for chosen, part_ids in encoded:
            ids[chosen[part_of_id]] = part_ids
        return ids, np.concatenate(([0], np.cumsum(lengths)))

    def encode_with_spans(self, text: Text, special: SpecialPolicy) -> tuple[list[int], list[Span]]:
        """Turn a text into ids and their spans; ``Tokenizer.encode_with_spans`` says how."""
        data = to_bytes(text)
        ids: list[int] = []
        ends = [np.zeros(1, dtype=np.int64)]
        for number, part in enumerate(self.added.split(data, special)):
            if part.token_id is not None:
                part_ids, places = [part.token_id], np.array([part.end - part.begin], dtype=np.int64)
            elif self.vocabulary.characters is not None:
                part_ids, places = self._encode_characters(part.text, is_at_start=number == 0)
            else:
                part_ids, places = self._encode_bytes(part.text)
            ids += part_ids
            ends.append(part.segment.original_places(part.begin + places))
        edges = np.maximum.accumulate(np.concatenate(ends)).tolist()
        if ids:
            edges[-1] = len(data)  # a part at the end may have become nothing
        return ids, list(pairwise(edges))

    def _encode_bytes(self, text: bytes) -> tuple[list[int], NDArray[np.int64]]:
        """Return the ids of an ordinary text, and the bytes of it where they end, where bytes are merged."""
        prepared = self._prepared(text)
        ids = self.at_start.encode(prepared)
        places = np.cumsum([len(self.vocabulary.tokens[token_id]) for token_id in ids], dtype=np.int64)
        if self.missing_bytes:
            places = places_with_dropped(places, prepared, self.missing_bytes)
        num_added = len(prepared) - len(text)  # the space before it takes no byte of the text
        return ids, np.maximum(places - num_added, 0)

    def _encode_characters(self, text: bytes, *, is_at_start: bool) -> tuple[list[int], NDArray[np.int64]]:
        """The same where characters are merged: the last id ends at the text's end."""
        encoder = self._encoder(is_at_start)
        assert isinstance(encoder, _core.CharacterEncoder)
        ids, ends = encoder.encode_with_spans(text)
        ends[-1:] = len(text)  # spaces at the end may have been taken away
        return ids.tolist(), ends

    def count(self, text: Text, special: SpecialPolicy) -> int:
        """Count the tokens of a text without making a list of them."""
        if special == "text" and self.is_plain:
            return self.at_start.count(text)
        return sum(
            1 if part.token_id is not None else self._encoder(number == 0).count(self._prepared(part.text))
            for number, part in enumerate(self.added.split(to_bytes(text), special))
        )

    def _encoder(self, is_at_start: bool) -> Encoder:
        return self.at_start if is_at_start else self.after_token

    def _prepared(self, text: bytes) -> bytes:
        """What is split and merged for an ordinary text. Normalised text stays as it is; joined parts may change."""
        text = normalize(text, self.vocabulary.normalizer)
        return with_prefix_space(text) if self.vocabulary.adds_prefix_space else text


def _check_whole_pieces(vocabulary: Vocabulary, missing_bytes: bytes) -> None:
    """Refuse tokens of whole pieces with bytes that have no token: elsewhere in a text these bytes are dropped."""
    added = {token.id for token in vocabulary.added}
    for token_id, token in enumerate(vocabulary.tokens):
        if token_id not in added and len(token.translate(None, missing_bytes)) < len(token):
            raise DataError(
                f"the token {token!r} (id {token_id}) holds a byte that has no token of its own, and pieces that are "
                "tokens as a whole are not merged (ignore_merges); textmill does not reproduce both together"
            )
