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
from textmill.tokenizer.tokenizer import Tokenizer
from textmill.train.recipe import Recipe
from textmill.train.recipe_tables.data import SourceTable

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
            raise ConfigError(
                f'the source "{name}" has no path, which is enough to plan a run and not to train it; give it text or '
                f"a folder of shards, as in --set data.sources.{name}.path=FOLDER"
            )
        if is_shard_folder(source):
            check_whole_shards(name, source)
        else:
            sources[name] = PipelineSource(path=source.path, part=source.part)
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
