"""The tokenizer in a GGUF file's header: BPE over bytes (``tokenizer.ggml.model`` is "gpt2") or characters ("llama").

The file names its pre-tokenizer and does not describe it, nor the normalizer of the tokenizer it was made from; both
are looked up by the name (``gguf_pre``).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from textmill.base.errors import DataError
from textmill.base.gguf import Header, read_header
from textmill.tokenizer.characters import HOLE
from textmill.tokenizer.chat import ChatTemplate
from textmill.tokenizer.formats import sentencepiece
from textmill.tokenizer.formats.byte_level import merge_rows, token_of, tokens_of
from textmill.tokenizer.formats.gguf_pre import pre_named
from textmill.tokenizer.formats.limits import table_of_tokens
from textmill.tokenizer.formats.pre_tokenizer import check_number_bytes
from textmill.tokenizer.patterns import pattern_from
from textmill.tokenizer.vocabulary import AddedToken, Vocabulary

_KEY = "tokenizer.ggml."
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = range(1, 7)
_ADDED = frozenset({_UNKNOWN, _CONTROL, _USER_DEFINED})
_OF_BYTES = _ADDED | {_NORMAL, _UNUSED}
_STOPS = ("eos_token_id", "eot_token_id", "eom_token_id")


def read(path: Path) -> tuple[Vocabulary, ChatTemplate | None]:
    """Read the tokenizer of a GGUF file: its header only, never its tensors.

    Raises:
        DataError: the file is damaged, or its tokenizer is of a kind that textmill does not reproduce exactly.
    """
    return from_header(read_header(path))


def from_header(header: Header) -> tuple[Vocabulary, ChatTemplate | None]:
    """Read the tokenizer of a header that is read already; raises as ``read`` does."""
    model = header.value(_KEY + "model", str, "")
    if model not in {"gpt2", "llama"}:
        raise DataError(
            f'its {_KEY}model is "{model[:80]}", and textmill reads BPE over bytes ("gpt2") and characters ("llama")'
            if model
            else f"it holds no tokenizer: {_KEY}model is missing"
        )
    vocabulary = _byte_level(header) if model == "gpt2" else _over_characters(header)
    return vocabulary, read_chat_template(header, vocabulary.tokens)


def read_chat_template(header: Header, tokens: tuple[bytes, ...]) -> ChatTemplate | None:
    """Return the chat template of a file, with the texts of its BOS and EOS tokens."""
    text = header.value("tokenizer.chat_template", str, None)
    if text is None:
        return None
    variables = []
    for name in ("bos_token", "eos_token"):
        token_id = token_id_of(header, f"{name}_id", len(tokens))
        if token_id is not None:
            variables.append((name, tokens[token_id].decode("utf-8", "replace")))
    return ChatTemplate(text, tuple(variables))


def token_id_of(header: Header, name: str, num_tokens: int) -> int | None:
    """Return the id that a file gives a role such as ``bos_token_id``, None where it gives none."""
    token_id = header.value(_KEY + name, int, None)
    if token_id is not None and not 0 <= token_id < num_tokens:
        raise DataError(f"its {_KEY}{name} is {token_id}, and its tokens have ids 0 to {num_tokens - 1}")
    return token_id


def affixes(header: Header, num_tokens: int, *, adds_bos: bool) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the ids that a file asks for before and after a text; ``adds_bos`` where it does not say."""
    found = []
    for role, default in (("bos", adds_bos), ("eos", False)):
        token_id = token_id_of(header, f"{role}_token_id", num_tokens)
        is_added = header.value(f"{_KEY}add_{role}_token", bool, default)
        if is_added and token_id is None:
            raise DataError(f"it asks for a {role.upper()} token ({_KEY}add_{role}_token), and names none")
        found.append((token_id,) if is_added and token_id is not None else ())
    return found[0], found[1]


def stop_ids(header: Header, num_tokens: int) -> tuple[int, ...]:
    """Return the ids that end a text: EOS, end of turn, end of message."""
    ids = [token_id_of(header, name, num_tokens) for name in _STOPS]
    return tuple(dict.fromkeys(token_id for token_id in ids if token_id is not None))


def token_types(header: Header, num_tokens: int) -> list[int]:
    """Return the type of each token; raises ``DataError`` where there is not one for each."""
    types = header.value(_KEY + "token_type", np.ndarray, None)
    if types is None:
        raise DataError(f"it has no {_KEY}token_type, so control tokens cannot be told from text")
    if len(types) != num_tokens or types.dtype.kind not in "iu":
        raise DataError(f"it has {len(types):,} token types ({types.dtype}) for {num_tokens:,} tokens")
    return types.tolist()


