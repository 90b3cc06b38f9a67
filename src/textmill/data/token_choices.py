"""How each source's documents become tokens: with which tokenizer, and what of them is held out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from textmill.base.errors import DataError
from textmill.base.files import write_file
from textmill.data.holdout import FEW_DOCUMENTS, is_held_out
from textmill.data.kept_corpus import KeptCorpus
from textmill.data.pipeline import Pipeline
from textmill.data.token_units import Holdout, TokenSettings, keep_loaded
from textmill.text.documents import PART_SEPARATOR
from textmill.tokenizer.end_of_text import END_OF_TEXT, end_of_text
from textmill.tokenizer.patterns import DEFAULT_PATTERN
from textmill.tokenizer.tokenizer import Tokenizer

# A character vocabulary grows until every character has its token; 65,536 leaves shards in uint16.
CHAR_VOCAB_SIZE = 65_536


def holdout_kinds(pipeline: Pipeline, corpus: KeptCorpus | None) -> dict[str, Holdout]:
    """Decide what is held out of each source. Where the pipeline leaves it open, of a few texts the end of each is.

    Args:
        pipeline: says what is wanted.
        corpus: what there is; without it, it is taken for granted that hashes hold out some documents and not all.

    Raises:
        DataError: of a source all documents would be held out, or none.
    """
    kinds: dict[str, Holdout] = {}
    for name, source in pipeline.sources.items():
        if source.holdout != "share":
            kinds[name] = source.holdout
        elif pipeline.holdout.fraction == 0:
            kinds[name] = "none"
        elif pipeline.holdout.kind == "tail" or corpus is None:
            kinds[name] = "tail" if pipeline.holdout.kind == "tail" else "documents"
        else:
            kinds[name] = _kind_for(pipeline, name, corpus)
    return kinds


def _kind_for(pipeline: Pipeline, name: str, corpus: KeptCorpus) -> Holdout:
    fraction, is_open = pipeline.holdout.fraction, pipeline.holdout.kind == "auto"
    names = (document for batch in corpus.batches(name) for document in batch.names)
    num_documents, num_held_out = _count(fraction, names)
    if 0 < num_held_out < num_documents and (not is_open or num_documents >= FEW_DOCUMENTS):
        return "documents"
    if is_open:
        return "tail"
    raise DataError(
        f'of the source "{name}" {num_held_out} of {num_documents} documents would be held out at holdout.fraction = '
        f'{fraction:g}; give more documents, or set holdout.kind = "tail" to hold out the last part of each'
    )


def _count(fraction: float, names: Iterable[bytes]) -> tuple[int, int]:
    """Count documents and those that are held out, until there are many and some of both."""
    num_documents = num_held_out = 0
    for name in names:
        num_documents += 1
        num_held_out += is_held_out(name.decode().partition(PART_SEPARATOR)[0], fraction)
        if num_documents >= FEW_DOCUMENTS and 0 < num_held_out < num_documents:
            break
    return num_documents, num_held_out


def token_settings(
    pipeline: Pipeline, tokenizer: Tokenizer, path: Path, kinds: Mapping[str, Holdout]
) -> dict[str, TokenSettings]:
    """Say for each source how its documents become tokens; ``kinds`` says what is held out, ``path`` where it lies."""
    keep_loaded(tokenizer)
    return {
        name: TokenSettings(
            tokenizer=str(path),
            tokenizer_sha256=tokenizer.sha256,
            document_end=end_of_text(tokenizer),
            holdout=kinds[name],
            fraction=pipeline.holdout.fraction,
        )
        for name in pipeline.sources
    }


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


def shortage_of_tokens(pipeline: Pipeline, tokenizer: Tokenizer) -> Iterator[str]:
    """Say so where a tokenizer was trained to fewer tokens than the pipeline asks for."""
    wanted = pipeline.tokenizer.vocab_size or 0
    if tokenizer.vocab_size < wanted:
        yield (
            f"the text holds no more pairs to merge: the tokenizer has {tokenizer.vocab_size:,} tokens, and not the "
            f"{wanted:,} of tokenizer.vocab_size; give more text, or a smaller number"
        )


def put_tokenizer(pipeline: Pipeline, tokenizer: Tokenizer, path: Path) -> None:
    """Write the pipeline's tokenizer to a .json file: as it was given, where that is one, or else made anew.

    Raises:
        StorageError: the disk is full.
    """
    given = pipeline.tokenizer.path
    if given is not None and given.endswith(".json") and Path(given).name != "tekken.json":
        write_file(path, Path(given).read_bytes())
    else:
        tokenizer.save(path)
