"""What a tokenizer is made of, as plain data: formats write and read it, and the native encoder is built of it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textmill import _core
from textmill.base.errors import ConfigError, DataError
from textmill.tokenizer.patterns import Pattern

MAX_TOKENS = 1 << 24


@dataclass(frozen=True, slots=True)
class AddedToken:
    """A token beside the ordinary vocabulary: no text becomes it unless the caller asks.

    Attributes:
        id: its token id.
        text: what stands for it in a text, and what it decodes to.
        is_special: a control token, as opposed to a word that was added.
        is_normalized: looked for after the others (Hugging Face's flag ``normalized``).
    """

    id: int
    text: str
    is_special: bool = True
    is_normalized: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Vocabulary:
    """Tokens, merges and added tokens.

    Attributes:
        pattern: how text is split.
        tokens: the bytes of each token by id, added ones too; ``b""`` is a hole, an id that no text reaches.
        merges: uint32[num_merges, 3]: left, right and product ids, in the order of their ranks.
        added: added tokens in the order of their ids.
        whole_pieces: a piece that is a token as a whole is not merged (``ignore_merges``; rank files).
        prefix_ids, suffix_ids: what the file's post-processor puts around a text. ``encode`` never does.
    """

    pattern: Pattern
    tokens: tuple[bytes, ...]
    merges: NDArray[np.uint32]
    added: tuple[AddedToken, ...] = ()
    whole_pieces: bool = False
    prefix_ids: tuple[int, ...] = ()
    suffix_ids: tuple[int, ...] = ()

    def build_encoder(self) -> _core.Encoder:
        """Check that everything fits together and build the native encoder.

        Raises:
            DataError: a byte has no token, a merge does not fit its tokens, ids are double or out of range.
        """
        self._check_added()
        special_ids = np.array([token.id for token in self.added], dtype=np.uint32)
        try:
            return _core.Encoder(self.pattern.splitter(), self.tokens, self.merges, special_ids, self.whole_pieces)
        except ValueError as error:
            raise DataError(f"the vocabulary does not fit together: {error}") from error

    def content_hash(self) -> str:
        """SHA-256 over all that decides which ids ``encode`` gives a text, as 64 hexadecimal digits."""
        facts: dict[str, Any] = {
            "pattern": self.pattern.regexes,
            "unicode": _core.UNICODE_VERSION,
            "whole_pieces": self.whole_pieces,
            "added": [[token.id, token.text, token.is_special, token.is_normalized] for token in self.added],
        }
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
        for token in self.tokens:
            digest.update(len(token).to_bytes(4, "little") + token)
        digest.update(np.ascontiguousarray(self.merges, dtype="<u4").tobytes())
        return digest.hexdigest()

    def _check_added(self) -> None:
        added_ids = {token.id for token in self.added}
        ordinary = {token for id_, token in enumerate(self.tokens) if token and id_ not in added_ids}
        texts: set[str] = set()
        for token in self.added:
            if not token.text:
                raise ConfigError("a special token is empty; give it a text such as <|endoftext|>")
            if token.text in texts:
                raise ConfigError(f'the special token "{token.text}" is given twice; leave one out')
            if not 0 <= token.id < len(self.tokens):
                raise DataError(f'the special token "{token.text}" has id {token.id} of {len(self.tokens)} tokens')
            if token.text.encode() in ordinary:
                raise ConfigError(
                    f'the special token "{token.text}" is an ordinary token of this vocabulary too, so text could not '
                    "be told from control; choose a text that does not occur, such as <|endoftext|>"
                )
            texts.add(token.text)
        if len(added_ids) != len(self.added):
            raise DataError(f"{len(self.added)} special tokens share {len(added_ids)} ids; each needs its own")
