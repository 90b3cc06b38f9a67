"""The tokenizer.json of a vocabulary over characters: spaces become U+2581, and unknown characters bytes.

Text is prepared by the normalizer (Prepend, Replace) or by the pre_tokenizer (Metaspace). As everywhere, ordinary text
never becomes a control token or the token of a byte, even where it spells one out as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textmill import _core
from textmill.base.errors import DataError
from textmill.tokenizer.characters import (
    BYTE,
    BYTE_OF_NAME,
    CONTROL,
    HOLE,
    NORMAL,
    SPACE,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    CharacterRules,
    token_bytes,
)
from textmill.tokenizer.formats.json_parts import list_of, table_of, type_of
from textmill.tokenizer.formats.limits import table_of_tokens
from textmill.tokenizer.vocabulary import AddedToken, Vocabulary

_PREPEND = {"type": "Prepend", "prepend": SPACE}
_REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
_REPLACE_BACK = {"type": "Replace", "pattern": {"String": SPACE}, "content": " "}
_BYTE_FALLBACK, _FUSE = {"type": "ByteFallback"}, {"type": "Fuse"}
_STRIP = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
# Gemma's: once spaces are replaced, it finds none.
_SPLIT_AT_SPACES = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
_METASPACE = ("type", "replacement", "prepend_scheme", "split", "add_prefix_space", "str_rep")
_SCHEMES = ("always", "first", "never")


def is_over_characters(content: Mapping[str, Any]) -> bool:
    """Say whether the parts of a tokenizer.json are those of a vocabulary over characters, not over bytes."""
    decoder, pre_tokenizer = content.get("decoder"), content.get("pre_tokenizer")
    if not isinstance(decoder, dict):
        return False
    decoders = decoder.get("decoders") if type_of(decoder) == "Sequence" else [decoder]
    has_bytes = isinstance(decoders, list) and any(type_of(step) == "ByteLevel" for step in decoders)
    is_metaspace = pre_tokenizer in (None, _SPLIT_AT_SPACES) or type_of(pre_tokenizer) == "Metaspace"
    return not has_bytes and is_metaspace


def read_rules(
    content: Mapping[str, Any], vocab: Mapping[str, int], added: Sequence[AddedToken], merges: NDArray[np.uint32]
) -> tuple[tuple[bytes, ...], CharacterRules]:
    """Read what a tokenizer.json says of characters: the bytes that tokens decode to, and the rules.

    Raises:
        DataError: a part has a feature that textmill does not reproduce exactly.
    """
    model = content["model"]
    preparation = _read_preparation(content.get("normalizer"), content.get("pre_tokenizer"))
    strip_start, decodes_bytes = _read_decoder(content.get("decoder"))
    for flag in ("byte_fallback", "fuse_unk"):
        if not isinstance(model.get(flag, False), bool):
            raise DataError(f"{flag} is {str(model[flag])[:40]!r}, and must be true or false")
    has_fallback = model.get("byte_fallback", False)
    if has_fallback and not decodes_bytes:
        raise DataError("it has byte_fallback and a decoder without ByteFallback, so bytes would not come back")
    if content.get("normalizer") is not None:
        for token in added:
            if token.is_normalized:
                raise DataError(
                    f'the added token "{token.text}" is looked for in normalised text (the flag normalized), where a '
                    "space may stand before it, which textmill does not do"
                )
    names = table_of_tokens([(i, name.encode()) for name, i in _all_names(vocab, added).items()])
    pieces = tuple(name.decode() for name in names)
    unknown = _read_unknown(model.get("unk_token"), vocab)
    kinds = _kinds(pieces, added, merges, unknown, decodes_bytes)
    rules = CharacterRules(
        pieces=pieces,
        kinds=kinds,
        scores=np.empty(0, dtype=np.float32),
        byte_fallback=has_fallback,
        fuse_unknown=model.get("fuse_unk", False),
        strip_start=strip_start,
        **preparation,
    )
    unknown_text = "" if unknown is None else pieces[unknown].replace(SPACE, " ")
    return token_bytes(pieces, kinds, unknown_text), rules


def _all_names(vocab: Mapping[str, int], added: Sequence[AddedToken]) -> dict[str, int]:
    return {**vocab, **{token.text: token.id for token in added}}


def _read_unknown(name: Any, vocab: Mapping[str, int]) -> int | None:
    if name is None:
        return None
    if not isinstance(name, str) or name not in vocab:
        raise DataError(f"unk_token is {str(name)[:80]!r}, which model.vocab does not have")
    return vocab[name]


def _kinds(
    pieces: tuple[str, ...],
    added: Sequence[AddedToken],
    merges: NDArray[np.uint32],
    unknown: int | None,
    decodes_bytes: bool,
) -> NDArray[np.uint8]:
    kinds = np.array([NORMAL if piece else HOLE for piece in pieces], dtype=np.uint8)
    merged = set(np.unique(merges).tolist())
    for token in added:
        is_word = not token.is_special and (token.id in merged or len(token.text) == 1)
        kinds[token.id] = NORMAL if is_word else CONTROL
    for token_id, piece in enumerate(pieces):
        if decodes_bytes and piece in BYTE_OF_NAME:
            kinds[token_id] = BYTE
        elif decodes_bytes and len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
            raise DataError(f"token {token_id} {piece!r} may stand for a byte; bytes are written as in <0x0A>")
    if unknown is not None:
        kinds[unknown] = UNKNOWN
    return kinds


def _read_preparation(normalizer: Any, pre_tokenizer: Any) -> dict[str, Any]:
    """Read how spaces are replaced and where one is added, as arguments of ``CharacterRules``."""
    steps = [] if normalizer is None else [normalizer]
    if type_of(normalizer) == "Sequence":
        steps = list_of(normalizer.get("normalizers"), "normalizers")
    if steps not in ([], [_REPLACE], [_PREPEND, _REPLACE], [_REPLACE, _PREPEND]):
        described = " then ".join(map(type_of, steps))
        raise DataError(f"its normalizer is {described}, and textmill knows Prepend and Replace of spaces by U+2581")
    preparation: dict[str, Any] = {"dummy_prefix": "always" if _PREPEND in steps else "never"}
    if type_of(pre_tokenizer) != "Metaspace":
        if not steps:
            raise DataError("it has no normalizer and no Metaspace, so spaces are not replaced; textmill needs one")
        return preparation
    table = table_of(pre_tokenizer, "Metaspace", _METASPACE)
    scheme = _read_scheme(table)
    splits_words = table.get("split", True)
    if not isinstance(splits_words, bool):
        raise DataError(f"Metaspace has split = {str(splits_words)[:40]!r}, which must be true or false")
    preparation["splits_words"] = splits_words
    if preparation["dummy_prefix"] == "never" and scheme != "never":
        preparation.update(dummy_prefix="unless_there", is_prefix_once=scheme == "first")
    return preparation


def _read_scheme(table: Mapping[str, Any]) -> str:
    scheme = table.get("prepend_scheme", "always" if table.get("add_prefix_space", True) else "never")
    if scheme not in _SCHEMES or table.get("replacement") != SPACE:
        raise DataError(
            f"Metaspace has the replacement {str(table.get('replacement'))[:40]!r} and the prepend_scheme "
            f"{str(scheme)[:40]!r}; textmill knows U+2581 and {', '.join(_SCHEMES)}"
        )
    if table.get("add_prefix_space") is False and scheme != "never":
        raise DataError(
            f"Metaspace has no add_prefix_space and the prepend_scheme {scheme}, which contradict each other"
        )
    return scheme


def _read_decoder(decoder: Any) -> tuple[Any, bool]:
    """Read what decoding takes off the start, and whether tokens such as <0x0A> become bytes."""
    if type_of(decoder) == "Metaspace":
        scheme = _read_scheme(table_of(decoder, "the Metaspace decoder", _METASPACE))
        return ("never" if scheme == "never" else "spaces_of_first"), False
    steps = list_of(decoder.get("decoders"), "decoders") if type_of(decoder) == "Sequence" else [decoder]
    for middle in ([_BYTE_FALLBACK, _FUSE], [_FUSE]):
        for end in ([_STRIP], []):
            if steps == [_REPLACE_BACK, *middle, *end]:
                return ("space" if end else "never"), _BYTE_FALLBACK in middle
    raise DataError(
        f"its decoder is {' then '.join(map(type_of, steps))}, and textmill knows Replace of U+2581 by a space, "
        "ByteFallback, Fuse and Strip of one space, and Metaspace"
    )


def to_parts(vocabulary: Vocabulary) -> dict[str, Any]:
    """Write what a tokenizer.json says of characters: its normalizer, pre_tokenizer, decoder, and parts of its model.

    Raises:
        DataError: the format cannot hold a rule of this vocabulary, or its merges, exactly.
    """
    rules = vocabulary.characters
    assert rules is not None
    _check_rules(rules)
    unknown = next((rules.pieces[i] for i in np.flatnonzero(rules.kinds == UNKNOWN)), None)
    has_bytes = bool((rules.kinds == BYTE).any())
    strips = rules.strip_start in {"space", "piece"}
    decoders = [_REPLACE_BACK, *([_BYTE_FALLBACK] if has_bytes else []), _FUSE, *([_STRIP] if strips else [])]
    has_metaspace = rules.splits_words or rules.dummy_prefix != "always"
    scheme = "never" if rules.dummy_prefix != "unless_there" else "first" if rules.is_prefix_once else "always"
    metaspace = {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": scheme, "split": rules.splits_words}
    is_prepended = rules.dummy_prefix == "always"
    return {
        "normalizer": {"type": "Sequence", "normalizers": [_PREPEND, _REPLACE]} if is_prepended else None,
        "pre_tokenizer": metaspace if has_metaspace else None,
        "decoder": {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "always", "split": True}
        if rules.strip_start == "spaces_of_first"
        else {"type": "Sequence", "decoders": decoders},
        "model": {
            "unk_token": unknown,
            "fuse_unk": rules.fuse_unknown,
            "byte_fallback": rules.byte_fallback,
            "vocab": {piece: i for i, piece in enumerate(rules.pieces) if piece},
            "merges": [[rules.pieces[a], rules.pieces[b]] for a, b, _ in merge_list(vocabulary).tolist()],
        },
    }


def _check_rules(rules: CharacterRules) -> None:
    features = {
        "a precompiled charsmap": rules.charsmap,
        "extra spaces removed (remove_extra_whitespaces)": rules.remove_extra_spaces,
        "the added space behind the text (treat_whitespace_as_suffix)": rules.dummy_suffix,
        "spaces that stay spaces (escape_whitespaces)": not rules.escape_spaces,
        "user-defined pieces": (rules.kinds == USER_DEFINED).any(),
        "unused pieces": (rules.kinds == UNUSED).any(),
    }
    for name, is_there in features.items():
        if is_there:
            raise DataError(f"this tokenizer has {name}, which textmill cannot write into a tokenizer.json exactly")


def merge_list(vocabulary: Vocabulary) -> NDArray[np.uint32]:
    """Return the merges as a list in which each has a rank of its own: uint32[num_merges, 3].

    Where merges come from scores, all that make one piece have one rank, and the leftmost of them wins. In a list one
    of them comes first, which makes a difference only where a piece overlaps itself; that is tried on such text.

    Raises:
        DataError: a list does not give the same ids.
    """
    rules = vocabulary.characters
    assert rules is not None
    if rules.scores.size == 0:
        return vocabulary.merges
    rows = _core.CharacterVocab(
        rules.pieces, rules.kinds, rules.scores, vocabulary.merges, rules.byte_fallback
    ).merges()
    if rows.size and int(rows.max()) >= len(rules.pieces):
        raise DataError("a character that is part of pieces is no piece, which a tokenizer.json cannot hold")
    _check_ties(rules, np.unique(rows[:, 2]))
    left_sizes = np.array([len(piece) for piece in rules.pieces])[rows[:, 0]]
    # Runs of one character that have one score grow from the left: what is longest goes on.
    rows = rows[np.lexsort((-left_sizes, -rules.scores[rows[:, 2]].astype(np.float64)))]
    _check_overlaps(rules, rows, np.unique(rows[:, 2]))
    return rows


def _check_ties(rules: CharacterRules, products: NDArray[np.uint32]) -> None:
    groups: dict[float, set[str]] = {}
    for product in products.tolist():
        piece = rules.pieces[product]
        character = piece[0] if len(set(piece)) == 1 else piece
        groups.setdefault(float(rules.scores[product]), set()).add(character)
    for score, pieces in groups.items():
        if len(pieces) > 1:
            raise DataError(
                f"{len(pieces)} merged pieces, such as {min(pieces)!r} and {max(pieces)!r}, have the score {score:g}, "
                "and a tokenizer.json needs an order of merges"
            )


def _check_overlaps(rules: CharacterRules, rows: NDArray[np.uint32], products: NDArray[np.uint32]) -> None:
    by_score = _bare_encoder(rules, rules.scores, rows[:0])
    by_list = _bare_encoder(rules, rules.scores[:0], rows)
    for piece in (rules.pieces[product] for product in products.tolist()):
        for period in range(1, len(piece)):
            if piece.startswith(piece[period:]):
                texts = [(piece[:period] * (4 * len(piece)))[:size] for size in range(len(piece) + 1, 4 * len(piece))]
                left, right = by_score.encode_batch(texts, 1), by_list.encode_batch(texts, 1)
                if not all(map(np.array_equal, left, right)):
                    raise DataError(
                        f"text that repeats {piece[:period]!r} would be encoded otherwise from a list of merges, so a "
                        "tokenizer.json cannot hold this vocabulary exactly"
                    )
                break


def _bare_encoder(
    rules: CharacterRules, scores: NDArray[np.float32], merges: NDArray[np.uint32]
) -> _core.CharacterEncoder:
    vocab = _core.CharacterVocab(rules.pieces, rules.kinds, scores, merges, rules.byte_fallback)
    return _core.CharacterEncoder(
        vocab,
        dummy_prefix=0,
        dummy_suffix=False,
        remove_extra_spaces=False,
        escape_spaces=False,
        charsmap=b"",
        fuse_unknown=rules.fuse_unknown,
        splits_words=False,
        whole_words=False,
    )
