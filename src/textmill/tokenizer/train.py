"""Training a vocabulary: text in batches to the native trainer, its merges to a Vocabulary."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from textmill import _core
from textmill.base.errors import ConfigError, DataError, StorageError, TextmillError
from textmill.base.units import num_bytes
from textmill.text.batches import read_ahead
from textmill.tokenizer.alphabet import BYTE_ORDER, to_characters
from textmill.tokenizer.corpus import Corpus, Source
from textmill.tokenizer.normalize import normalize
from textmill.tokenizer.patterns import DEFAULT_PATTERN, pattern_named
from textmill.tokenizer.report import TrainingReport
from textmill.tokenizer.seeds import seed_merges
from textmill.tokenizer.training_options import TIE, TrainingOptions
from textmill.tokenizer.vocabulary import MAX_TOKENS, AddedToken, Vocabulary


def train_vocabulary(
    source: Source,
    options: TrainingOptions,
    progress: Callable[[int], object] | None,
    on_merging: Callable[[], object] | None,
) -> tuple[Vocabulary, TrainingReport]:
    """Learn a vocabulary."""
    base = _base_vocabulary(options)
    seed_rows = seed_merges(base, options.seeds)
    num_new = _check_vocab_size(options.vocab_size, base, seed_rows)
    _with_merges(base, seed_rows).build_encoder()  # finds what does not fit together before any text is read
    splitter = base.pattern.splitter()
    # Normalising changes what stands beside a cut, but not between two ASCII characters.
    corpus = Corpus(source, last_cut=partial(_core.last_cut, [splitter], ascii_only=bool(base.normalizer)))
    trainer = _core.Trainer(splitter, options.threads, options.memory_limit, spill_folder=tempfile.gettempdir())
    try:
        _count_words(corpus, trainer, base.normalizer, progress)
        if on_merging is not None:
            on_merging()
        rows, counts = trainer.learn(
            num_new,
            _learnable_tokens(base),
            base.merges,
            seed_rows,
            never=_control_texts(base),
            whole_pieces=base.whole_pieces,
            min_frequency=options.min_frequency,
            max_token_length=options.max_token_length,
        )
    except _core.MemoryLimitError as error:
        raise TextmillError(
            f"the tokenizer cannot be trained within memory_limit={num_bytes(options.memory_limit)}: {error}. "
            "Raise the limit, or train on a sample of the text"
        ) from error
    except _core.SpillError as error:
        raise StorageError(f"{error}. Free some space, set TMPDIR to another folder, or raise memory_limit") from error
    vocabulary = _with_merges(base, rows)
    return vocabulary, _report(vocabulary, merge_counts=counts, corpus=corpus, trainer=trainer, options=options)


def _count_words(
    corpus: Corpus, trainer: _core.Trainer, normalizer: str, progress: Callable[[int], object] | None
) -> None:
    batches = corpus.batches()
    for batch in read_ahead(batches) if corpus.is_of_files else batches:
        trainer.add([normalize(text, normalizer) for text in batch] if normalizer else batch)
        if progress is not None:
            progress(corpus.bytes_done)
    if trainer.num_bytes == 0:
        raise DataError("there is no text to train a tokenizer on: 0 bytes in all the texts that were given")
    corpus.left_out.warn(stacklevel=4)


def _control_texts(vocabulary: Vocabulary) -> list[bytes]:
    """The texts that must not become ordinary tokens."""
    return [token.text.encode() for token in vocabulary.added if token.is_special]


def _check_vocab_size(vocab_size: int, base: Vocabulary, seed_rows: NDArray[np.uint32]) -> int:
    num_base = len(base.tokens)
    num_seeds = len({product for *_, product in seed_rows.tolist() if product >= num_base})
    if not num_base + num_seeds <= vocab_size <= MAX_TOKENS:
        seeds = f" and {num_seeds} for seeds" if num_seeds else ""
        raise ConfigError(
            f"vocab_size is {vocab_size}, and must be from {num_base + num_seeds} ({_parts_of(base)}{seeds}) "
            f"to {MAX_TOKENS}"
        )
    return vocab_size - num_base


def _parts_of(base: Vocabulary) -> str:
    if len(base.merges):
        return f"{len(base.tokens)} ids of the extended vocabulary and its special tokens"
    return f"256 bytes and {len(base.added)} special token{'s' * (len(base.added) != 1)}"


def _base_vocabulary(options: TrainingOptions) -> Vocabulary:
    """What is there before learning: special tokens and bytes, or the vocabulary to extend and new special tokens."""
    specials = options.special_tokens
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
    corpus: Corpus,
    trainer: _core.Trainer,
    options: TrainingOptions,
) -> TrainingReport:
    token_counts = trainer.token_counts
    products = np.unique(vocabulary.merges[:, 2]).astype(np.int64)
    return TrainingReport(
        corpus_sha256=corpus.sha256,
        num_texts=corpus.num_texts,
        num_bytes=corpus.num_bytes,
        num_pieces=trainer.num_pieces,
        num_words=trainer.num_words,
        num_tokens=int(token_counts.sum()),
        pattern=vocabulary.pattern.name,
        unicode_version=_core.UNICODE_VERSION,
        tie=TIE,
        num_ties=trainer.num_ties,
        min_frequency=options.min_frequency,
        max_token_length=options.max_token_length or None,
        merge_counts=merge_counts,
        unused_tokens=tuple(products[token_counts[products] == 0].tolist()),
        bytes_per_token=_bytes_per_token(vocabulary, corpus, int(token_counts.sum())),
        seed_tokens=tuple(map(to_characters, options.seeds)),
        files_left_out=dict(corpus.left_out.files.most_common()),
        num_empty_records=corpus.left_out.num_empty_records,
        extended_sha256=options.extend.content_hash() if options.extend else None,
        spilled_runs=trainer.num_spilled_runs,
        spilled_bytes=trainer.num_spilled_bytes,
    )


def _bytes_per_token(vocabulary: Vocabulary, corpus: Corpus, num_tokens: int) -> dict[str, float]:
    """By source: exact where there is one alone, measured on samples where there are more."""
    if len(corpus.samples) == 1:
        return dict.fromkeys(corpus.samples, corpus.num_bytes / num_tokens)
    encoder = vocabulary.build_encoder()
    return {
        source: len(sample) / encoder.count(normalize(bytes(sample), vocabulary.normalizer))
        for source, sample in corpus.samples.items()
        if sample
    }
