"""From a recipe's sources to shards, by the data engine: duplicates dropped, text held out, a tokenizer trained.

Everything lies under the run's folder, so that a resumed run reads what the first one wrote:
``tokenizer.json``, ``shards/SOURCE``, ``heldout/SOURCE``.
"""

from __future__ import annotations

from pathlib import Path

from textmill.base.errors import ConfigError, DataError
from textmill.data.engines.local import LocalEngine
from textmill.data.manifest import MANIFEST, read_manifest
from textmill.data.pipeline import HoldoutTable, OutputTable, Pipeline, RunTable, TokenizerTable
from textmill.data.pipeline import SourceTable as PipelineSource
from textmill.data.prepare import prepare
from textmill.data.prepare_listener import PrepareListener
from textmill.data.shards import ShardSet
from textmill.tokenizer.end_of_text import end_of_text
from textmill.data.document_parts import documents_in_part
from textmill.data.holdout import split_holdout
from textmill.data.shards import MANIFEST, ShardSet, read_manifest, write_shards
from textmill.text.dedup import drop_exact_duplicates
from textmill.text.documents import Document
from textmill.text.readers import read_documents
from textmill.text.stdlib import is_stdlib, read_stdlib
from textmill.tokenizer.patterns import DEFAULT_PATTERN
from textmill.tokenizer.tokenizer import Tokenizer
from textmill.train.recipe import Recipe
from textmill.train.recipe_tables import SourceTable

TOKENIZER = "tokenizer.json"
HELD_OUT = "held-out"


def make_corpus(run: Path, recipe: Recipe, base: Tokenizer | None, listener: PrepareListener) -> Tokenizer:
    """Write the shards of every source that is text, training part and held-out part, and the run's tokenizer.

    Args:
        run: the run's folder.
        recipe: its sources.
        base: the tokenizer to take, of the model that the run starts from; None is what the recipe says.
        listener: told of the stages.

    Raises:
        DataError: a source is missing, empty or not text, or the tokenizer has no token that ends a text.
        ConfigError: a source has no path; or a tokenizer is to be trained and every source is shards.
        StorageError: the disk is full; what was written whole before stays.
        DataError: a source is missing, empty or not text.
        ConfigError: a source has no path, or is a part of a folder of shards.
    """
    tokenizer = _given_tokenizer(recipe, base)
    if tokenizer is not None:
        tokenizer.save(run / TOKENIZER)
    pipeline = corpus_pipeline(run, recipe, run / TOKENIZER if tokenizer is not None else None)
    if pipeline is None:
        assert tokenizer is not None
        listener.tokenizer(tokenizer)
        return tokenizer
    engine = LocalEngine(1)
    prepare(pipeline, engine, listener)
    if tokenizer is None:
        tokenizer = Tokenizer.load(run / "shards" / TOKENIZER)
        tokenizer.save(run / TOKENIZER)
    return tokenizer


def corpus_pipeline(run: Path, recipe: Recipe, tokenizer: Path | None) -> Pipeline | None:
    """Say to the data engine what a recipe says of its text; None where there is none, every source being shards."""
    sources: dict[str, PipelineSource] = {}
    if recipe.eval.data:
        # First, so that of a text on both sides the copy to train on is the one that goes.
        sources[HELD_OUT] = PipelineSource(path=recipe.eval.data, holdout="all")
    for name, source in recipe.data.sources.items():
        if source.path is None:
            raise ConfigError(f'the source "{name}" has no path, which is enough to plan a run and not to train it')
        if not is_shard_folder(source):
            sources[name] = PipelineSource(path=source.path)
    if not sources:
        return None
    table = recipe.tokenizer
    return Pipeline(
        output=OutputTable(dir=str(run / "shards"), heldout=str(run / "heldout")),
        sources=sources,
        tokenizer=TokenizerTable(
            path=str(tokenizer) if tokenizer is not None else None,
            vocab_size=table.vocab_size if table is not None and tokenizer is None else None,
            pattern=table.pattern if table is not None and tokenizer is None else None,
        ),
        holdout=HoldoutTable(fraction=0.0 if recipe.eval.data else recipe.eval.holdout, kind=recipe.eval.holdout_kind),
        run=RunTable(on_bad="stop"),
    )


def _given_tokenizer(recipe: Recipe, base: Tokenizer | None) -> Tokenizer | None:
    """The tokenizer that is not to be trained; None where one is."""
    table = recipe.tokenizer
    if table is None:
        assert base is not None
        end_of_text(base)
        return base
    if table.path is not None:
        tokenizer = Tokenizer.load(table.path)
        end_of_text(tokenizer)
        return tokenizer
    if all(is_shard_folder(source) for source in recipe.data.sources.values()):
        raise ConfigError("every source is a folder of shards; set tokenizer.path to the tokenizer they were made with")
    return None
        if is_shard_folder(source):
            check_whole_shards(name, source)
            continue
        documents = list(_read_source(name, source))
        kept = list(drop_exact_duplicates(documents, seen))
        num_read, num_kept = num_read + len(documents), num_kept + len(kept)
        if not documents:
            raise DataError(f'the source "{name}" at {source.path} holds no text; check its path')
        if not kept:
            raise DataError(
                f'all {len(documents)} documents of the source "{name}" at {source.path} came before, in another '
                "source or in eval.data; leave the source out"
            )
        if recipe.eval.data:
            train[name] = kept
        else:
            train[name], held_out[name] = split_holdout(kept, recipe.eval.holdout, recipe.eval.holdout_kind)
    return Corpus(train, held_out, num_read - num_kept)


