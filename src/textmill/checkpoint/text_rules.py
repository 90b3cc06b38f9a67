"""How a model's texts begin and end: what its small files say of BOS and of the ids that end a text."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textmill.base.errors import DataError
from textmill.checkpoint.json_files import read_optional_json
from textmill.model.config import ModelConfig

if TYPE_CHECKING:
    from textmill.tokenizer.tokenizer import Tokenizer


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TextRules:
    """What a model's files say of how a text begins and ends."""

    bos_token_id: int | None
    """What an empty prompt begins with."""
    prefix_ids: tuple[int, ...]
    """What every prompt begins with: the BOS, or nothing."""
    stop_ids: frozenset[int]
    """Every eos and eot id that some file names."""
    tokenizer_bos_id: int | None = None
    """What the tokenizer's own files call BOS, whatever the model's say; ``tokenizer_eos_id`` what they call EOS."""
    tokenizer_eos_id: int | None = None


def load_text_rules(folder: Path, config: ModelConfig, tokenizer: Tokenizer) -> TextRules:
    """Gather them from config.json, generation_config.json, tokenizer_config.json and the tokenizer.

    A BOS is added where tokenizer_config.json says so by ``add_bos_token``; where that is silent, where
    tokenizer.json's post-processor begins a text with it.
    """
    generation = read_optional_json(folder / "generation_config.json")
    tokenizer_config = read_optional_json(folder / "tokenizer_config.json")
    stop_ids = {*config.eos_token_ids, *_ids(generation.get("eos_token_id"), folder / "generation_config.json")}
    eos = token_id_of(tokenizer_config.get("eos_token"), tokenizer)
    if eos is not None:
        stop_ids.add(eos)
    named_bos = token_id_of(tokenizer_config.get("bos_token"), tokenizer)
    bos = config.bos_token_id if named_bos is None else named_bos
    prefix_ids = () if tokenizer_config.get("add_bos_token") is False else tokenizer.prefix_ids
    if tokenizer_config.get("add_bos_token") and not prefix_ids:
        if bos is None:
            raise DataError(
                f"{folder / 'tokenizer_config.json'} asks for a BOS token before every prompt, and no file says which; "
                'give it a "bos_token"'
            )
        prefix_ids = (bos,)
    return TextRules(
        bos_token_id=prefix_ids[0] if prefix_ids else bos,
        prefix_ids=prefix_ids,
        stop_ids=frozenset(stop_ids),
        tokenizer_bos_id=named_bos,
        tokenizer_eos_id=eos,
    )


def token_id_of(token: Any, tokenizer: Tokenizer) -> int | None:
    """The id of a special token as tokenizer_config.json writes it: its text, or an object that has it."""
    text = token.get("content") if isinstance(token, dict) else token
    return tokenizer.special_tokens.get(text) if isinstance(text, str) else None


def _ids(value: Any, path: Path) -> list[int]:
    ids = value if isinstance(value, list) else [value] if value is not None else []
    if not all(isinstance(item, int) and not isinstance(item, bool) for item in ids):
        raise DataError(f"{path}: eos_token_id is {value!r}, and must be an id or a list of ids")
    return ids
