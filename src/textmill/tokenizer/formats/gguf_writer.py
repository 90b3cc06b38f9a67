"""Writing a tokenizer into a GGUF's values, so that llama.cpp gives a text the same ids; ``gguf`` reads them.

A GGUF names its pre-tokenizer (``gguf_pre``) and lists no flags of added tokens: what it cannot say is refused.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from textmill.base.errors import ConfigError, DataError
from textmill.tokenizer.alphabet import to_characters
from textmill.tokenizer.characters import BYTE, CONTROL, HOLE, NORMAL, UNKNOWN, UNUSED, USER_DEFINED, CharacterRules
from textmill.tokenizer.formats.gguf import padding_name
from textmill.tokenizer.formats.gguf_pre import PRE
from textmill.tokenizer.formats.merge_order import merge_list
from textmill.tokenizer.patterns import pattern_from
from textmill.tokenizer.vocabulary import Vocabulary

_KEY = "tokenizer.ggml."
_APPROXIMATED = {"gpt-4o", "tekken", "falcon"}  # see gguf_pre


def to_values(vocabulary: Vocabulary, num_rows: int) -> dict[str, Any]:
    """Write tokens, merges, and how text is split.

    Args:
        vocabulary: the tokenizer's.
        num_rows: rows of the model's table; rows beyond the tokens become unused tokens, as llama.cpp wants it.

    Raises:
        ConfigError: GGUF has no way to say what this tokenizer does, with the reason.
    """
    for token in vocabulary.added:
        flags = ("is_single_word", "strips_left", "strips_right")
        wrong = next((flag for flag in flags if getattr(token, flag)), None)
        if wrong is not None:
            raise ConfigError(f'the added token "{token.text}" has the flag {wrong}, which a GGUF does not hold')
    values = _over_characters(vocabulary) if vocabulary.characters else _byte_level(vocabulary)
    names, types = values[_KEY + "tokens"], values[_KEY + "token_type"]
    missing = range(len(names), num_rows)
    values[_KEY + "tokens"] = names + [padding_name(token_id) for token_id in missing]
    values[_KEY + "token_type"] = np.array(types + [UNUSED] * len(missing), dtype=np.int32)
    if _KEY + "scores" in values:
        scores = values[_KEY + "scores"]
        values[_KEY + "scores"] = np.concatenate([scores, np.zeros(len(missing), np.float32)]).astype(np.float32)
    return values


def differences(vocabulary: Vocabulary) -> list[str]:
    """Say in sentences what llama.cpp does otherwise than the tokenizer, from a file that says it all."""
    notes = []
    if vocabulary.normalizer:
        notes.append(
            f"llama.cpp does not normalise text ({vocabulary.normalizer.upper()}) as this tokenizer does: text that is "
            f"not normalised already gets other tokens there"
        )
    if vocabulary.characters is None and pre_of(vocabulary) in _APPROXIMATED:
        notes.append(
            f'llama.cpp approximates the pattern "{vocabulary.pattern.name[:80]}": some text beyond ASCII gets other '
            f"tokens there"
        )
    return notes


def pre_of(vocabulary: Vocabulary) -> str:
    """Find the name by which GGUF knows how a vocabulary splits text; raises ``ConfigError`` where it knows none."""
    pattern, wanted = vocabulary.pattern, (vocabulary.normalizer, vocabulary.whole_pieces)
    alike = {name: pre for name, pre in PRE.items() if pre.regexes == pattern.regexes}
    for name, pre in alike.items():
        if (pre.normalizer, pre.whole_pieces) == wanted:
            return name
    for name, pre in alike.items():
        if pre.normalizer == vocabulary.normalizer and _merges_reach_all(vocabulary):
            return name
    if not alike:
        raise ConfigError(
            f'the tokenizer splits text by the pattern "{pattern.name[:200]}", and no pre-tokenizer that GGUF knows by '
            f"name splits alike. Train it with one of gpt2, cl100k, o200k, llama3, qwen2, smollm, deepseek-v3, tekken"
        )
    raise ConfigError(
        f'the tokenizer splits text as GGUF\'s "{next(iter(alike))}" does, and has the normalizer '
        f'"{vocabulary.normalizer}" and whole_pieces = {vocabulary.whole_pieces}, which no name in GGUF has beside it'
    )


def _merges_reach_all(vocabulary: Vocabulary) -> bool:
    """Whether each token is what its bytes merge into, so that taking whole pieces first changes nothing."""
    one_piece = pattern_from([r"[\s\S]+"])
    encoder = dataclasses.replace(vocabulary, pattern=one_piece, whole_pieces=False).build_encoder()
    added = {token.id for token in vocabulary.added}
    ordinary = [i for i, token in enumerate(vocabulary.tokens) if token and i not in added]
    ids, offsets = encoder.encode_batch([vocabulary.tokens[i] for i in ordinary], 1)
    return len(ids) == len(ordinary) and np.array_equal(ids, ordinary) and len(offsets) == len(ordinary) + 1


def _byte_level(vocabulary: Vocabulary) -> dict[str, Any]:
    if vocabulary.adds_prefix_space:
        raise ConfigError("the tokenizer puts a space before a text (add_prefix_space), which GGUF cannot say of bytes")
    kinds = {token.id: CONTROL if token.is_special else USER_DEFINED for token in vocabulary.added}
    texts = {token.id: token.text for token in vocabulary.added}
    names = [
        texts.get(i) or (to_characters(token) if token else padding_name(i))
        for i, token in enumerate(vocabulary.tokens)
    ]
    return {
        _KEY + "model": "gpt2",
        _KEY + "pre": pre_of(vocabulary),
        _KEY + "tokens": names,
        _KEY + "token_type": [kinds.get(i, NORMAL if token else UNUSED) for i, token in enumerate(vocabulary.tokens)],
        _KEY + "merges": [f"{names[left]} {names[right]}" for left, right, _ in vocabulary.merges.tolist()],
    }


def _over_characters(vocabulary: Vocabulary) -> dict[str, Any]:
    rules = vocabulary.characters
    assert rules is not None
    _check_rules(rules)
    kinds = {token.id: USER_DEFINED for token in vocabulary.added if not token.is_special}
    types = [kinds.get(i, UNUSED if kind == HOLE else kind) for i, kind in enumerate(rules.kinds.tolist())]
    values: dict[str, Any] = {
        _KEY + "model": "llama",
        _KEY + "pre": "default",
        _KEY + "tokens": [piece or padding_name(i) for i, piece in enumerate(rules.pieces)],
        _KEY + "scores": rules.scores if rules.scores.size else _scores(vocabulary, rules),
        _KEY + "token_type": types,
        _KEY + "add_space_prefix": rules.dummy_prefix == "always",
    }
    unknown = np.flatnonzero(rules.kinds == UNKNOWN)
    if unknown.size:
        values[_KEY + "unknown_token_id"] = int(unknown[0])
    return values


def _check_rules(rules: CharacterRules) -> None:
    features = {
        "a precompiled charsmap": bool(rules.charsmap),
        "extra spaces removed (remove_extra_whitespaces)": rules.remove_extra_spaces,
        "the added space behind the text (treat_whitespace_as_suffix)": rules.dummy_suffix,
        "spaces that stay spaces (escape_whitespaces)": not rules.escape_spaces,
        "words that no merge crosses (Metaspace's split)": rules.splits_words,
        "a space put only before texts that have none (Metaspace)": rules.dummy_prefix == "unless_there",
        "no tokens for bytes (byte_fallback)": not rules.byte_fallback or not (rules.kinds == BYTE).any(),
    }
    for name, is_there in features.items():
        if is_there:
            raise ConfigError(
                f"this tokenizer has {name}, which llama.cpp does not do, so it cannot be written as GGUF"
            )


def _scores(vocabulary: Vocabulary, rules: CharacterRules) -> np.ndarray:
    """Scores that merge in the order of a list of merges: each piece's is less than that of the piece before.

    Raises:
        ConfigError: no scores do.
    """
    rows = vocabulary.merges
    scores = np.zeros(len(rules.pieces), dtype=np.float32)
    products = list(dict.fromkeys(rows[:, 2].tolist()))
    scores[products] = -np.arange(1, len(products) + 1)
    by_scores = dataclasses.replace(
        vocabulary,
        characters=dataclasses.replace(rules, scores=scores),
        merges=np.empty((0, 3), dtype=np.uint32),
    )
    reason = "its merges are not in the order that any scores would give them"
    try:
        if np.array_equal(merge_list(by_scores), rows) and not vocabulary.whole_pieces:
            return scores
    except DataError as error:
        reason = str(error)
    if vocabulary.whole_pieces:
        reason = "it takes whole pieces before it merges (ignore_merges)"
    raise ConfigError(f"the tokenizer merges characters by a list, and a GGUF holds scores instead: {reason}")
