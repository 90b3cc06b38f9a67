"""What a model folder holds beside tokenizer.json: the chat template, its tokens, and the ids that end a text."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from textmill.base.errors import ConfigError, DataError
from textmill.tokenizer.chat import ChatTemplate
from textmill.tokenizer.formats.limits import read_limited

TEMPLATE_FILE = "chat_template.jinja"
CONFIG_FILE = "tokenizer_config.json"
_TOKEN_VARIABLES = ("bos_token", "eos_token", "pad_token", "unk_token")
_STOP_IDS = "stop_ids"
_CLASS = "PreTrainedTokenizerFast"  # reads tokenizer.json as it is
# Of the token texts that a config may name; the ids of all tokens stand in tokenizer.json.
_ID_TABLES = ("added_tokens_decoder",)
# What others read in the place of tokenizer.json, or beside it.
_OTHER_FILES = (
    *("added_tokens.json", "merges.txt", "special_tokens_map.json", "tekken.json"),
    *("tokenizer.model", "vocab.json", "vocab.txt"),
)


def read_config(folder: Path) -> dict[str, Any]:
    """Read tokenizer_config.json; empty where there is none. Raises ``DataError`` for a damaged one."""
    path = folder / CONFIG_FILE
    if not path.is_file():
        return {}
    try:
        config = json.loads(read_limited(path).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(config, dict):
        raise DataError(f"{path} must hold an object")
    return config


def read_chat_template(folder: Path) -> ChatTemplate | None:
    """Read the chat template of a model folder: chat_template.jinja, or the one in tokenizer_config.json.

    Raises:
        DataError: a file is there and cannot be read.
    """
    config = read_config(folder)
    text = config.get("chat_template")
    if isinstance(text, list):  # several, by name
        text = next((t.get("template") for t in text if isinstance(t, dict) and t.get("name") == "default"), None)
    if (folder / TEMPLATE_FILE).is_file():
        try:
            text = read_limited(folder / TEMPLATE_FILE).decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{folder / TEMPLATE_FILE} is not UTF-8: byte {error.start} cannot be decoded") from error
    if not isinstance(text, str):
        return None
    variables = [(name, _token_text(config.get(name))) for name in _TOKEN_VARIABLES]
    return ChatTemplate(text, tuple(sorted((name, token) for name, token in variables if token is not None)))


def read_stop_ids(folder: Path, num_tokens: int) -> tuple[int, ...]:
    """Read the ids that end a text, where textmill wrote them; raises ``DataError`` for what is no id."""
    ids = read_config(folder).get(_STOP_IDS, [])
    if not isinstance(ids, list) or not all(type(i) is int and 0 <= i < num_tokens for i in ids):
        raise DataError(
            f"{folder / CONFIG_FILE} has {_STOP_IDS} = {str(ids)[:80]}, and must list ids below {num_tokens}"
        )
    return tuple(ids)


def check_no_other_files(folder: Path) -> None:
    """Raise ``ConfigError`` where a folder holds what others would read beside this tokenizer."""
    names = [name for name in _OTHER_FILES if (folder / name).exists()]
    if names:
        raise ConfigError(
            f"{folder} holds {' and '.join(names)} of another tokenizer, which other tools would read beside this "
            f"one; move or delete {'it' if len(names) == 1 else 'them'}, or save to another folder"
        )


def contents(
    folder: Path,
    template: ChatTemplate | None,
    stop_ids: tuple[int, ...],
    is_token: Callable[[str], bool],
    *,
    is_same: bool,
) -> dict[Path, str | None]:
    """Return what the files beside tokenizer.json are to hold; None for one that is to go.

    What tokenizer_config.json says of other things stays. A template that is there and is not this one goes, and so do
    tokens that this tokenizer does not have. Unless the tokenizer that is there ``is_same``, so does its class, from
    which transformers would make up a pattern and special tokens.

    Raises:
        DataError: there is a tokenizer_config.json, and it is damaged.
    """
    old = read_config(folder)
    dropped = {"chat_template", _STOP_IDS, *_ID_TABLES}
    config = {
        name: value for name, value in old.items() if name not in dropped and _names_tokens(name, value, is_token)
    }
    if "tokenizer_class" in config and not is_same:
        config["tokenizer_class"] = _CLASS
    if template is not None:
        config = {name: value for name, value in config.items() if name not in _TOKEN_VARIABLES}
        config = {"tokenizer_class": _CLASS} | config | dict(template.variables)
    if stop_ids:
        config[_STOP_IDS] = list(stop_ids)
    files: dict[Path, str | None] = {folder / TEMPLATE_FILE: template.text if template is not None else None}
    if config != old:
        files[folder / CONFIG_FILE] = json.dumps(config, ensure_ascii=False, indent=2) + "\n"
    return files


def _names_tokens(name: str, value: Any, is_token: Callable[[str], bool]) -> bool:
    """Whether what a config says is of no token, or of tokens that are there."""
    if not name.endswith(("_token", "_special_tokens")):
        return True
    values = value if isinstance(value, list) else list(value.values()) if isinstance(value, dict) else [value]
    texts = [_token_text(value)] if isinstance(value, dict) and "content" in value else map(_token_text, values)
    return all(text is None or is_token(text) for text in texts)


def _token_text(token: Any) -> str | None:
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) else None