def padding_name(token_id: int) -> str:
    """Return what llama.cpp's converter calls a token that stands for a row without one."""
    return f"[PAD{token_id}]"


def _byte_level(header: Header) -> Vocabulary:
    pre = pre_named(header.value(_KEY + "pre", str, "default"))
    names = header.value(_KEY + "tokens", list, None)
    if not names:
        raise DataError(f"it has no {_KEY}tokens")
    tokens, added = _tokens(names, token_types(header, len(names)))
    ordinary = set(range(len(names))) - {token.id for token in added}
    merges = merge_rows(header.value(_KEY + "merges", list, []), {names[i]: i for i in ordinary if tokens[i]})
    if pre.number_bytes_stand_apart:
        check_number_bytes(tokens, merges)
    prefix_ids, suffix_ids = affixes(header, len(names), adds_bos=pre.adds_bos)
    return Vocabulary(
        pattern=pattern_from(pre.regexes),
        tokens=tokens,
        merges=merges,
        added=added,
        whole_pieces=pre.whole_pieces,
        prefix_ids=prefix_ids,
        suffix_ids=suffix_ids,
        normalizer=pre.normalizer,
        stop_ids=stop_ids(header, len(names)),
        drops_bytes=True,
    )


def _over_characters(header: Header) -> Vocabulary:
    """Read what a sentencepiece model was written as. Its keys are those of the model, with the same defaults."""
    names = header.value(_KEY + "tokens", list, None)
    if not names:
        raise DataError(f"it has no {_KEY}tokens")
    scores = header.value(_KEY + "scores", np.ndarray, None)
    if scores is None or len(scores) != len(names) or scores.dtype.kind != "f":
        described = "none" if scores is None else f"{len(scores):,} ({scores.dtype})"
        raise DataError(f"it has {described} of {_KEY}scores for {len(names):,} tokens, which say what merges first")
    types = token_types(header, len(names))
    unknown_types = sorted({kind for kind in types if not _NORMAL <= kind <= _BYTE})
    if unknown_types:
        raise DataError(f"it has tokens of the type {unknown_types[0]}, and there are {_NORMAL} to {_BYTE}")
    # Converters fill a table up with tokens of such names, which nothing merges into: they are holes.
    padding = [i for i, kind in enumerate(types) if kind == _UNUSED and names[i] == padding_name(i)]
    pieces = list(names)
    for token_id in padding:
        pieces[token_id], types[token_id] = "", HOLE
    has_prefix = header.value(_KEY + "add_space_prefix", bool, True)
    removes_spaces = header.value(_KEY + "remove_extra_whitespaces", bool, False)
    charsmap = header.value(_KEY + "precompiled_charsmap", np.ndarray, np.empty(0, dtype=np.uint8))
    prefix_ids, suffix_ids = affixes(header, len(names), adds_bos=True)
    vocabulary = sentencepiece.from_pieces(
        pieces,
        np.array(types, dtype=np.uint8),
        scores.astype(np.float32),
        prefix_ids=prefix_ids,
        suffix_ids=suffix_ids,
        byte_fallback=_BYTE in types,
        dummy_prefix="always" if has_prefix else "never",
        remove_extra_spaces=removes_spaces,
        charsmap=charsmap.tobytes(),
        strip_start=sentencepiece.strip_start(removes_spaces=removes_spaces, has_prefix=has_prefix),
    )
    return dataclasses.replace(vocabulary, stop_ids=stop_ids(header, len(names)))


def _tokens(names: list[str], types: list[int]) -> tuple[tuple[bytes, ...], tuple[AddedToken, ...]]:
    added = tuple(
        AddedToken(token_id, names[token_id], is_special=token_type != _USER_DEFINED)
        for token_id, token_type in enumerate(types)
        if token_type in _ADDED
    )
    wrong = next((i for i, token_type in enumerate(types) if token_type not in _OF_BYTES), None)
    if wrong is not None:
        kind = "a byte" if types[wrong] == _BYTE else "not known"
        raise DataError(
            f"token {wrong} {names[wrong][:80]!r} has the type {types[wrong]} ({kind}), not of byte-level BPE"
        )
    normal = [token_id for token_id, token_type in enumerate(types) if token_type == _NORMAL]
    normal_names = [names[token_id] for token_id in normal]
    texts = tokens_of(normal_names) or list(map(token_of, normal, normal_names))
    pairs = [*((token.id, token.text.encode()) for token in added), *zip(normal, texts, strict=True)]
    tokens = table_of_tokens(pairs)
    return tokens + (b"",) * (len(names) - len(tokens)), added  # unused ones at the end are holes too
