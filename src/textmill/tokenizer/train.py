"""Training a vocabulary: text in batches to the native trainer, its merges to a Vocabulary."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from textmill import _core
from textmill.base.errors import ConfigError, DataError, StorageError, TextmillError, did_you_mean
from textmill.base.units import num_bytes
from textmill.tokenizer.alphabet import BYTE_ORDER, to_characters
from textmill.tokenizer.corpus import Corpus, Source
from textmill.tokenizer.normalize import normalize
from textmill.tokenizer.patterns import pattern_named
from textmill.tokenizer.report import TrainingReport
from textmill.tokenizer.seeds import seed_merges
from textmill.tokenizer.utf8 import to_bytes
from textmill.tokenizer.vocabulary import MAX_TOKENS, AddedToken, Vocabulary

TIES = ("hf",)
DEFAULT_PATTERN = "cl100k"
_MAX_THREADS = 1024
_MAX_SEED_BYTES = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOptions:
    """The arguments of ``Tokenizer.train``, as they were given."""

    vocab_size: int
    pattern: str
    special_tokens: Sequence[str]
    tie: str
    threads: int | None
    memory_limit: int | None
    min_frequency: int
    max_token_length: int | None
    seed_tokens: Sequence[str | bytes]
    extend: Vocabulary | None


def train_vocabulary(
    source: Source, options: TrainingOptions, progress: Callable[[int], object] | None
) -> tuple[Vocabulary, TrainingReport]:
    """Learn a vocabulary."""
    _check_limits(options)
    base = _base_vocabulary(options)
    seeds = _check_seeds(options.seed_tokens)
    seed_rows = seed_merges(base, seeds)
    num_new = _check_vocab_size(options.vocab_size, base, seed_rows)
    splitter = base.pattern.splitter()
    corpus = Corpus(source, may_cut=splitter.can_cut)
    trainer = _core.Trainer(
        splitter, check_threads(options.threads), options.memory_limit or 0, spill_folder=tempfile.gettempdir()
    )
    try:
        for batch in corpus.batches():
            trainer.add([normalize(text, base.normalizer) for text in batch] if base.normalizer else batch)
            if progress is not None:
                progress(corpus.bytes_done)
        if trainer.num_bytes == 0:
            raise DataError("there is no text to train a tokenizer on: 0 bytes in all the texts that were given")
        rows, counts = trainer.learn_on(
            num_new,
            _learnable_tokens(base),
            base.merges,
            seed_rows,
            base.whole_pieces,
            options.min_frequency,
            options.max_token_length or 0,
        )
    except _core.MemoryLimitError as error:
        raise TextmillError(
            f"the tokenizer cannot be trained within memory_limit={num_bytes(options.memory_limit or 0)}: {error}. "
            "Raise the limit, or train on a sample of the text"
        ) from error
    except _core.SpillError as error:
        raise StorageError(f"{error}. Free some space, set TMPDIR to another folder, or raise memory_limit") from error
    vocabulary = _with_merges(base, rows)
    return vocabulary, _report(
        vocabulary, merge_counts=counts, seeds=seeds, corpus=corpus, trainer=trainer, options=options
    )


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


def _check_limits(options: TrainingOptions) -> None:
    if options.tie not in TIES:
        known = ", ".join(TIES)
        raise ConfigError(f'unknown tie rule "{options.tie}"{did_you_mean(str(options.tie), TIES)} Known: {known}')
    for name, value, least, meaning in (
        ("memory_limit", options.memory_limit, 1, "a number of bytes, or None for no limit"),
        ("min_frequency", options.min_frequency, 0, "a number of occurrences from 0 on"),
        ("max_token_length", options.max_token_length, 2, "a number of bytes from 2 on, or None for no limit"),
    ):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            raise ConfigError(f"{name} is {value!r}, and must be {meaning}")
    if options.min_frequency is None:
        raise ConfigError("min_frequency is None, and must be a number of occurrences from 0 on")


def _check_seeds(seed_tokens: Sequence[str | bytes]) -> tuple[bytes, ...]:
    if isinstance(seed_tokens, str | bytes):
        raise ConfigError(f"seed_tokens is the one text {seed_tokens!r}; give a list of them")
    seeds = []
    for seed in seed_tokens:
        data = to_bytes(seed) if isinstance(seed, str) else seed
        if not isinstance(data, bytes) or not 0 < len(data) <= _MAX_SEED_BYTES:
            raise ConfigError(f"the seed token {str(seed)[:80]!r} must be a text of 1 to {_MAX_SEED_BYTES} bytes")
        seeds.append(data)
    return tuple(seeds)


def _check_vocab_size(vocab_size: int, base: Vocabulary, seed_rows: NDArray[np.uint32]) -> int:
    if isinstance(vocab_size, bool) or not isinstance(vocab_size, int):
        raise ConfigError(f"vocab_size is {vocab_size!r}, and must be a whole number")
    num_base = len(base.tokens)
    num_seeds = len({product for *_, product in seed_rows.tolist() if product >= num_base})
    if not num_base + num_seeds <= vocab_size <= MAX_TOKENS:
        seeds = f" and {num_seeds} for seed tokens" if num_seeds else ""
        raise ConfigError(
            f"vocab_size is {vocab_size}, and must be from {num_base + num_seeds} ({_parts_of(base)}{seeds}) "
            f"to {MAX_TOKENS}"
        )
    return vocab_size - num_base


def _parts_of(base: Vocabulary) -> str:
    if len(base.merges):
        return f"{len(base.tokens)} ids of the extended vocabulary and its special tokens"
    return f"256 bytes and {len(base.added)} special tokens"


def _base_vocabulary(options: TrainingOptions) -> Vocabulary:
    """What is there before learning: special tokens and bytes, or the vocabulary to extend and new special tokens."""
    specials = _check_special_tokens(options.special_tokens)
    pattern = pattern_named(options.pattern)
    base = options.extend
    if base is None:
        tokens = (*(text.encode() for text in specials), *(bytes([byte]) for byte in BYTE_ORDER))
        added = tuple(AddedToken(token_id, text) for token_id, text in enumerate(specials))
        return Vocabulary(pattern, tokens, np.empty((0, 3), dtype=np.uint32), added)
    if options.pattern != DEFAULT_PATTERN and pattern.regexes != base.pattern.regexes:
        raise ConfigError(
            f'pattern is "{options.pattern}", and the tokenizer to extend has "{base.pattern.name}", which stays; '
            "leave pattern out"
        )
    if base.characters is not None or base.adds_prefix_space or base.missing_bytes:
        what = "merges characters" if base.characters else "adds a space" if base.adds_prefix_space else "drops bytes"
        raise ConfigError(f"the tokenizer to extend {what}, and only plain byte-level vocabularies can be extended")
    known = {token.text for token in base.added}
    new = [text for text in specials if text not in known]
    added = tuple(AddedToken(len(base.tokens) + place, text) for place, text in enumerate(new))
    return replace(base, tokens=(*base.tokens, *(text.encode() for text in new)), added=(*base.added, *added))


def _learnable_tokens(vocabulary: Vocabulary) -> list[bytes]:
    added_ids = {token.id for token in vocabulary.added}
    return [b"" if token_id in added_ids else token for token_id, token in enumerate(vocabulary.tokens)]


def _with_merges(base: Vocabulary, rows: NDArray[np.uint32]) -> Vocabulary:
    tokens = list(base.tokens)
    for left, right, product in rows.tolist():
        if product == len(tokens):
            tokens.append(tokens[left] + tokens[right])
    return replace(base, tokens=tuple(tokens), merges=np.concatenate([base.merges, rows]))


def _report(
    vocabulary: Vocabulary,
    *,
    merge_counts: NDArray[np.uint64],
    seeds: Sequence[bytes],
    corpus: Corpus,
    trainer: _core.Trainer,
    options: TrainingOptions,
) -> TrainingReport:
    encoder = vocabulary.build_encoder()
    token_counts = trainer.token_counts
    products = np.unique(vocabulary.merges[:, 2]).astype(np.int64)
    return TrainingReport(
        corpus_sha256=corpus.sha256,
        num_texts=corpus.num_texts,
        num_bytes=trainer.num_bytes,
        num_pieces=trainer.num_pieces,
        num_words=trainer.num_words,
        num_tokens=int(token_counts.sum()),
        pattern=vocabulary.pattern.name,
        unicode_version=_core.UNICODE_VERSION,
        tie=options.tie,
        num_ties=trainer.num_ties,
        min_frequency=options.min_frequency,
        max_token_length=options.max_token_length,
        merge_counts=merge_counts,
        unused_tokens=tuple(products[token_counts[products] == 0].tolist()),
        bytes_per_token={
            source: len(sample) / encoder.count(bytes(sample)) for source, sample in corpus.samples.items() if sample
        },
        seed_tokens=tuple(map(to_characters, seeds)),
        extended_sha256=options.extend.content_hash() if options.extend else None,
        spilled_runs=trainer.num_spilled_runs,
        spilled_bytes=trainer.num_spilled_bytes,
    )
