"""tekken.json, the format of Mistral's tokenizers: special tokens first, then as many ranks as there is room for.

The file holds more ranks than are used (150,000 of which 131,072 - 1,000), and ids are ranks plus the number of special
tokens. Source: mistral-common 1.13, ``tokens/tokenizers/tekken.py``.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from textmill import _core
from textmill.base.errors import DataError
from textmill.tokenizer.formats.json_parts import list_of, table_of, text_of, whole_number
from textmill.tokenizer.formats.limits import table_of_tokens
from textmill.tokenizer.patterns import pattern_from
from textmill.tokenizer.vocabulary import MAX_TOKENS, AddedToken, Vocabulary

# What versions up to 7 have, whose files do not list them; the rest up to their number are named <SPECIAL_20> and on.
_OLD_SPECIALS = (
    "<unk> <s> </s> [INST] [/INST] [AVAILABLE_TOOLS] [/AVAILABLE_TOOLS] [TOOL_RESULTS] [/TOOL_RESULTS] [TOOL_CALLS] "
    "[IMG] <pad> [IMG_BREAK] [IMG_END] [PREFIX] [MIDDLE] [SUFFIX] [SYSTEM_PROMPT] [/SYSTEM_PROMPT] [TOOL_CONTENT]"
).split()
_VERSIONS_WITH_OLD_SPECIALS = ("v1", "v2", "v3", "v7")
# What a file may hold beside: how images and sound are turned into tokens, which is no part of the text's way.
_TOP_LEVEL = (
    "config",
    "vocab",
    "special_tokens",
    "version",
    "type",
    "image",
    "multimodal",
    "audio",
    "model_settings_builder",
)
_CONFIG = ("pattern", "num_vocab_tokens", "default_vocab_size", "default_num_special_tokens", "version")
_BOS, _EOS = "<s>", "</s>"


def is_tekken(content: Any) -> bool:
    """Whether a JSON file is of this format, whatever its name: vocabulary or config stand at the top, and no model."""
    return isinstance(content, dict) and "model" not in content and bool({"vocab", "config"} & content.keys())


def from_json(content: Any) -> Vocabulary:
    """Read what a tekken.json holds.

    Raises:
        DataError: it is damaged, or its numbers do not fit together.
    """
    content = table_of(content, "the file", _TOP_LEVEL)
    config = table_of(content.get("config"), "config", _CONFIG)
    size, num_specials = (
        whole_number(config.get(name), f"config.{name}")
        for name in ("default_vocab_size", "default_num_special_tokens")
    )
    if not num_specials < size <= MAX_TOKENS:
        raise DataError(
            f"it has {num_specials} special tokens of {size} tokens, of which at most {MAX_TOKENS} are read"
        )
    specials = _specials(content.get("special_tokens"), config, num_specials)
    ranked = _ranked(content.get("vocab"), size - num_specials)
    merges = _core.merges_from_ranks(ranked) + num_specials
    added = tuple(AddedToken(i, text, is_special=is_control) for i, (text, is_control) in enumerate(specials))
    ids = {token.text: token.id for token in added}
    return Vocabulary(
        pattern=pattern_from([text_of(config.get("pattern"), "config.pattern")]),
        tokens=table_of_tokens(enumerate([*(text.encode() for text, _ in specials), *ranked])),
        merges=merges.astype("uint32"),
        added=added,
        whole_pieces=len(ranked) > 256 + len(merges),
        prefix_ids=(ids[_BOS],) if _BOS in ids else (),
        stop_ids=(ids[_EOS],) if _EOS in ids else (),
    )


def _specials(entries: Any, config: Mapping[str, Any], count: int) -> list[tuple[str, bool]]:
    """The texts of the special tokens in the order of their ids, and whether each is a control token."""
    if entries is None:
        if config.get("version") not in _VERSIONS_WITH_OLD_SPECIALS:
            raise DataError(f"it lists no special_tokens, which version {str(config.get('version'))[:40]} needs")
        named = [(text, True) for text in _OLD_SPECIALS]
    else:
        named = [_special(entry, place) for place, entry in enumerate(list_of(entries, "special_tokens"))]
    if len(named) > count:
        raise DataError(f"it lists {len(named)} special tokens, and config.default_num_special_tokens is {count}")
    return named + [(f"<SPECIAL_{place}>", True) for place in range(len(named), count)]


def _special(entry: Any, place: int) -> tuple[str, bool]:
    entry = table_of(entry, f"special token {place}", ("rank", "token_str", "is_control"))
    if entry.get("rank") != place:
        raise DataError(f"special token {place} has the rank {str(entry.get('rank'))[:40]}, and ranks count from 0")
    return text_of(entry.get("token_str"), f"special token {place}"), entry.get("is_control") is not False


def _ranked(entries: Any, count: int) -> list[bytes]:
    entries = list_of(entries, "vocab")
    if len(entries) < count:
        raise DataError(f"its vocab has {len(entries)} tokens, and config asks for {count} beside the special ones")
    return [_token(entry, rank) for rank, entry in enumerate(entries[:count])]


def _token(entry: Any, rank: int) -> bytes:
    entry = table_of(entry, f"token {rank}", ("rank", "token_bytes", "token_str"))
    if entry.get("rank") != rank:
        raise DataError(f"token {rank} has the rank {str(entry.get('rank'))[:40]}, and ranks count from 0")
    try:
        token = base64.b64decode(text_of(entry.get("token_bytes"), f"token_bytes of token {rank}"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError(f"token_bytes of token {rank} is not base64: {error}") from error
    if rank < 256 and token != bytes([rank]):
        raise DataError(f"token {rank} is {token[:40]!r}, and the first 256 must be the bytes in order")
    return token
