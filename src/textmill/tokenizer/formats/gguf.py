"""The tokenizer in a GGUF file's header: BPE over bytes (``tokenizer.ggml.model`` is "gpt2") or characters ("llama").

The file names its pre-tokenizer and does not describe it, nor the normalizer of the tokenizer it was made from; both
are looked up here by the name. What each name splits is what llama.cpp's ``src/llama-vocab.cpp`` says, except where
that approximates the tokenizer.json that the models were trained with: there it is the original.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from textmill.base.errors import DataError, did_you_mean
from textmill.base.gguf import Header, read_header
from textmill.tokenizer.alphabet import to_bytes
from textmill.tokenizer.chat import ChatTemplate
from textmill.tokenizer.formats import sentencepiece
from textmill.tokenizer.formats.limits import table_of_tokens
from textmill.tokenizer.formats.pre_tokenizer import check_number_bytes
from textmill.tokenizer.formats.punctuation import PUNCTUATION
from textmill.tokenizer.patterns import pattern_from, pattern_named
from textmill.tokenizer.vocabulary import AddedToken, Vocabulary

_KEY = "tokenizer.ggml."
_GPT2 = pattern_named("gpt2").regexes[0]
_QWEN35 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
# The letters, punctuation, and Chinese and Korean that DeepSeek's first tokenizers name one by one.
_DEEPSEEK_LETTERS = (
    r"\x{41}-\x{5A}\x{61}-\x{7A}\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-\x{293}"
    r"\x{295}-\x{2AF}\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}\x{37F}\x{386}\x{388}-\x{38A}\x{38C}"
    r"\x{38E}-\x{3A1}\x{3A3}-\x{3F5}\x{3F7}-\x{481}\x{48A}-\x{52F}\x{531}-\x{556}\x{10A0}-\x{10C5}"
    r"\x{13A0}-\x{13F5}\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B}\x{1D6B}-\x{1D77}"
    r"\x{1D79}-\x{1D9A}\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D}\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}\x{1F50}-\x{1F57}"
    r"\x{1F59}\x{1F5B}\x{1F5D}\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE}\x{1FC2}-\x{1FC4}"
    r"\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}\x{1FF2}-\x{1FF4}\x{1FF6}-\x{1FFC}"
    r"\x{2102}\x{2107}\x{210A}-\x{2113}\x{2115}\x{2119}-\x{211D}\x{2124}\x{2126}\x{2128}\x{212A}-\x{212D}"
    r"\x{212F}-\x{2134}\x{2139}\x{213C}-\x{213F}\x{2145}-\x{2149}\x{214E}\x{2183}\x{2184}\x{2C00}-\x{2C7B}"
    r"\x{2C7E}-\x{2CE4}\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}\x{A640}-\x{A66D}\x{A680}-\x{A69B}\x{A722}-\x{A76F}"
    r"\x{A771}-\x{A787}\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}\x{FF21}-\x{FF3A}"
    r"\x{FF41}-\x{FF5A}\x{10400}-\x{1044F}\x{104B0}-\x{104D3}\x{104D8}-\x{104FB}\x{10C80}-\x{10CB2}"
    r"\x{10CC0}-\x{10CF2}\x{118A0}-\x{118DF}\x{1E900}-\x{1E943}"
)
_DEEPSEEK_PUNCTUATION = (
    r"\x{21}-\x{2F}\x{3A}-\x{7E}\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3000}-\x{3002}"
)
_DEEPSEEK_CJK = r"[\x{4E00}-\x{9FA5}\x{800}-\x{4E00}\x{AC00}-\x{D7FF}]+"


class _Pre(NamedTuple):
    """What a name of ``tokenizer.ggml.pre`` stands for.

    Attributes:
        regexes: how text is split, a stage each.
        normalizer: that of the tokenizer.json which models with this name come from; a GGUF does not say.
        whole_pieces: a piece that is a token is not merged.
        adds_bos: where the file does not say.
        number_bytes_stand_apart: see ``formats.pre_tokenizer.PreTokenizer``.
    """

    regexes: tuple[str, ...]
    normalizer: str = ""
    whole_pieces: bool = False
    adds_bos: bool = False
    number_bytes_stand_apart: bool = False


_PRE = {
    "gpt-2": _Pre((_GPT2,)),
    "mpt": _Pre((_GPT2,), normalizer="nfc"),
    **dict.fromkeys(("starcoder", "refact", "smollm"), _Pre((r"\p{N}", _GPT2))),
    "command-r": _Pre((r"\p{N}", _GPT2), normalizer="nfc"),
    # The original: Punctuation, ByteLevel, Digits, and three ASCII digits. llama.cpp splits by its newer \p{P}.
    "falcon": _Pre((f"[{PUNCTUATION}]+", _GPT2, "[0-9]+", "[0-9][0-9][0-9]"), number_bytes_stand_apart=True),
    "qwen2": _Pre(pattern_named("qwen2").regexes, normalizer="nfc"),
    "qwen35": _Pre((_QWEN35,), normalizer="nfc"),
    "llama-bpe": _Pre(pattern_named("llama3").regexes, whole_pieces=True, adds_bos=True),
    "deepseek-llm": _Pre(
        (
            r"[\r\n]",
            rf"\s?[{_DEEPSEEK_LETTERS}]+",
            rf"\s?[{_DEEPSEEK_PUNCTUATION}]+",
            r"\s+$",
            _DEEPSEEK_CJK,
            r"\p{N}+",
        )
    ),
    "deepseek-coder": _Pre((r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _DEEPSEEK_CJK, r"\p{N}")),
    "deepseek-v3": _Pre(pattern_named("deepseek-v3").regexes),
    # llama.cpp writes the classes of upper and lower case letters of these two as "not a-z" and "not A-Z".
    "tekken": _Pre(pattern_named("tekken").regexes, whole_pieces=True),
    "gpt-4o": _Pre(pattern_named("o200k").regexes),
}
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = range(1, 7)
_STOPS = ("eos_token_id", "eot_token_id", "eom_token_id")


def read(path: Path) -> tuple[Vocabulary, ChatTemplate | None]:
    """Read the tokenizer of a GGUF file: its header only, never its tensors.

    Raises:
        DataError: the file is damaged, or its tokenizer is of a kind that textmill does not reproduce exactly.
    """
    header = read_header(path)
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


def _byte_level(header: Header) -> Vocabulary:
    pre = _pre(header)
    names = header.value(_KEY + "tokens", list, None)
    if not names:
        raise DataError(f"it has no {_KEY}tokens")
    tokens, added = _tokens(names, token_types(header, len(names)))
    ordinary = set(range(len(names))) - {token.id for token in added}
    merges = _merges(header.value(_KEY + "merges", list, []), {names[i]: i for i in ordinary if tokens[i]})
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
    has_prefix = header.value(_KEY + "add_space_prefix", bool, True)
    removes_spaces = header.value(_KEY + "remove_extra_whitespaces", bool, False)
    charsmap = header.value(_KEY + "precompiled_charsmap", np.ndarray, np.empty(0, dtype=np.uint8))
    prefix_ids, suffix_ids = affixes(header, len(names), adds_bos=True)
    vocabulary = sentencepiece.from_pieces(
        names,
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


def _pre(header: Header) -> _Pre:
    name = header.value(_KEY + "pre", str, "default")
    if name not in _PRE:
        raise DataError(
            f'its pre-tokenizer ({_KEY}pre) is "{name[:80]}", which textmill does not know'
            f"{did_you_mean(name[:80], _PRE)} Known: {', '.join(_PRE)}"
        )
    return _PRE[name]


def _tokens(names: list[str], types: list[int]) -> tuple[tuple[bytes, ...], tuple[AddedToken, ...]]:
    pairs: list[tuple[int, bytes]] = []
    added: list[AddedToken] = []
    for token_id, (name, token_type) in enumerate(zip(names, types, strict=True)):
        if token_type == _NORMAL:
            pairs.append((token_id, _bytes_of(token_id, name)))
        elif token_type in (_UNKNOWN, _CONTROL, _USER_DEFINED):
            pairs.append((token_id, name.encode()))
            added.append(AddedToken(token_id, name, is_special=token_type != _USER_DEFINED))
        elif token_type != _UNUSED:
            kind = "a byte" if token_type == _BYTE else "not known"
            raise DataError(f"token {token_id} {name[:80]!r} has the type {token_type} ({kind}), not of byte-level BPE")
    tokens = table_of_tokens(pairs)
    return tokens + (b"",) * (len(names) - len(tokens)), tuple(added)  # unused ones at the end are holes too


def _bytes_of(token_id: int, name: str) -> bytes:
    try:
        return to_bytes(name)
    except KeyError as error:
        raise DataError(
            f"token {token_id} {name[:80]!r} holds U+{ord(error.args[0]):04X}, which stands for no byte"
        ) from error


def _merges(merges: list[str], ids: dict[str, int]) -> NDArray[np.uint32]:
    rows = np.empty((len(merges), 3), dtype=np.uint32)
    for rank, merge in enumerate(merges):
        left, _, right = merge.partition(" ")
        if not left or not right or " " in right:
            raise DataError(f"merge {rank} is {merge[:80]!r}, and must be two tokens with a space between them")
        for name in (left, right, left + right):
            if name not in ids:
                raise DataError(f"merge {rank} needs the token {name[:80]!r}, which is not among the ordinary tokens")
        rows[rank] = ids[left], ids[right], ids[left + right]
    return rows
