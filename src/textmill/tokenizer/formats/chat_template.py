"""The chat template in a model folder: chat_template.jinja, or a key of tokenizer_config.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from textmill.base.errors import DataError
from textmill.base.files import write_file
from textmill.tokenizer.chat import ChatTemplate
from textmill.tokenizer.formats.limits import read_limited

_TEMPLATE_FILE = "chat_template.jinja"
_CONFIG_FILE = "tokenizer_config.json"
_TOKEN_VARIABLES = ("bos_token", "eos_token", "pad_token", "unk_token")


def read_chat_template(folder: Path) -> ChatTemplate | None:
    """Read the chat template of a model folder: chat_template.jinja, or the one in tokenizer_config.json.

    Raises:
        DataError: a file is there and cannot be read.
    """
    config: Any = {}
    if (folder / _CONFIG_FILE).is_file():
        try:
            config = json.loads(read_limited(folder / _CONFIG_FILE).decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise DataError(f"{folder / _CONFIG_FILE} is not valid JSON: {error}") from error
        if not isinstance(config, dict):
            raise DataError(f"{folder / _CONFIG_FILE} must hold an object")
    text = config.get("chat_template")
    if isinstance(text, list):  # several, by name
        text = next((t.get("template") for t in text if isinstance(t, dict) and t.get("name") == "default"), None)
    if (folder / _TEMPLATE_FILE).is_file():
        try:
            text = read_limited(folder / _TEMPLATE_FILE).decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{folder / _TEMPLATE_FILE} is not UTF-8: byte {error.start} cannot be decoded") from error
    if not isinstance(text, str):
        return None
    variables = [(name, _token_text(config.get(name))) for name in _TOKEN_VARIABLES]
    return ChatTemplate(text, tuple(sorted((name, token) for name, token in variables if token is not None)))


def _token_text(token: Any) -> str | None:
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) else None


def write_chat_template(folder: Path, template: ChatTemplate) -> None:
    """Write chat_template.jinja, and the tokens it names into tokenizer_config.json."""
    write_file(folder / _TEMPLATE_FILE, template.text)
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **dict(template.variables)}
    write_file(folder / _CONFIG_FILE, json.dumps(config, ensure_ascii=False, indent=2) + "\n")
