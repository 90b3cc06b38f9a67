"""Writing the tokenizer.json of a vocabulary over characters."""

from __future__ import annotations

from typing import Any

import numpy as np

from textmill.base.errors import DataError
from textmill.tokenizer.characters import BYTE, SPACE, UNKNOWN, UNUSED, USER_DEFINED, CharacterRules
from textmill.tokenizer.formats.merge_order import merge_list
from textmill.tokenizer.formats.metaspace_parts import BYTE_FALLBACK, FUSE, PREPEND, REPLACE, REPLACE_BACK, STRIP
from textmill.tokenizer.vocabulary import Vocabulary


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
    decoders = [REPLACE_BACK, *([BYTE_FALLBACK] if has_bytes else []), FUSE, *([STRIP] if strips else [])]
    has_metaspace = rules.splits_words or rules.dummy_prefix != "always"
    scheme = "never" if rules.dummy_prefix != "unless_there" else "first" if rules.is_prefix_once else "always"
    metaspace = {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": scheme, "split": rules.splits_words}
    is_prepended = rules.dummy_prefix == "always"
    return {
        "normalizer": {"type": "Sequence", "normalizers": [PREPEND, REPLACE]} if is_prepended else None,
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
