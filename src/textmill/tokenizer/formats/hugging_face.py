"""tokenizer.json, the format of Hugging Face's ``tokenizers``: BPE over bytes, or over characters (``metaspace``)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textmill.base.errors import DataError
from textmill.tokenizer import patterns
from textmill.tokenizer.alphabet import to_bytes, to_characters
from textmill.tokenizer.characters import PATTERN
from textmill.tokenizer.formats import metaspace
from textmill.tokenizer.formats.json_parts import list_of, table_of, text_of, type_of, whole_number
from textmill.tokenizer.formats.limits import table_of_tokens
from textmill.tokenizer.formats.pre_tokenizer import check_number_bytes, read_normalizer, read_pre_tokenizer
from textmill.tokenizer.vocabulary import AddedToken, Vocabulary

_BYTE_LEVEL_DECODER = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
_TOP_LEVEL = (
    "version",
    "truncation",
    "padding",
    "added_tokens",
    "normalizer",
    "pre_tokenizer",
    "post_processor",
    "decoder",
    "model",
)
_MODEL = (
    "type",
    "dropout",
    "unk_token",
    "continuing_subword_prefix",
    "end_of_word_suffix",
    "fuse_unk",
    "byte_fallback",
    "ignore_merges",
    "vocab",
    "merges",
)
_ADDED_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


def to_json(vocabulary: Vocabulary) -> str:
    """Write a vocabulary as the text of a tokenizer.json."""
    names = {} if vocabulary.characters else _names(vocabulary)
    added = [
        {
            "id": token.id,
            "content": token.text,
            "single_word": token.is_single_word,
            "lstrip": token.strips_left,
            "rstrip": token.strips_right,
            "normalized": token.is_normalized,
            "special": token.is_special,
        }
        for token in vocabulary.added
    ]
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": vocabulary.whole_pieces,
        "vocab": {name: token_id for token_id, name in names.items()},
        "merges": [] if vocabulary.characters else [[names[a], names[b]] for a, b, _ in vocabulary.merges.tolist()],
    }
    parts = metaspace.to_parts(vocabulary) if vocabulary.characters else _byte_level_parts(vocabulary)
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": parts["normalizer"],
        "pre_tokenizer": parts["pre_tokenizer"],
        "post_processor": _post_processor(vocabulary),
        "decoder": parts["decoder"],
        "model": {**model, **parts["model"]},
    }
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def _byte_level_parts(vocabulary: Vocabulary) -> dict[str, Any]:
    return {
        "normalizer": {"type": "NFC"} if vocabulary.normalizer == "nfc" else None,
        "pre_tokenizer": _pre_tokenizer(vocabulary),
        "decoder": _BYTE_LEVEL_DECODER,
        "model": {},
    }


def _names(vocabulary: Vocabulary) -> dict[int, str]:
    added = {token.id: token.text for token in vocabulary.added}
    names = {i: added.get(i) or to_characters(token) for i, token in enumerate(vocabulary.tokens) if token}
    owners: dict[str, int] = {}
    for token_id, name in names.items():
        if name in owners:
            raise DataError(
                f'tokens {owners[name]} and {token_id} would both be written "{name}" in a tokenizer.json, which has '
                "one id for a name; choose another text for the special token"
            )
        owners[name] = token_id
    return names


def _pre_tokenizer(vocabulary: Vocabulary) -> dict[str, Any]:
    part = patterns.to_pre_tokenizer(vocabulary.pattern)
    if not vocabulary.adds_prefix_space:
        return part
    if part["type"] != "ByteLevel":
        raise DataError(
            f'this tokenizer puts a space before a text and splits it by the pattern "{vocabulary.pattern.name}"; a '
            "tokenizer.json can hold the two together only with the pattern gpt2"
        )
    return {**part, "add_prefix_space": True}


def _post_processor(vocabulary: Vocabulary) -> dict[str, Any] | None:
    if not vocabulary.prefix_ids and not vocabulary.suffix_ids:
        return None
    texts = {token.id: token.text for token in vocabulary.added}

    def special(token_id: int) -> dict[str, Any]:
        return {"SpecialToken": {"id": texts[token_id], "type_id": 0}}

    def template(*sequences: str) -> list[dict[str, Any]]:
        middle = [{"Sequence": {"id": name, "type_id": 0}} for name in sequences]
        return [*map(special, vocabulary.prefix_ids), *middle, *map(special, vocabulary.suffix_ids)]

    used = sorted({*vocabulary.prefix_ids, *vocabulary.suffix_ids})
    return {
        "type": "TemplateProcessing",
        "single": template("A"),
        "pair": template("A", "B"),
        "special_tokens": {texts[i]: {"id": texts[i], "ids": [i], "tokens": [texts[i]]} for i in used},
    }


def from_json(content: Any) -> Vocabulary:
    """Read what a tokenizer.json holds.

    Raises:
        DataError: it contradicts itself, or has a feature that textmill does not reproduce.
    """
    content = table_of(content, "the file", _TOP_LEVEL)
    for feature in ("truncation", "padding"):
        if content.get(feature) is not None:
            raise DataError(f"it asks for {feature}, which textmill does not do; set it to null")
    if metaspace.is_over_characters(content):
        return _from_json_over_characters(content)
    normalizer = read_normalizer(content.get("normalizer"))
    pre_tokenizer = read_pre_tokenizer(content.get("pre_tokenizer"))
    _check_decoder(content.get("decoder"))
    model = table_of(content.get("model"), "model", _MODEL)
    _check_model(model)
    vocab = _read_vocab(model.get("vocab"))
    added = _read_added(content.get("added_tokens") or [], vocab)
    prefix_ids, suffix_ids = _read_post_processor(content.get("post_processor"), {t.text: t.id for t in added})
    tokens, merges = _token_bytes(vocab, added), _read_merges(model.get("merges"), vocab)
    if pre_tokenizer.number_bytes_stand_apart:
        check_number_bytes(tokens, merges)
    vocabulary = Vocabulary(
        pattern=pre_tokenizer.pattern,
        tokens=tokens,
        merges=merges,
        added=added,
        whole_pieces=bool(model.get("ignore_merges", False)),
        prefix_ids=prefix_ids,
        suffix_ids=suffix_ids,
        normalizer=normalizer,
        adds_prefix_space=pre_tokenizer.adds_prefix_space,
        drops_bytes=True,
    )
    _check_missing_bytes(vocabulary, model)
    return vocabulary


def _from_json_over_characters(content: dict[str, Any]) -> Vocabulary:
    model = content["model"] = table_of(content.get("model"), "model", _MODEL)
    _check_model(model)
    vocab = _read_vocab(model.get("vocab"))
    added = _read_added(content.get("added_tokens") or [], vocab)
    prefix_ids, suffix_ids = _read_post_processor(content.get("post_processor"), {t.text: t.id for t in added})
    merges = _read_merges(model.get("merges"), vocab)
    tokens, characters = metaspace.read_rules(content, vocab, added, merges)
    return Vocabulary(
        pattern=PATTERN,
        tokens=tokens,
        merges=merges,
        added=added,
        whole_pieces=bool(model.get("ignore_merges", False)),
        prefix_ids=prefix_ids,
        suffix_ids=suffix_ids,
        characters=characters,
    )


def _check_decoder(decoder: Any) -> None:
    steps = list_of(decoder.get("decoders"), "decoders") if type_of(decoder) == "Sequence" else [decoder]
    # Fuse joins what ByteLevel has joined already.
    others = [type_of(step) for step in steps if type_of(step) != "Fuse"]
    if others != ["ByteLevel"]:
        raise DataError(f"it has the decoder {' then '.join(others) or 'Fuse'}, and textmill knows ByteLevel")


def _check_model(model: Mapping[str, Any]) -> None:
    if model.get("type", "BPE") != "BPE":
        raise DataError(f"its model is {type_of(model)}, and textmill knows BPE")
    if model.get("dropout"):
        raise DataError(f"it has the dropout {model['dropout']!r}, so one text has many encodings; set it to null")
    for feature in ("continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(feature):
            raise DataError(f"it has the {feature} {model[feature]!r}, which textmill does not know")
    if not isinstance(model.get("ignore_merges", False), bool):
        raise DataError(f"ignore_merges is {model['ignore_merges']!r}, and must be true or false")


def _check_missing_bytes(vocabulary: Vocabulary, model: Mapping[str, Any]) -> None:
    """A byte without a token is left out of a text, unless the model has something else to do with it."""
    for feature in ("unk_token", "byte_fallback"):
        if model.get(feature) and vocabulary.missing_bytes:
            raise DataError(
                f"no token is the byte {vocabulary.missing_bytes[0]} alone, and its model has the {feature} "
                f"{model[feature]!r} for such bytes, which textmill does not know"
            )


def _read_vocab(vocab: Any) -> dict[str, int]:
    if not isinstance(vocab, dict) or not vocab:
        raise DataError("model.vocab must be an object that gives each token its id, and is empty or something else")
    for name, token_id in vocab.items():
        whole_number(token_id, f"the id of token {name[:80]!r}")
    if len(set(vocab.values())) != len(vocab):
        raise DataError(f"{len(vocab)} tokens share {len(set(vocab.values()))} ids; each needs its own")
    return vocab


def _read_added(entries: Any, vocab: Mapping[str, int]) -> tuple[AddedToken, ...]:
    added: list[AddedToken] = []
    next_id = len(vocab)
    for item in list_of(entries, "added_tokens"):
        entry = table_of(item, "an added token", ("id", "content", *_ADDED_FLAGS))
        text, token_id = text_of(entry.get("content"), "the content of an added token"), entry.get("id")
        flags = {flag: entry.get(flag, False) for flag in _ADDED_FLAGS}
        for flag, value in flags.items():
            if not isinstance(value, bool):
                raise DataError(f'the added token "{text}" has {flag} = {str(value)[:40]!r}, not true or false')
        # The ids that Hugging Face gives, whatever the file says: the model's own, or the next free one.
        expected = vocab.get(text, next_id)
        if token_id != expected or isinstance(token_id, bool):
            raise DataError(
                f'the added token "{text}" has the id {str(token_id)[:40]}, and Hugging Face reads it as {expected}'
            )
        next_id = max(next_id, expected + 1)
        added.append(
            AddedToken(
                expected,
                text,
                is_special=flags["special"],
                is_normalized=flags["normalized"],
                is_single_word=flags["single_word"],
                strips_left=flags["lstrip"],
                strips_right=flags["rstrip"],
            )
        )
    return tuple(sorted(added, key=lambda token: token.id))


def _token_bytes(vocab: Mapping[str, int], added: tuple[AddedToken, ...]) -> tuple[bytes, ...]:
    added_texts = {token.text for token in added}
    pairs = [(token.id, token.text.encode()) for token in added]
    for name, token_id in vocab.items():
        if name in added_texts:
            continue
        try:
            pairs.append((token_id, to_bytes(name)))
        except KeyError as error:
            raise DataError(
                f"token {token_id} {name[:80]!r} holds U+{ord(error.args[0]):04X}, which stands for no byte; "
                "textmill knows byte-level vocabularies"
            ) from error
    return table_of_tokens(pairs)


def _read_merges(merges: Any, vocab: Mapping[str, int]) -> NDArray[np.uint32]:
    merges = list_of(merges, "model.merges")
    rows = np.empty((len(merges), 3), dtype=np.uint32)
    for rank, merge in enumerate(merges):
        parts = merge.split(" ") if isinstance(merge, str) else merge
        if not isinstance(parts, list) or len(parts) != 2 or not all(isinstance(part, str) for part in parts):
            raise DataError(f"merge {rank} is {str(merge)[:80]!r}, and must be two tokens")
        left, right = parts
        for name in (left, right, left + right):
            if name not in vocab:
                raise DataError(f"merge {rank} needs the token {name[:80]!r}, which model.vocab does not have")
        rows[rank] = vocab[left], vocab[right], vocab[left + right]
    return rows


def _read_post_processor(processor: Any, added_ids: Mapping[str, int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if processor is None or type_of(processor) == "ByteLevel":
        return (), ()
    if type_of(processor) == "Sequence":
        found = [_read_post_processor(step, added_ids) for step in list_of(processor.get("processors"), "processors")]
        adding = [ids for ids in found if ids != ((), ())]
        if len(adding) > 1:
            raise DataError("its post_processor adds tokens in more than one step, which textmill does not know")
        return adding[0] if adding else ((), ())
    if type_of(processor) != "TemplateProcessing":
        raise DataError(f"its post_processor is {type_of(processor)}, and textmill knows TemplateProcessing")
    return _read_template(processor.get("single"), added_ids)


def _read_template(single: Any, added_ids: Mapping[str, int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    before: list[int] = []
    after: list[int] = []
    side = before
    for part in list_of(single, "the template of post_processor"):
        if isinstance(part, dict) and "Sequence" in part:
            side = after
            continue
        special = part.get("SpecialToken") if isinstance(part, dict) else None
        name = special.get("id") if isinstance(special, dict) else None
        if not isinstance(name, str) or name not in added_ids:
            raise DataError(f"its post_processor adds {str(name)[:80]!r}, which is not among the added tokens")
        side.append(added_ids[name])
    if side is before:
        raise DataError("its post_processor has no place for the text")
    return tuple(before), tuple(after)
