"""Reading the tokenizer.json of a vocabulary over characters: spaces become U+2581, and unknown characters bytes.

Text is prepared by the normalizer (Prepend, Replace) or by the pre_tokenizer (Metaspace). As everywhere, ordinary text
never becomes a control token or the token of a byte, even where it spells one out as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textmill.base.errors import DataError
from textmill.tokenizer.characters import (
    BYTE,
    BYTE_OF_NAME,
    CONTROL,
    HOLE,
    NORMAL,
    SPACE,
    UNKNOWN,
    CharacterRules,
    token_bytes,
)
from textmill.tokenizer.formats.json_parts import list_of, table_of, type_of
from textmill.tokenizer.formats.limits import table_of_tokens
from textmill.tokenizer.formats.metaspace_parts import (
    BYTE_FALLBACK,
    FUSE,
    METASPACE,
    PREPEND,
    REPLACE,
    REPLACE_BACK,
    SCHEMES,
    SPLIT_AT_SPACES,
    STRIP,
)
from textmill.tokenizer.vocabulary import AddedToken


def is_over_characters(content: Mapping[str, Any]) -> bool:
    """Say whether the parts of a tokenizer.json are those of a vocabulary over characters, not over bytes."""
    decoder, pre_tokenizer = content.get("decoder"), content.get("pre_tokenizer")
    if not isinstance(decoder, dict):
        return False
    decoders = decoder.get("decoders") if type_of(decoder) == "Sequence" else [decoder]
    has_bytes = isinstance(decoders, list) and any(type_of(step) == "ByteLevel" for step in decoders)
    is_metaspace = pre_tokenizer in (None, SPLIT_AT_SPACES) or type_of(pre_tokenizer) == "Metaspace"
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
    if steps not in ([], [REPLACE], [PREPEND, REPLACE], [REPLACE, PREPEND]):
        described = " then ".join(map(type_of, steps))
        raise DataError(f"its normalizer is {described}, and textmill knows Prepend and Replace of spaces by U+2581")
    preparation: dict[str, Any] = {"dummy_prefix": "always" if PREPEND in steps else "never"}
    if type_of(pre_tokenizer) != "Metaspace":
        if not steps:
            raise DataError("it has no normalizer and no Metaspace, so spaces are not replaced; textmill needs one")
        return preparation
    table = table_of(pre_tokenizer, "Metaspace", METASPACE)
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
    if scheme not in SCHEMES or table.get("replacement") != SPACE:
        raise DataError(
            f"Metaspace has the replacement {str(table.get('replacement'))[:40]!r} and the prepend_scheme "
            f"{str(scheme)[:40]!r}; textmill knows U+2581 and {', '.join(SCHEMES)}"
        )
    if table.get("add_prefix_space") is False and scheme != "never":
        raise DataError(
            f"Metaspace has no add_prefix_space and the prepend_scheme {scheme}, which contradict each other"
        )
    return scheme


def _read_decoder(decoder: Any) -> tuple[Any, bool]:
    """Read what decoding takes off the start, and whether tokens such as <0x0A> become bytes."""
    if type_of(decoder) == "Metaspace":
        scheme = _read_scheme(table_of(decoder, "the Metaspace decoder", METASPACE))
        return ("never" if scheme == "never" else "spaces_of_first"), False
    steps = list_of(decoder.get("decoders"), "decoders") if type_of(decoder) == "Sequence" else [decoder]
    for middle in ([BYTE_FALLBACK, FUSE], [FUSE]):
        for end in ([STRIP], []):
            if steps == [REPLACE_BACK, *middle, *end]:
                return ("space" if end else "never"), BYTE_FALLBACK in middle
    raise DataError(
        f"its decoder is {' then '.join(map(type_of, steps))}, and textmill knows Replace of U+2581 by a space, "
        "ByteFallback, Fuse and Strip of one space, and Metaspace"
    )
