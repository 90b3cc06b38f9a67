"""Which format a file is in, and what it holds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from textmill.base.errors import DataError
from textmill.tokenizer.chat import ChatTemplate
from textmill.tokenizer.formats.json_parts import read_json
from textmill.tokenizer.model_folder import read_chat_template, read_stop_ids
from textmill.tokenizer.vocabulary import Vocabulary

TOKENIZER_JSON, TEKKEN_JSON, TOKENIZER_MODEL = "tokenizer.json", "tekken.json", "tokenizer.model"
_SENTENCEPIECE = re.compile(r"\.model(\.v[0-9]\w*)?$")  # Mistral writes tokenizer.model.v3


def find(path: Path) -> Path:
    """Return the tokenizer's file: the path itself, or tokenizer.json, tekken.json or tokenizer.model in a folder.

    Raises:
        DataError: no file can have such a path.
    """
    try:
        if not path.is_dir():
            return path
    except OSError as error:
        raise DataError(f'"{str(path)[:80]}" is not the path of a tokenizer: {error.strerror}') from error
    names = (TOKENIZER_JSON, TEKKEN_JSON, TOKENIZER_MODEL)
    return path / next((name for name in names if (path / name).exists()), TOKENIZER_JSON)


def kind_of(file: Path) -> str:
    """Return the name of a file's format: by its ending, and of a .json by what it holds."""
    if file.suffix == ".gguf":
        return "GGUF"
    if file.suffix == ".tiktoken":
        return "rank file"
    if _SENTENCEPIECE.search(file.name):
        return "sentencepiece model"
    from textmill.tokenizer.formats import tekken

    return "tekken.json" if tekken.is_tekken(read_json(file)) else "tokenizer.json"


def read(path: Path) -> tuple[Vocabulary, ChatTemplate | None]:
    """Read a tokenizer that says of itself all there is to know, and the chat template beside it.

    Raises:
        DataError: the file is damaged, or has a feature that textmill does not reproduce exactly.
    """
    with named_in_errors(path):
        file = find(path)
        if not file.exists():
            names = f", and no {TEKKEN_JSON} or {TOKENIZER_MODEL} stands in its place" if path.is_dir() else ""
            raise DataError(f"{file} does not exist{names}; give a tokenizer's file, or a folder with one")
        # Each format is imported where it is met: a tokenizer loads in a few hundredths of a second.
        if file.suffix == ".gguf":
            from textmill.tokenizer.formats import gguf

            return gguf.read(file)
        vocabulary = _read_model(file) if _SENTENCEPIECE.search(file.name) else _read_json(file)
        if not path.is_dir():
            return vocabulary, None
        stop_ids = vocabulary.stop_ids or read_stop_ids(path, len(vocabulary.tokens))
        return replace(vocabulary, stop_ids=stop_ids), read_chat_template(path)


def _read_model(file: Path) -> Vocabulary:
    from textmill.tokenizer.formats import sentencepiece

    return sentencepiece.read(file)


def _read_json(file: Path) -> Vocabulary:
    from textmill.tokenizer.formats import hugging_face, tekken

    content = read_json(file)
    if isinstance(content, dict) and "tokenizer_sha256" in content:
        raise DataError("it is the report of a training; the tokenizer stands beside it, without .report in its name")
    return tekken.from_json(content) if tekken.is_tekken(content) else hugging_face.from_json(content)


@contextmanager
def named_in_errors(path: Path) -> Iterator[None]:
    """Name the file in what is wrong with its content, once."""
    try:
        yield
    except ValueError as error:
        # What a file holds, and its name, may hold lone surrogates, which cannot be printed.
        message, file = (str(part).encode(errors="backslashreplace").decode() for part in (error, find(path)))
        raise DataError(message if file in message else f"{file} cannot be used: {message}") from error
