"""Vocabularies of sentencepiece's kind: BPE over characters, with spaces written as U+2581 and byte fallback."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from textmill import _core
from textmill.base.errors import DataError
from textmill.tokenizer.patterns import Pattern

PATTERN = Pattern("sentencepiece", ())  # what Vocabulary.pattern is where no regex splits the text
SPACE = "\u2581"
HOLE, NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(7)  # sentencepiece's types, and GGUF's

ScalarT = TypeVar("ScalarT", bound=np.generic)
DummyPrefix = Literal["never", "always", "unless_there"]
StripStart = Literal["never", "space", "piece", "pieces", "spaces_of_first"]
_DUMMY_PREFIXES = ("never", "always", "unless_there")


def byte_name(byte: int) -> str:
    """Write the name of the piece that stands for a byte."""
    return f"<0x{byte:02X}>"


def read_only(array: NDArray[ScalarT]) -> NDArray[ScalarT]:
    """Return a view of an array that cannot be written through."""
    view = array.view()
    view.flags.writeable = False
    return view


BYTE_OF_NAME = {byte_name(byte): byte for byte in range(256)}


@dataclass(frozen=True, slots=True, eq=False)
class CharacterRules:
    """What a vocabulary over characters has beside its tokens and merges.

    Attributes:
        pieces: the text of each token as its file writes it; ``""`` is a hole.
        kinds: uint8[num_tokens]: sentencepiece's type of each piece (NORMAL, CONTROL, ...), 0 for a hole.
        scores: float32[num_tokens]: any two neighbours that are a piece together merge, the highest score first. Empty:
            the vocabulary's list of merges holds.
        byte_fallback: a character without a piece becomes one token for each of its bytes; without, an unknown token.
        fuse_unknown: unknown characters in a row are one token.
        dummy_prefix: whether a space is put before a text. ``unless_there``: not where one is (Metaspace).
        is_prefix_once: only before what stands at the very start, not after an added token (Metaspace's "first").
        dummy_suffix: the space is put behind the text instead.
        remove_extra_spaces: spaces at both ends go, and all but one of several.
        escape_spaces: spaces become U+2581.
        charsmap: sentencepiece's compiled table of characters to replace; empty for none.
        splits_words: no merge crosses the beginning of a space (Metaspace's "split").
        strip_start: what decoding takes off the start: one space; the space of the first piece; of each piece until
            there is text; or every space of the first piece.
    """

    pieces: tuple[str, ...]
    kinds: NDArray[np.uint8]
    scores: NDArray[np.float32]
    byte_fallback: bool
    fuse_unknown: bool = True
    dummy_prefix: DummyPrefix = "never"
    is_prefix_once: bool = False
    dummy_suffix: bool = False
    remove_extra_spaces: bool = False
    escape_spaces: bool = True
    charsmap: bytes = b""
    splits_words: bool = False
    strip_start: StripStart = "never"

    def __post_init__(self) -> None:
        object.__setattr__(self, "kinds", read_only(self.kinds))
        object.__setattr__(self, "scores", read_only(self.scores))

    def __reduce__(self) -> tuple[Any, ...]:  # a copy is made anew, so that its arrays are read-only too
        return type(self), tuple(getattr(self, item.name) for item in dataclasses.fields(self))

    def build_encoders(
        self, merges: NDArray[np.uint32], whole_pieces: bool
    ) -> tuple[_core.CharacterEncoder, _core.CharacterEncoder]:
        """Build the native encoders of what stands at the start of a text, and of what stands after an added token.

        Raises:
            ValueError: pieces are double, merges do not fit, bytes are missing, or the charsmap is damaged.
        """
        vocab = _core.CharacterVocab(self.pieces, self.kinds, self.scores, merges, self.byte_fallback)
        first = self._build_encoder(vocab, self.dummy_prefix, whole_pieces)
        return first, self._build_encoder(vocab, "never", whole_pieces) if self.is_prefix_once else first

    def _build_encoder(
        self, vocab: _core.CharacterVocab, dummy_prefix: DummyPrefix, whole_pieces: bool
    ) -> _core.CharacterEncoder:
        return _core.CharacterEncoder(
            vocab,
            dummy_prefix=_DUMMY_PREFIXES.index(dummy_prefix),
            dummy_suffix=self.dummy_suffix,
            remove_extra_spaces=self.remove_extra_spaces,
            escape_spaces=self.escape_spaces,
            charsmap=self.charsmap,
            fuse_unknown=self.fuse_unknown,
            splits_words=self.splits_words,
            whole_words=whole_pieces,
        )

    def strip(self, token_id: int, token: bytes) -> tuple[bytes, bool]:
        """Take what decoding leaves out off a token at the start; True where the next token is still at the start."""
        starts_with_space = self.pieces[token_id].startswith(SPACE) and self.kinds[token_id] not in {UNKNOWN, CONTROL}
        if self.strip_start == "space":
            return token.removeprefix(b" "), False
        if self.strip_start == "piece" and starts_with_space:
            return token[1:], False
        if self.strip_start == "pieces" and starts_with_space:
            return token[1:], len(token) == 1
        if self.strip_start == "spaces_of_first":
            return self.pieces[token_id].replace(SPACE, "").encode(), False
        return token, False

    def decode(self, ids: NDArray[np.integer], tokens: tuple[bytes, ...]) -> bytes:
        """Turn ids into bytes; raises ``DataError`` for an id that is no token."""
        places = np.flatnonzero((ids < 0) | (ids >= len(tokens)))
        if places.size == 0:
            places = np.flatnonzero(self.kinds[ids] == HOLE)
        if places.size > 0:
            raise DataError(
                f"cannot decode: id {ids[places[0]]} at place {places[0]} is no token: "
                f"the vocabulary has ids 0 to {len(tokens) - 1}"
            )
        parts = [tokens[token_id] for token_id in ids.tolist()]
        for place, token_id in enumerate(ids.tolist()):
            parts[place], is_at_start = self.strip(token_id, parts[place])
            if not is_at_start:
                break
        return b"".join(parts)

    def has_space(self) -> bool:
        """Say whether there is a token for U+2581 alone."""
        place = self.pieces.index(SPACE) if SPACE in self.pieces else 0
        return self.pieces[place] == SPACE and int(self.kinds[place]) in {NORMAL, USER_DEFINED}

    def facts(self) -> dict[str, Any]:
        """All but the pieces and arrays, as JSON can hold it: with them, what decides which ids a text gets."""
        return {
            "byte_fallback": self.byte_fallback,
            "fuse_unknown": self.fuse_unknown,
            "dummy_prefix": self.dummy_prefix,
            "is_prefix_once": self.is_prefix_once,
            "dummy_suffix": self.dummy_suffix,
            "remove_extra_spaces": self.remove_extra_spaces,
            "escape_spaces": self.escape_spaces,
            "charsmap": self.charsmap.hex(),
            "splits_words": self.splits_words,
            "strip_start": self.strip_start,
            "pieces": self.pieces,
            "kinds": self.kinds.tolist(),
            "scores": self.scores.astype(float).tolist(),
        }


def token_bytes(pieces: tuple[str, ...], kinds: NDArray[np.uint8], unknown_text: str) -> tuple[bytes, ...]:
    """What each piece decodes to: a byte, a text with its spaces, ``unknown_text`` for the unknown piece."""
    tokens = []
    for piece, kind in zip(pieces, kinds.tolist(), strict=True):
        if kind == BYTE:
            tokens.append(bytes([BYTE_OF_NAME[piece]]))
        elif kind == UNKNOWN:
            tokens.append(unknown_text.encode())
        else:
            tokens.append(piece.replace(SPACE, " ").encode())
    return tuple(tokens)
