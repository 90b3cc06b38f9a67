"""How each source's documents become tokens: with which tokenizer, and what of them is held out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal

from textmill.base.errors import DataError
from textmill.data.holdout import FEW_DOCUMENTS, is_held_out
from textmill.data.pipeline import Pipeline
from textmill.data.read_stage import Units
from textmill.data.token_tasks import kept_batches
from textmill.data.token_units import Holdout, TokenSettings, split
from textmill.text.documents import PART_SEPARATOR
from textmill.tokenizer.end_of_text import END_OF_TEXT, end_of_text
from textmill.tokenizer.patterns import DEFAULT_PATTERN
from textmill.tokenizer.tokenizer import Tokenizer

# A character vocabulary grows until every character has its token; 65,536 leaves shards in uint16.
CHAR_VOCAB_SIZE = 65_536

HoldoutKind = Literal["documents", "tail"]
# The folder of a unit of a source, and which of its documents stay.
KeepOf = Callable[[str, str], Path | None]


def token_settings(
    pipeline: Pipeline, tokenizer: Path, document_end: int, kinds: dict[str, HoldoutKind]
) -> dict[str, TokenSettings]:
    """Say for each source how its documents become tokens; ``kinds`` says what is held out where a share is."""
    settings = {}
    for name, source in pipeline.sources.items():
        share = pipeline.holdout.fraction if source.holdout == "share" else 0.0
        whole: Holdout = "all" if source.holdout == "all" else "none"
        settings[name] = TokenSettings(
            tokenizer=str(tokenizer),
            document_end=document_end,
            holdout=kinds[name] if share > 0 else whole,
            fraction=share,
        )
    return settings


def holdout_kinds(pipeline: Pipeline, read: Path, units: Units, keep_of: KeepOf) -> dict[str, HoldoutKind]:
    """Decide for each source what is held out where the pipeline leaves it open: of a few texts, the ends of each.

    Raises:
        DataError: of a source all documents would be held out, or none.
    """
    kinds: dict[str, HoldoutKind] = {}
    for name, source in pipeline.sources.items():
        kind = pipeline.holdout.kind
        if pipeline.holdout.fraction == 0 or source.holdout != "share" or kind == "tail":
            kinds[name] = "tail" if kind == "tail" else "documents"
            continue
        num_documents, num_held_out = _count(pipeline.holdout.fraction, names_kept(read, name, units[name], keep_of))
        has_both = 0 < num_held_out < num_documents
        if kind == "documents" and not has_both:
            raise DataError(
                f'of the source "{name}" {num_held_out} of {num_documents} documents would be held out at '
                f"holdout.fraction = {pipeline.holdout.fraction:g}; give more documents, or set "
                'holdout.kind = "tail" to hold out the last part of each'
            )
        kinds[name] = "documents" if has_both and (kind == "documents" or num_documents >= FEW_DOCUMENTS) else "tail"
    return kinds


def _count(fraction: float, names: Iterable[bytes]) -> tuple[int, int]:
    """Count documents and those that are held out, until there are many and some of both."""
    num_documents = num_held_out = 0
    for name in names:
        num_documents += 1
        num_held_out += is_held_out(name.decode().partition(PART_SEPARATOR)[0], fraction)
        if num_documents >= FEW_DOCUMENTS and 0 < num_held_out < num_documents:
            break
    return num_documents, num_held_out


def names_kept(read: Path, source: str, units: list[str], keep_of: KeepOf) -> Iterator[bytes]:
    """Yield the ids of a source's documents that stay."""
    for unit in units:
        for batch, _ in kept_batches(read / source / unit, keep_of(source, unit)):
            yield from batch.names


def training_texts(
    pipeline: Pipeline, read: Path, units: Units, keep_of: KeepOf, kinds: dict[str, HoldoutKind]
) -> Iterator[str]:
    """Yield the texts that are not held out, which a tokenizer learns from."""
    for name, source in pipeline.sources.items():
        if source.holdout == "all":
            continue
        fraction = pipeline.holdout.fraction if source.holdout == "share" else 0.0
        for unit in units[name]:
            for batch, _ in kept_batches(read / name / unit, keep_of(name, unit)):
                (texts, chosen), _ = split(batch, kinds[name] if fraction else "none", fraction)
                yield from texts.select(chosen).texts()


def pipeline_tokenizer(
    pipeline: Pipeline, texts: Iterator[str], progress: Callable[[int], object] | None = None
) -> Tokenizer:
    """Load the pipeline's tokenizer, or train it on texts.

    Raises:
        DataError: the file is no tokenizer, or has no token that ends a text; or there are no texts.
    """
    table = pipeline.tokenizer
    if table.path is not None:
        tokenizer = Tokenizer.load(table.path)
        end_of_text(tokenizer)
        return tokenizer
    return Tokenizer.train(
        texts,
        vocab_size=CHAR_VOCAB_SIZE if table.vocab_size is None else table.vocab_size,
        pattern=table.pattern or DEFAULT_PATTERN,
        special_tokens=(END_OF_TEXT,),
        memory_limit=pipeline.run.memory_mb << 20,
        progress=progress,
    )
