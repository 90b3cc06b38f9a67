"""What a tokenizer is made of, as plain data: formats write and read it, and the native encoder is built of it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textmill import _core
from textmill.base.errors import ConfigError, DataError
from textmill.tokenizer.characters import CharacterRules, read_only
from textmill.tokenizer.patterns import Pattern

MAX_TOKENS = (1 << 21) - 1
# No real vocabulary lacks these. SmolLM2's lacks six control characters, and bytes that no assigned character has.
_NEEDED_BYTES = set(b"\t\n\r") | set(range(0x20, 0x7F))

Encoder = _core.Encoder | _core.CharacterEncoder


@dataclass(frozen=True, slots=True)
class AddedToken:
    """A token beside the ordinary vocabulary: no text becomes it unless the caller asks.

    Attributes:
        id: its token id.
        text: what stands for it in a text, and what it decodes to.
        is_special: a control token, as opposed to a word that was added.
        is_normalized: looked for after the others, in normalised text (Hugging Face's flag ``normalized``).
        is_single_word: found only where no word goes on before or after it (``single_word``).
        strips_left, strips_right: takes in the whitespace before and after it (``lstrip``, ``rstrip``).
    """

    id: int
    text: str
    is_special: bool = True
    is_normalized: bool = False
    is_single_word: bool = False
    strips_left: bool = False
    strips_right: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Vocabulary:
    """Tokens, merges and added tokens.

    Attributes:
        pattern: how text is split.
        tokens: the bytes of each token by id, added ones too; ``b""`` is a hole, an id that no text reaches.
        merges: uint32[num_merges, 3]: left, right and product ids, in the order of their ranks. Read-only.
        added: added tokens in the order of their ids.
        whole_pieces: a piece that is a token as a whole is not merged (``ignore_merges``; rank files).
        prefix_ids, suffix_ids: what the file's post-processor puts around a text. ``encode`` never does.
        normalizer: what becomes of a text before it is split: "" nothing, "nfc" Unicode normalisation form C.
        adds_prefix_space: ordinary text that does not begin with a space gets one (``add_prefix_space``).
        stop_ids: the tokens that end a text, where the file says so (GGUF).
        characters: set where characters are merged and not bytes, as sentencepiece does. ``tokens`` then holds what
            each token decodes to.
        drops_bytes: bytes that have no token are left out of a text, as Hugging Face does; else each must have one.
        missing_bytes: the bytes that have no token, so that no text with them can be encoded whole; none where
            characters are merged.
    """

    pattern: Pattern
    tokens: tuple[bytes, ...]
    merges: NDArray[np.uint32]
    added: tuple[AddedToken, ...] = ()
    whole_pieces: bool = False
    prefix_ids: tuple[int, ...] = ()
    suffix_ids: tuple[int, ...] = ()
    normalizer: str = ""
    adds_prefix_space: bool = False
    stop_ids: tuple[int, ...] = ()
    characters: CharacterRules | None = None
    drops_bytes: bool = False
    missing_bytes: bytes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "merges", read_only(self.merges))
        object.__setattr__(self, "missing_bytes", b"" if self.characters else self._find_missing_bytes())

    def __reduce__(self) -> tuple[Any, ...]:  # a copy is made anew, so that its arrays are read-only too
        return type(self), tuple(getattr(self, item.name) for item in dataclasses.fields(self) if item.init)

    def build_encoders(self) -> tuple[Encoder, Encoder]:
        """Build the encoders of what stands at the start of a text, and of what stands after an added token.

        They are one and the same, but for vocabularies over characters that put a space before a text once.

        Raises:
            DataError: the vocabulary does not fit together.
        """
        if self.characters is None:
            encoder = self.build_encoder()
            return encoder, encoder
        try:
            encoders = self.characters.build_encoders(self.merges, self.whole_pieces)
        except ValueError as error:
            raise DataError(f"the vocabulary does not fit together: {error}") from error
        self._check_added()
        return encoders

    def build_encoder(self) -> _core.Encoder:
        """Check that everything fits together and build the native encoder.

        Raises:
            DataError: a byte has no token, a merge does not fit its tokens, ids are double or out of range.
        """
        self._check_added()
        special_ids = np.array([token.id for token in self.added], dtype=np.uint32)
        drops_bytes = self.drops_bytes and not set(self.missing_bytes) & _NEEDED_BYTES
        try:
            return _core.Encoder(
                self.pattern.splitter(), self.tokens, self.merges, special_ids, self.whole_pieces, drops_bytes
            )
        except ValueError as error:
            raise DataError(f"the vocabulary does not fit together: {error}") from error

    def content_hash(self) -> str:
        """SHA-256 over all that decides which ids ``encode`` gives a text, as 64 hexadecimal digits."""
        facts: dict[str, Any] = {
            "pattern": self.pattern.regexes,
            "unicode": _core.UNICODE_VERSION,
            "whole_pieces": self.whole_pieces,
            "normalizer": self.normalizer,
            "drops_bytes": self.drops_bytes and bool(self.missing_bytes),
            "adds_prefix_space": self.adds_prefix_space,
            "added": [dataclasses.astuple(token) for token in self.added],
        }
        if self.characters is not None:
            facts["characters"] = self.characters.facts()
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
        for token in self.tokens:
            digest.update(len(token).to_bytes(4, "little") + token)
        digest.update(np.ascontiguousarray(self.merges, dtype="<u4").tobytes())
        return digest.hexdigest()

    def _find_missing_bytes(self) -> bytes:
        added_ids = {token.id for token in self.added}
        ids = [token_id for token_id, length in enumerate(map(len, self.tokens)) if length == 1]
        known = {self.tokens[token_id][0] for token_id in ids if token_id not in added_ids}
        return bytes(byte for byte in range(256) if byte not in known)

    def _check_added(self) -> None:
        if not self.added:
            return
        added_ids = {token.id for token in self.added}
        names = self.tokens if self.characters is None else [piece.encode() for piece in self.characters.pieces]
        ordinary = {name for id_, name in enumerate(names) if name and id_ not in added_ids}
        texts: set[str] = set()
        for token in self.added:
            if not token.text:
                raise ConfigError("a special token is empty; give it a text such as <|endoftext|>")
            if token.text in texts:
                raise ConfigError(f'the special token "{token.text}" is given twice; leave one out')
            if not 0 <= token.id < len(self.tokens):
                raise DataError(f'the special token "{token.text}" has id {token.id} of {len(self.tokens)} tokens')
            if token.is_special and token.text.encode() in ordinary:
                raise ConfigError(
                    f'the special token "{token.text}" is an ordinary token of this vocabulary too, so text could not '
                    "be told from control; choose a text that does not occur, such as <|endoftext|>"
                )
            texts.add(token.text)
        if len(added_ids) != len(self.added):
            raise DataError(f"{len(self.added)} special tokens share {len(added_ids)} ids; each needs its own")