def is_shard_folder(source: SourceTable) -> bool:
    """Say whether a source's path is a folder of shards."""
    return source.path is not None and (Path(source.path) / MANIFEST).is_file()


def check_whole_shards(name: str, source: SourceTable) -> None:
    """Raise ``ConfigError`` where a part of a folder of shards is asked for: parts are of text."""
    if source.part != (0.0, 1.0):
        raise ConfigError(
            f'the source "{name}" is a folder of shards, {source.path}, and part is for text files; leave part out, or '
            "write shards of that part"
        )


def make_tokenizer(recipe: Recipe, corpus: Corpus, progress: Callable[[int], None] | None = None) -> Tokenizer:
    """Load the recipe's tokenizer, or train it on the part of the corpus that is not held out.

    Raises:
        DataError: the file is no tokenizer, or has no token that ends a text.
        ConfigError: a tokenizer is to be trained and every source is shards.
    """
    table = recipe.tokenizer
    assert table is not None
    if table.path is not None:
        tokenizer = Tokenizer.load(table.path)
        end_of_text(tokenizer)
        return tokenizer
    texts = [document.text for documents in corpus.train.values() for document in documents]
    if not texts:
        raise ConfigError("every source is a folder of shards; set tokenizer.path to the tokenizer they were made with")
    return Tokenizer.train(
        iter(texts),
        vocab_size=CHAR_VOCAB_SIZE if table.vocab_size is None else table.vocab_size,
        pattern=table.pattern or DEFAULT_PATTERN,
        special_tokens=(END_OF_TEXT,),
        progress=progress,
    )


# A character vocabulary grows until every character has its token; 65,536 leaves shards in uint16.
CHAR_VOCAB_SIZE = 65_536


def end_of_text(tokenizer: Tokenizer) -> int:
    """Find the id that ends a document; raises ``DataError`` where the tokenizer has none."""
    for name in (END_OF_TEXT, "<|end_of_text|>", "</s>", "<|im_end|>", "<eos>"):
        if name in tokenizer.special_tokens:
            return tokenizer.special_tokens[name]
    known = ", ".join(list(tokenizer.special_tokens)[:8]) or "none"
    raise DataError(
        f"the tokenizer has no special token that ends a text (its special tokens: {known}); "
        f'train one with special_tokens=("{END_OF_TEXT}",)'
    )


def write_corpus(
    run: Path, corpus: Corpus, tokenizer: Tokenizer, progress: Callable[[int], None] | None = None
) -> None:
    """Save the tokenizer and write the shards of every source, training part and held-out part.

    Raises:
        StorageError: the disk is full; what was written whole before stays.
    """
    tokenizer.save(run / TOKENIZER)
    done = 0
    for part, sources in (("shards", corpus.train), ("heldout", corpus.held_out)):
        for name, documents in sources.items():
            base = done
            manifest = write_shards(
                run / part / name,
                documents,
                tokenizer,
                source=name,
                document_end=end_of_text(tokenizer),
                progress=(lambda num_bytes, base=base: progress(base + num_bytes)) if progress else None,
            )
            done += manifest.num_bytes


def open_shards(run: Path, recipe: Recipe, tokenizer: Tokenizer) -> tuple[dict[str, ShardSet], dict[str, ShardSet]]:
    """Open a run's shards: by source, to train on and to validate on.

    Raises:
        DataError: a set is missing or not as long as it says, or was made with another tokenizer.
    """
    train: dict[str, ShardSet] = {}
    for name, source in recipe.data.sources.items():
        folder = Path(str(source.path)) if is_shard_folder(source) else run / "shards" / name
        manifest = read_manifest(folder)
        if manifest.tokenizer_sha256 != tokenizer.sha256:
            raise DataError(
                f"{folder} was written with another tokenizer ({manifest.vocab_size} ids, hash "
                f"{manifest.tokenizer_sha256[:12]}) than the run's ({tokenizer.vocab_size} ids, hash "
                f"{tokenizer.sha256[:12]}); set tokenizer.path to the right one, or write the shards again"
            )
        train[name] = ShardSet(folder)
    root = run / "heldout"
    held_out = {path.name: ShardSet(path) for path in sorted(root.iterdir())} if root.is_dir() else {}
    return train, held_out


def _read_source(name: str, source: SourceTable) -> Iterator[Document]:
    if source.path is None:
        raise ConfigError(
            f'the source "{name}" has no path, which is enough to plan a run and not to train it; give it text or a '
            f"folder of shards, as in --set data.sources.{name}.path=FOLDER"
        )
    documents = read_stdlib(source.path, name) if is_stdlib(source.path) else read_documents(source.path, name)
    return documents_in_part(documents, *source.part)
