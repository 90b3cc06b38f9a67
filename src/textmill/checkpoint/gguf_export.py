"""A stored model as a GGUF file: its values, and which type each tensor gets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from textmill.base.errors import ConfigError
from textmill.base.gguf import read_header
from textmill.base.gguf_blocks import WRITABLE
from textmill.base.gguf_types import TENSOR_TYPES
from textmill.checkpoint.gguf_config import config_values
from textmill.checkpoint.json_files import read_optional_json
from textmill.checkpoint.stored_model import StoredModel, StoredTensor
from textmill.checkpoint.text_rules import TextRules, token_id_of
from textmill.model.config import ModelConfig
from textmill.model.rope_scaling import YarnScaling

if TYPE_CHECKING:
    from textmill.tokenizer.tokenizer import Tokenizer

_FILE_TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q5_0": 8, "Q5_1": 9, "BF16": 32}
_BLOCK_SIZES = {tensor_type.name: tensor_type.block_size for tensor_type in TENSOR_TYPES.values()}
_TABLES = ("model.embed_tokens.weight", "lm_head.weight")
_KEY = "tokenizer.ggml."
_STOP_ROLES = ("eos_token_id", "eot_token_id", "eom_token_id")
# What others say of a model in a GGUF, of the file and not of the model.
_OF_FILE = {"architecture", "file_type", "alignment", "quantization_version"}


def stored_type(name: str, tensor: StoredTensor, wanted: str | None, *, is_changed: bool) -> str:
    """Choose the type of a tensor: norms and biases are F32, and what blocks do not fill is F16, as in llama.cpp.

    The tables of a Q4_0 model are Q8_0: every token passes through them, and what their four bits lose is a large part
    of what the model loses.

    Args:
        name: Hugging Face's.
        tensor: as it is stored.
        wanted: the type of matrices; None leaves them as they are.
        is_changed: whether its values are not those of the file.
    """
    if len(tensor.shape) == 1:
        return "F32"
    if wanted is None:
        wanted = tensor.type if not is_changed or tensor.type in WRITABLE else "F16"
    if wanted == "Q4_0" and name in _TABLES and tensor.type != "Q4_0":
        wanted = "Q8_0"
    return wanted if tensor.shape[-1] % _BLOCK_SIZES[wanted] == 0 else "F16"


def file_type(types: Mapping[str, str]) -> int:
    """Return llama.cpp's number for the type that most matrices have; it names the file, and decides nothing."""
    matrices = [kind for name, kind in types.items() if name not in _TABLES and kind != "F32"] or ["F32"]
    return _FILE_TYPES.get(max(set(matrices), key=matrices.count), _FILE_TYPES["F16"])


def gguf_values(stored: StoredModel, config: ModelConfig, types: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """Return all values of the file, and sentences for the user about what llama.cpp will do otherwise.

    Args:
        stored: the model.
        config: the sizes it is to have.
        types: the type of each tensor, by Hugging Face's name.

    Raises:
        ConfigError: GGUF cannot say what the model or its tokenizer does.
    """
    values = config_values(config)
    values |= {"general.type": "model", "general.file_type": file_type(types), "general.quantization_version": 2}
    notes = list(_notes_of_config(config))
    if stored.path.suffix == ".gguf":
        return values | dict(_kept(stored.path)), notes
    tokenizer = stored.load_tokenizer()
    values |= {"general.name": stored.path.resolve().name}
    values |= _tokenizer_values(stored, tokenizer, config.vocab_size, notes)
    return values, notes


def _kept(path: Path) -> Iterator[tuple[str, Any]]:
    """What a GGUF says of its name, licence and tokenizer, word for word."""
    for name, value in read_header(path).values.items():
        room, _, rest = name.partition(".")
        if room == "tokenizer" or (room == "general" and rest not in _OF_FILE and not isinstance(value, np.ndarray)):
            yield name, value


def _notes_of_config(config: ModelConfig) -> Iterator[str]:
    if config.sliding_window is not None:
        yield (
            f"the model sees {config.sliding_window:,} tokens back; textmill does so from this file, and llama.cpp, "
            f"which has no window for this architecture, sees all of them"
        )
    scaling = config.rope_scaling
    if isinstance(scaling, YarnScaling) and (scaling.beta_fast, scaling.beta_slow) != (32.0, 1.0):
        yield (
            f"YaRN's beta_fast and beta_slow are {scaling.beta_fast:g} and {scaling.beta_slow:g}; textmill reads them "
            f"from this file, and llama.cpp takes them to be 32 and 1 for this architecture"
        )


def _tokenizer_values(stored: StoredModel, tokenizer: Tokenizer, num_rows: int, notes: list[str]) -> dict[str, Any]:
    from textmill.tokenizer.formats import gguf_writer

    rules = stored.load_text_rules(tokenizer)
    notes += gguf_writer.differences(tokenizer.vocabulary)
    values = gguf_writer.to_values(tokenizer.vocabulary, num_rows)
    values |= _begin(rules) | _end(tokenizer, rules, _named_eos(stored, tokenizer), notes)
    table = read_optional_json(stored.path / "tokenizer_config.json")
    for role, key in (("unk_token", "unknown_token_id"), ("pad_token", "padding_token_id")):
        token_id = token_id_of(table.get(role), tokenizer)
        if token_id is not None:
            values[_KEY + key] = token_id
    if tokenizer.chat_template is not None:
        values["tokenizer.chat_template"] = tokenizer.chat_template
    return values


def _begin(rules: TextRules) -> dict[str, Any]:
    if rules.prefix_ids not in {(), (rules.bos_token_id,)}:
        raise ConfigError(
            f"each text of the model begins with the tokens {list(rules.prefix_ids)}, and a GGUF can ask for one BOS "
            f"token"
        )
    bos = {} if rules.bos_token_id is None else {_KEY + "bos_token_id": rules.bos_token_id}
    return {**bos, _KEY + "add_bos_token": bool(rules.prefix_ids)}


def _end(tokenizer: Tokenizer, rules: TextRules, named: int | None, notes: list[str]) -> dict[str, Any]:
    suffix = tokenizer.suffix_ids
    eos = suffix[0] if suffix else named
    if len(suffix) > 1 or (suffix and named is not None and named != eos):
        raise ConfigError(f"each text of the model ends with the tokens {list(suffix)}, and a GGUF can ask for its EOS")
    stops = [*([] if eos is None else [eos]), *sorted(rules.stop_ids - {eos})]
    if len(stops) > len(_STOP_ROLES):
        notes.append(
            f"the model stops at {len(stops)} tokens, and a GGUF names {len(_STOP_ROLES)}: "
            f"{', '.join(map(str, stops[len(_STOP_ROLES) :]))} are left out"
        )
    ids = {_KEY + role: token_id for role, token_id in zip(_STOP_ROLES, stops, strict=False)}
    return {**ids, _KEY + "add_eos_token": bool(suffix)}


def _named_eos(stored: StoredModel, tokenizer: Tokenizer) -> int | None:
    """The EOS that templates know, or the first that the configuration stops at."""
    table = read_optional_json(stored.path / "tokenizer_config.json")
    named = token_id_of(table.get("eos_token"), tokenizer)
    ids = stored.config.eos_token_ids
    return named if named is not None else ids[0] if ids else None


def check_type(name: str | None) -> str | None:
    """Return ggml's name of a type that matrices can be written in; raises ``ConfigError`` for any other."""
    if name is not None and name.upper() not in WRITABLE:
        raise ConfigError(f'a GGUF cannot be written as "{name}"; the types are {", ".join(WRITABLE).lower()}')
    return name.upper() if name is not None else None
