"""Text as documents of 4 KB, as jsonl of any size, and a tokenizer of 32,000 tokens of it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data_speed import fresh_process
from data_speed.places import WORK

DOCUMENT_CHARACTERS = 4096
VOCAB_SIZE = 32_000
END = "<|endoftext|>"


def text_files(folder: Path) -> list[Path]:
    """List the text files of a folder."""
    return sorted(folder.rglob("*.txt"))


def documents(folder: Path, most: int = 1 << 30) -> list[str]:
    """Cut text files into documents of 4,096 characters."""
    return [part for file in text_files(folder) for part in cut(file.read_text(errors="ignore"))][:most]


def cut(text: str) -> list[str]:
    """Cut a text into documents of 4,096 characters."""
    return [text[i : i + DOCUMENT_CHARACTERS] for i in range(0, len(text), DOCUMENT_CHARACTERS)]


def write(path: Path, texts: list[str], num_bytes: int = 0) -> None:
    """Write documents as lines of JSON, again and again until there are about so many bytes.

    Every copy begins words later and ends with these, so that none is the same.
    """
    copies = max(1, num_bytes // (DOCUMENT_CHARACTERS * len(texts)))
    with path.open("w") as file:
        for copy in range(copies):
            begin = copy * 17 % DOCUMENT_CHARACTERS
            for number, text in enumerate(texts):
                shifted = text if copy == 0 else f"{copy} {text[begin:]}{text[:begin]}"
                file.write(json.dumps({"id": f"{copy}-{number}", "text": shifted}, ensure_ascii=False) + "\n")


def train_tokenizer(corpus: Path, path: Path) -> None:
    """Train in a process of its own, and save the tokenizer."""
    fresh_process.call(_train, corpus, path)


def _train(corpus: Path, path: Path) -> None:
    from textmill import Tokenizer

    Tokenizer.train(str(corpus), VOCAB_SIZE, special_tokens=(END,)).save(path)


@contextmanager
def work_folder() -> Iterator[Path]:
    """Make a folder on the disk of the checkout for as long as a part runs."""
    WORK.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=WORK) as name:
        yield Path(name)
