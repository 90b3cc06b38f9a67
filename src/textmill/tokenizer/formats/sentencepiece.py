"""sentencepiece's ``*.model``: BPE pieces with scores, and how text is normalised, as a protocol buffer.

The fields and their defaults are those of sentencepiece's ``sentencepiece_model.proto``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textmill.base.errors import DataError
from textmill.tokenizer.characters import (
    BYTE,
    BYTE_OF_NAME,
    CONTROL,
    NORMAL,
    PATTERN,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    CharacterRules,
    StripStart,
    token_bytes,
)
from textmill.tokenizer.formats import protobuf
from textmill.tokenizer.formats.limits import read_limited
from textmill.tokenizer.vocabulary import MAX_TOKENS, AddedToken, Vocabulary

# All ways to cut a piece in two are tried when it is loaded, so that its length is bounded.
MAX_PIECE_BYTES = 512
UNKNOWN_TEXT = " \u2047 "
_BPE = 2
_MODEL_TYPES = {1: "Unigram", 2: "BPE", 3: "Word", 4: "Char"}
_KINDS = (NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE)


@dataclass(slots=True)
class _Model:
    pieces: list[str] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    trainer: dict[str, Any] = field(default_factory=lambda: dict(_TRAINER_DEFAULTS))
    normalizer: dict[str, Any] = field(default_factory=lambda: dict(_NORMALIZER_DEFAULTS))


# Field numbers of TrainerSpec and NormalizerSpec that decide how text is encoded, with how to read them.
_TRAINER_FIELDS = {
    3: ("model_type", protobuf.to_int),
    24: ("treat_whitespace_as_suffix", protobuf.to_int),
    35: ("byte_fallback", protobuf.to_int),
    44: ("unk_surface", protobuf.to_text),
}
_TRAINER_DEFAULTS = {
    "model_type": 1,
    "treat_whitespace_as_suffix": 0,
    "byte_fallback": 0,
    "unk_surface": UNKNOWN_TEXT,
}
_NORMALIZER_FIELDS = {
    2: ("precompiled_charsmap", protobuf.to_view),
    3: ("add_dummy_prefix", protobuf.to_int),
    4: ("remove_extra_whitespaces", protobuf.to_int),
    5: ("escape_whitespaces", protobuf.to_int),
}
_NORMALIZER_DEFAULTS = {
    "precompiled_charsmap": memoryview(b""),
    "add_dummy_prefix": 1,
    "remove_extra_whitespaces": 1,
    "escape_whitespaces": 1,
}


def read(path: Path) -> Vocabulary:
    """Read a BPE model of sentencepiece.

    A user-defined piece is found in any text before merging, as sentencepiece does; control and unknown pieces are
    added tokens, which text becomes only when asked to.

    Raises:
        DataError: the file is damaged, contradicts itself, or is not BPE.
    """
    return _to_vocabulary(_read_model(memoryview(read_limited(path))))


def _read_model(message: memoryview) -> _Model:
    model = _Model()
    for entry in protobuf.fields(message):
        number = entry[0]
        if number == 1:
            _read_piece(protobuf.to_view(entry, "a piece"), model)
        elif number == 2:
            _read_spec(protobuf.to_view(entry, "trainer_spec"), _TRAINER_FIELDS, model.trainer)
        elif number == 3:
            _read_spec(protobuf.to_view(entry, "normalizer_spec"), _NORMALIZER_FIELDS, model.normalizer)
        elif number == 5:
            denormalizer = dict(_NORMALIZER_DEFAULTS)
            _read_spec(protobuf.to_view(entry, "denormalizer_spec"), _NORMALIZER_FIELDS, denormalizer)
            if denormalizer["precompiled_charsmap"]:
                raise DataError("it has a denormalizer_spec with a precompiled_charsmap, which textmill does not know")
    return model


def _read_piece(message: memoryview, model: _Model) -> None:
    place = len(model.pieces)
    if place >= MAX_TOKENS:
        raise DataError(f"it has more than {MAX_TOKENS} pieces, the most that textmill reads")
    piece, score, kind = "", 0.0, NORMAL
    for entry in protobuf.fields(message):
        if entry[0] == 1:
            piece = protobuf.to_text(entry, f"piece {place}")
        elif entry[0] == 2:
            score = protobuf.to_float(entry, f"the score of piece {place}")
        elif entry[0] == 3:
            kind = protobuf.to_int(entry, f"the type of piece {place}")
    if kind not in _KINDS:
        raise DataError(f"piece {place} {piece[:80]!r} has the type {kind}, and there are 1 to 6")
    model.pieces.append(piece)
    model.scores.append(score)
    model.kinds.append(kind)


def _read_spec(message: memoryview, known: Mapping[int, tuple[str, Any]], values: dict[str, Any]) -> None:
    for entry in protobuf.fields(message):
        if entry[0] in known:
            name, read_value = known[entry[0]]
            values[name] = read_value(entry, name)


def _to_vocabulary(model: _Model) -> Vocabulary:
    trainer, normalizer = model.trainer, model.normalizer
    if trainer["model_type"] != _BPE:
        name = _MODEL_TYPES.get(trainer["model_type"], str(trainer["model_type"])[:40])
        raise DataError(f"its model_type is {name}, and textmill knows BPE")
    removes_spaces = bool(normalizer["remove_extra_whitespaces"])
    has_prefix = bool(normalizer["add_dummy_prefix"])
    return from_pieces(
        model.pieces,
        np.array(model.kinds, dtype=np.uint8),
        np.array(model.scores, dtype=np.float32),
        unknown_text=trainer["unk_surface"],
        byte_fallback=bool(trainer["byte_fallback"]),
        dummy_prefix="always" if has_prefix else "never",
        dummy_suffix=bool(trainer["treat_whitespace_as_suffix"]),
        remove_extra_spaces=removes_spaces,
        escape_spaces=bool(normalizer["escape_whitespaces"]),
        charsmap=bytes(normalizer["precompiled_charsmap"]),
        strip_start=strip_start(removes_spaces=removes_spaces, has_prefix=has_prefix),
    )


def strip_start(*, removes_spaces: bool, has_prefix: bool) -> StripStart:
    """What sentencepiece takes off the start of a decoded text."""
    return "pieces" if removes_spaces else "piece" if has_prefix else "never"


def from_pieces(
    pieces: Sequence[str],
    kinds: NDArray[np.uint8],
    scores: NDArray[np.float32],
    *,
    unknown_text: str = UNKNOWN_TEXT,
    prefix_ids: tuple[int, ...] = (),
    suffix_ids: tuple[int, ...] = (),
    **rules: Any,
) -> Vocabulary:
    """Make a vocabulary of pieces that merge by their scores; ``rules`` are those of ``CharacterRules``.

    Args:
        pieces: their texts by id.
        kinds: uint8[num_pieces]: sentencepiece's types.
        scores: float32[num_pieces]; the higher merges first.
        unknown_text: what the unknown piece decodes to.
        prefix_ids, suffix_ids: as in ``Vocabulary``.

    Raises:
        DataError: a piece is too long to be merged, a score is no number, or a byte piece is not written as one.
    """
    for place, (piece, kind) in enumerate(zip(pieces, kinds.tolist(), strict=True)):
        size = len(piece.encode())
        if kind in {NORMAL, UNUSED, USER_DEFINED} and size > MAX_PIECE_BYTES:
            raise DataError(f"piece {place} has {size} bytes, and textmill reads pieces of at most {MAX_PIECE_BYTES}")
    if not np.isfinite(scores).all():
        place = int(np.flatnonzero(~np.isfinite(scores))[0])
        raise DataError(f"piece {place} {pieces[place][:80]!r} has the score {scores[place]}, and must have a number")
    for place in np.flatnonzero(kinds == BYTE).tolist():
        if pieces[place] not in BYTE_OF_NAME:
            raise DataError(f"piece {place} {pieces[place][:80]!r} is a byte and is not written as one, such as <0x0A>")
    character_rules = CharacterRules(tuple(pieces), kinds, scores, **rules)
    added = tuple(
        AddedToken(place, piece)
        for place, (piece, kind) in enumerate(zip(pieces, kinds.tolist(), strict=True))
        if kind in {UNKNOWN, CONTROL}
    )
    return Vocabulary(
        pattern=PATTERN,
        tokens=token_bytes(character_rules.pieces, kinds, unknown_text),
        merges=np.empty((0, 3), dtype=np.uint32),
        added=added,
        prefix_ids=prefix_ids,
        suffix_ids=suffix_ids,
        characters=character_rules,
    )
