"""tokenizer.json, the format of Hugging Face's ``tokenizers``: byte-level BPE."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textmill.base.errors import ConfigError, DataError
from textmill.tokenizer.alphabet import to_bytes, to_characters
from textmill.tokenizer.formats.limits import read_limited, table_of_tokens
from textmill.tokenizer.patterns import GPT2, Pattern, pattern_from, to_pre_tokenizer
from textmill.tokenizer.regexes import from_oniguruma
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
    names = _names(vocabulary)
    added = [
        {
            "id": token.id,
            "content": token.text,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
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
        "merges": [[names[left], names[right]] for left, right, _ in vocabulary.merges.tolist()],
    }
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": to_pre_tokenizer(vocabulary.pattern),
        "post_processor": _post_processor(vocabulary),
        "decoder": _BYTE_LEVEL_DECODER,
        "model": model,
    }
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


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


def read(path: Path) -> Vocabulary:
    """Read a tokenizer.json.

    Raises:
        DataError: it is not JSON, contradicts itself, or has a feature that textmill does not reproduce.
    """
    data = read_limited(path)
    try:
        content = json.loads(data.decode("utf-8"), object_pairs_hook=_unique_keys)
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8: byte {error.start} of {len(data)} cannot be decoded") from error
    except RecursionError as error:
        raise DataError(f"{path} is nested too deeply to be a tokenizer.json") from error
    except ValueError as error:
        raise DataError(f"{path} is not valid JSON: {error}. Is the file complete?") from error
    return _from_json(content)


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError(f"{len(pairs) - len(table)} of {len(pairs)} keys of an object are double")
    return table


def _from_json(content: Any) -> Vocabulary:
    content = _table(content, "the file", _TOP_LEVEL)
    for feature in ("truncation", "padding"):
        if content.get(feature) is not None:
            raise DataError(f"it asks for {feature}, which textmill does not do; set it to null")
    if content.get("normalizer") not in (None, {"type": "Sequence", "normalizers": []}):
        raise DataError(f"it has the normalizer {_type_of(content['normalizer'])}, which textmill does not know")
    _check_decoder(content.get("decoder"))
    model = _table(content.get("model"), "model", _MODEL)
    _check_model(model)
    vocab = _read_vocab(model.get("vocab"))
    added = _read_added(content.get("added_tokens") or [], vocab)
    prefix_ids, suffix_ids = _read_post_processor(content.get("post_processor"), {t.text: t.id for t in added})
    return Vocabulary(
        pattern=_read_pattern(content.get("pre_tokenizer")),
        tokens=_token_bytes(vocab, added),
        merges=_read_merges(model.get("merges"), vocab),
        added=added,
        whole_pieces=bool(model.get("ignore_merges", False)),
        prefix_ids=prefix_ids,
        suffix_ids=suffix_ids,
    )


def _check_decoder(decoder: Any) -> None:
    if _type_of(decoder) == "Sequence" and len(_list(decoder.get("decoders"), "decoders")) == 1:
        decoder = _list(decoder["decoders"], "decoders")[0]
    if not isinstance(decoder, dict) or decoder.get("type") != "ByteLevel":
        raise DataError(f"it has the decoder {_type_of(decoder)}, and textmill knows ByteLevel")


def _check_model(model: Mapping[str, Any]) -> None:
    if model.get("type", "BPE") != "BPE":
        raise DataError(f"its model is {_type_of(model)}, and textmill knows BPE")
    if model.get("dropout"):
        raise DataError(f"it has the dropout {model['dropout']!r}, so one text has many encodings; set it to null")
    for feature in ("continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(feature):
            raise DataError(f"it has the {feature} {model[feature]!r}, which textmill does not know")
    if not isinstance(model.get("ignore_merges", False), bool):
        raise DataError(f"ignore_merges is {model['ignore_merges']!r}, and must be true or false")


def _read_pattern(pre_tokenizer: Any) -> Pattern:
    steps = [pre_tokenizer]
    if isinstance(pre_tokenizer, dict) and pre_tokenizer.get("type") == "Sequence":
        steps = _list(pre_tokenizer.get("pretokenizers"), "pretokenizers")
    types = [step.get("type") if isinstance(step, dict) else None for step in steps]
    if not types or types[-1] != "ByteLevel" or any(kind != "Split" for kind in types[:-1]):
        described = " then ".join(map(str, types)) if types != [None] else "null"
        raise DataError(f"its pre_tokenizer is {described}, and textmill knows Splits and a ByteLevel after them")
    if steps[-1].get("add_prefix_space", True):
        raise DataError("its ByteLevel adds a space before the text (add_prefix_space), which textmill does not do")
    regexes = [_read_split(step) for step in steps[:-1]]
    if steps[-1].get("use_regex", True):
        regexes += GPT2.regexes
    try:
        return pattern_from(regexes)
    except ConfigError as error:
        raise DataError(f"its pre_tokenizer cannot be reproduced: {error}") from error


def _read_split(split: Mapping[str, Any]) -> str:
    if split.get("behavior") != "Isolated" or split.get("invert"):
        raise DataError(f"its Split has the behavior {split.get('behavior')!r} or is inverted; textmill knows Isolated")
    regex = split.get("pattern")
    regex = regex.get("Regex") if isinstance(regex, dict) else None
    if not isinstance(regex, str):
        raise DataError(f"its Split has the pattern {str(split.get('pattern'))[:200]}, and textmill knows a Regex")
    return from_oniguruma(regex)


def _read_vocab(vocab: Any) -> dict[str, int]:
    if not isinstance(vocab, dict) or not vocab:
        raise DataError("model.vocab must be an object that gives each token its id, and is empty or something else")
    for name, token_id in vocab.items():
        if isinstance(token_id, bool) or not isinstance(token_id, int) or token_id < 0:
            raise DataError(
                f"token {name[:80]!r} has the id {str(token_id)[:40]}, which must be a whole number from 0 on"
            )
    if len(set(vocab.values())) != len(vocab):
        raise DataError(f"{len(vocab)} tokens share {len(set(vocab.values()))} ids; each needs its own")
    return vocab


def _read_added(entries: Any, vocab: Mapping[str, int]) -> tuple[AddedToken, ...]:
    added: list[AddedToken] = []
    next_id = len(vocab)
    for item in _list(entries, "added_tokens"):
        entry = _table(item, "an added token", ("id", "content", *_ADDED_FLAGS))
        text, token_id = entry.get("content"), entry.get("id")
        if not isinstance(text, str) or not text or not _has_utf8(text):
            raise DataError(f"an added token has the content {str(text)[:80]!r}, which must be a text")
        for flag in ("single_word", "lstrip", "rstrip"):
            if entry.get(flag):
                raise DataError(f'the added token "{text}" has the flag {flag}, which textmill does not know')
        # The ids that Hugging Face gives, whatever the file says: the model's own, or the next free one.
        expected = vocab.get(text, next_id)
        if token_id != expected or isinstance(token_id, bool):
            raise DataError(
                f'the added token "{text}" has the id {str(token_id)[:40]}, and Hugging Face reads it as {expected}'
            )
        next_id = max(next_id, expected + 1)
        special, normalized = bool(entry.get("special", False)), bool(entry.get("normalized", False))
        added.append(AddedToken(expected, text, is_special=special, is_normalized=normalized))
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
    merges = _list(merges, "model.merges")
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
    if processor is None or _type_of(processor) == "ByteLevel":
        return (), ()
    if _type_of(processor) == "Sequence":
        found = [_read_post_processor(step, added_ids) for step in _list(processor.get("processors"), "processors")]
        adding = [ids for ids in found if ids != ((), ())]
        if len(adding) > 1:
            raise DataError("its post_processor adds tokens in more than one step, which textmill does not know")
        return adding[0] if adding else ((), ())
    if _type_of(processor) != "TemplateProcessing":
        raise DataError(f"its post_processor is {_type_of(processor)}, and textmill knows TemplateProcessing")
    return _read_template(processor.get("single"), added_ids)


def _read_template(single: Any, added_ids: Mapping[str, int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    before: list[int] = []
    after: list[int] = []
    side = before
    for part in _list(single, "the template of post_processor"):
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


def _table(value: Any, where: str, known: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"{where} must be an object, and is {type(value).__name__}")
    for key in value:
        if key not in known:
            raise DataError(f"{where} has {key[:80]!r}, which textmill does not know")
    return value


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise DataError(f"{where} must be a list, and is {type(value).__name__}")
    return value


def _has_utf8(text: str) -> bool:
    return not any(0xD800 <= ord(character) <= 0xDFFF for character in text)


def _type_of(part: Any) -> str:
    return str(part.get("type", "without a type"))[:80] if isinstance(part, dict) else str(part)[:80]
