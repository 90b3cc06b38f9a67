"""Trainers behind one interface: text files in, merges out, with GPT-2's pattern, which all of them know."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_BATCH = 1000
# Whole texts and lines give other merges at line ends, so trainers are compared with one that reads alike.
REFERENCES = {"whole": "gigatoken", "lines": "gigabpe"}


@dataclass(frozen=True)
class Trainer:
    """One way to train.

    Attributes:
        module: the library, imported before the clock runs.
        train: (module, file, vocab_size, threads) -> the project's own result.
        merges: that result -> the bytes that each merge makes, in order.
        reads: the file as one "whole" text, or by "lines".
    """

    project: str
    module: str
    train: Callable[[Any, Path, int, int], Any]
    merges: Callable[[Any], list[bytes]]
    reads: str = "lines"


def _lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8", newline="\n") as file:
        yield from file


def _train_textmill(library: Any, path: Path, vocab_size: int, threads: int) -> Any:
    return library.Tokenizer.train([path], vocab_size=vocab_size, pattern="gpt2", threads=threads)


def _train_gigabpe(library: Any, path: Path, vocab_size: int, threads: int) -> Any:
    return library.train_bpe([str(path)], vocab_size=vocab_size, pretokenizer="bytelevel", threads=threads)


def _train_gigatoken(library: Any, path: Path, vocab_size: int, threads: int) -> Any:
    return library.train_bpe(library.TextFileSource([path]), vocab_size, [])


def _train_tokenizers(library: Any, path: Path, vocab_size: int, threads: int) -> Any:
    tokenizer = library.Tokenizer(library.models.BPE())
    tokenizer.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = library.pre_tokenizers.ByteLevel.alphabet()
    trainer = library.trainers.BpeTrainer(vocab_size=vocab_size, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train([str(path)], trainer)
    return tokenizer


def _train_rustbpe(library: Any, path: Path, vocab_size: int, threads: int) -> Any:
    tokenizer = library.Tokenizer()
    tokenizer.train_from_iterator(_lines(path), vocab_size=vocab_size, pattern=GPT2)
    return tokenizer


def _train_bpeasy(library: Any, path: Path, vocab_size: int, threads: int) -> Any:
    return library.train_bpe(_lines(path), GPT2, 256, vocab_size, _BATCH)


def _unmapped(token: str) -> bytes:
    return bytes(_BYTES[character] for character in token)


def _byte_characters() -> dict[str, int]:
    """GPT-2's characters for bytes: printable Latin-1 as it is, the others from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + i): byte for i, byte in enumerate(others)}


_BYTES = _byte_characters()


def _of_textmill(tokenizer: Any) -> list[bytes]:
    return list(tokenizer.vocabulary.tokens[256:])


def _of_gigabpe(result: Any) -> list[bytes]:
    return [_unmapped(left) + _unmapped(right) for left, right in result[1]]


def _of_tokenizers(tokenizer: Any) -> list[bytes]:
    import json

    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    pairs = (merge.split(" ") if isinstance(merge, str) else merge for merge in merges)
    return [_unmapped(left) + _unmapped(right) for left, right in pairs]


def _of_ranks(pairs: Any) -> list[bytes]:
    return [bytes(token) for token, _ in sorted(pairs, key=lambda pair: pair[1])][256:]


TRAINERS = {
    "textmill": Trainer("textmill", "textmill.tokenizer.tokenizer", _train_textmill, _of_textmill, "whole"),
    "gigabpe": Trainer("gigabpe", "gigabpe", _train_gigabpe, _of_gigabpe),
    "gigatoken": Trainer(
        "gigatoken", "gigatoken", _train_gigatoken, lambda result: [a + b for a, b in result[1]], "whole"
    ),
    "tokenizers": Trainer("tokenizers", "tokenizers", _train_tokenizers, _of_tokenizers),
    "rustbpe": Trainer("rustbpe", "rustbpe", _train_rustbpe, lambda result: _of_ranks(result.get_mergeable_ranks())),
    "bpeasy": Trainer("bpeasy", "bpeasy", _train_bpeasy, lambda result: _of_ranks(result.items())),
}
