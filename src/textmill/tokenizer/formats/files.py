"""Which format a file is in, and what it holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from textmill.base.errors import DataError
from textmill.tokenizer.chat import ChatTemplate, read_chat_template
from textmill.tokenizer.formats import gguf, hugging_face, tekken
from textmill.tokenizer.vocabulary import Vocabulary

TOKENIZER_JSON, TEKKEN_JSON = "tokenizer.json", "tekken.json"


def find(path: Path) -> Path:
    """Return the tokenizer's file: the path itself, or tokenizer.json or tekken.json in a folder."""
    if not path.is_dir():
        return path
    if not (path / TOKENIZER_JSON).exists() and (path / TEKKEN_JSON).exists():
        return path / TEKKEN_JSON
    return path / TOKENIZER_JSON


def kind_of(file: Path) -> str:
    """Return the name of a file's format, by the file's name."""
    if file.suffix == ".gguf":
        return "GGUF"
    if file.suffix == ".tiktoken":
        return "rank file"
    if file.suffix == ".model":
        return "sentencepiece model"
    return "tekken.json" if file.suffix == ".json" and "tekken" in file.name else "tokenizer.json"


def read(path: Path) -> tuple[Vocabulary, ChatTemplate | None]:
    """Read a tokenizer that says of itself all there is to know, and the chat template beside it.

    Raises:
        DataError: the file is damaged, or has a feature that textmill does not reproduce exactly.
    """
    with named_in_errors(path):
        file = find(path)
        kind = kind_of(file)
        if kind == "GGUF":
            return gguf.read(file)
        if kind == "sentencepiece model":
            raise DataError("it is a sentencepiece model, which this version does not read; give its tokenizer.json")
        chat_template = read_chat_template(path) if path.is_dir() else None
        return tekken.read(file) if kind == "tekken.json" else hugging_face.read(file), chat_template


@contextmanager
def named_in_errors(path: Path) -> Iterator[None]:
    """Name the file in what is wrong with its content."""
    try:
        yield
    except ValueError as error:
        message = str(error).encode(errors="backslashreplace").decode()  # a file may hold lone surrogates
        raise DataError(f"{find(path)} cannot be used: {message}") from error
