"""Training a vocabulary: texts in batches to the native trainer, its merges to a Vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from textmill import _core
from textmill.base.errors import ConfigError, DataError, TextmillError, did_you_mean
from textmill.base.units import num_bytes
from textmill.text.readers import read_documents
from textmill.tokenizer.alphabet import BYTE_ORDER
from textmill.tokenizer.patterns import Pattern, pattern_named
from textmill.tokenizer.vocabulary import MAX_TOKENS, AddedToken, Vocabulary

TIES = ("hf",)
_BATCH_BYTES = 16 * 1024 * 1024
_MAX_THREADS = 1024

Text = str | bytes
Source = str | Path | Sequence[str | Path] | Iterable[Text]


@dataclass(frozen=True, slots=True, eq=False)
class TrainingFacts:
    """What is known of how a vocabulary was learned.

    Attributes:
        tie: the rule for pairs of equal count.
        num_bytes, num_pieces, num_words: bytes of text, its pieces, and how many of them are different.
        merge_counts: uint64[num_merges]: how often each pair stood in the text when it was merged.
    """

    tie: str
    num_bytes: int
    num_pieces: int
    num_words: int
    merge_counts: NDArray[np.uint64]


def train_vocabulary(
    source: Source,
    *,
    vocab_size: int,
    pattern: str,
    special_tokens: Sequence[str],
    tie: str,
    threads: int | None,
    memory_limit: int | None,
    progress: Callable[[int], object] | None,
) -> tuple[Vocabulary, TrainingFacts]:
    """Learn a vocabulary; the arguments are those of ``Tokenizer.train``."""
    split_by = pattern_named(pattern)
    specials = _check_special_tokens(special_tokens)
    num_merges = _check_vocab_size(vocab_size, len(specials))
    if tie not in TIES:
        raise ConfigError(f'unknown tie rule "{tie}"{did_you_mean(str(tie), TIES)} Known: {", ".join(TIES)}')
    if memory_limit is not None and (not isinstance(memory_limit, int) or memory_limit < 1):
        raise ConfigError(f"memory_limit is {memory_limit!r}, and must be a number of bytes, or None for no limit")
    trainer = _core.Trainer(split_by.splitter(), check_threads(threads), memory_limit or 0)
    try:
        for batch in _batches(_texts(source)):
            trainer.add(batch)
            if progress is not None:
                progress(trainer.num_bytes)
        if trainer.num_bytes == 0:
            raise DataError("there is no text to train a tokenizer on: 0 bytes in all the texts that were given")
        rows, counts = trainer.learn(num_merges, len(specials))
    except _core.MemoryLimitError as error:
        raise TextmillError(
            f"the tokenizer cannot be trained within memory_limit={num_bytes(memory_limit or 0)}: {error}. "
            "Raise the limit, or train on a sample of the text"
        ) from error
    facts = TrainingFacts(tie, trainer.num_bytes, trainer.num_pieces, trainer.num_words, counts)
    return _to_vocabulary(split_by, specials, rows), facts


def check_threads(threads: int | None) -> int:
    """Check a number of threads; None is one for each core, which the native code writes as 0."""
    if threads is None:
        return 0
    if isinstance(threads, bool) or not isinstance(threads, int) or not 1 <= threads <= _MAX_THREADS:
        raise ConfigError(f"threads is {threads!r}, and must be a number from 1 to {_MAX_THREADS}, or None")
    return threads


def _check_special_tokens(special_tokens: Sequence[str]) -> tuple[str, ...]:
    if isinstance(special_tokens, str):
        raise ConfigError(f'special_tokens is the string "{special_tokens}"; give a list of them')
    for token in special_tokens:
        if not isinstance(token, str) or not token:
            raise ConfigError(f"the special token {token!r} must be a text such as <|endoftext|>")
        if special_tokens.count(token) > 1:
            raise ConfigError(f'the special token "{token}" is given {special_tokens.count(token)} times')
        if any(0xD800 <= ord(character) <= 0xDFFF for character in token):
            raise ConfigError(f"the special token {token!r} holds a lone surrogate, which has no UTF-8")
    return tuple(special_tokens)


def _check_vocab_size(vocab_size: int, num_specials: int) -> int:
    if isinstance(vocab_size, bool) or not isinstance(vocab_size, int):
        raise ConfigError(f"vocab_size is {vocab_size!r}, and must be a whole number")
    least = 256 + num_specials
    if not least <= vocab_size <= MAX_TOKENS:
        raise ConfigError(
            f"vocab_size is {vocab_size}, and must be from {least} (256 bytes and {num_specials} special tokens) "
            f"to {MAX_TOKENS}"
        )
    return vocab_size - least


def _texts(source: Source) -> Iterator[Text]:
    if isinstance(source, str | Path) or (isinstance(source, list) and source and _are_paths(source)):
        try:
            for document in read_documents(cast(str, source), "tokenizer"):
                yield document.text
        except OSError as error:
            raise DataError(
                f"cannot read a path to train on: {error.strerror}. A list of strings is a list of paths; "
                "give texts as an iterator: iter(texts)"
            ) from error
        return
    for text in cast(Iterable[Text], source):
        if not isinstance(text, str | bytes):
            raise ConfigError(f"a text to train on is of type {type(text).__name__}, and must be str or bytes")
        yield text


def _are_paths(source: Sequence[object]) -> bool:
    num_paths = sum(isinstance(path, str | Path) for path in source)
    if 0 < num_paths < len(source):
        raise ConfigError(f"{num_paths} of {len(source)} sources are paths; give only paths, or texts as an iterator")
    return num_paths > 0


def _batches(texts: Iterable[Text]) -> Iterator[list[Text]]:
    batch: list[Text] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _to_vocabulary(pattern: Pattern, specials: tuple[str, ...], rows: NDArray[np.uint32]) -> Vocabulary:
    tokens = [text.encode() for text in specials] + [bytes([byte]) for byte in BYTE_ORDER]
    for left, right, _ in rows.tolist():
        tokens.append(tokens[left] + tokens[right])
    added = tuple(AddedToken(token_id, text) for token_id, text in enumerate(specials))
    return Vocabulary(pattern, tuple(tokens), rows, added)
