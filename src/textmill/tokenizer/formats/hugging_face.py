"""Reading a tokenizer.json of Hugging Face's ``tokenizers``: BPE over bytes, or over characters (``metaspace``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from textmill.base.errors import DataError
from textmill.tokenizer.characters import PATTERN
from textmill.tokenizer.formats import metaspace
from textmill.tokenizer.formats.byte_level import merge_rows, token_of
from textmill.tokenizer.formats.json_parts import list_of, table_of, text_of, type_of, whole_number
from textmill.tokenizer.formats.limits import table_of_tokens
from textmill.tokenizer.formats.post_processor import read_post_processor
from textmill.tokenizer.formats.pre_tokenizer import check_number_bytes, read_normalizer, read_pre_tokenizer
from textmill.tokenizer.vocabulary import AddedToken, Vocabulary

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
    prefix_ids, suffix_ids = read_post_processor(content.get("post_processor"), {t.text: t.id for t in added})
    tokens, merges = _token_bytes(vocab, added), merge_rows(list_of(model.get("merges"), "model.merges"), vocab)
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
    prefix_ids, suffix_ids = read_post_processor(content.get("post_processor"), {t.text: t.id for t in added})
    merges = merge_rows(list_of(model.get("merges"), "model.merges"), vocab)
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
        pairs.append((token_id, token_of(token_id, name)))
    return table_of_tokens(pairs)
