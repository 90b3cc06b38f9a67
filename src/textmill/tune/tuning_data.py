"""What a run of tuning learns from and is validated on, read from the files that ``[tune]`` and ``[eval]`` name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from textmill.base.errors import ConfigError, DataError
from textmill.train.pipeline import Listener
from textmill.train.recipe import Recipe
from textmill.train.recipe_tables.tune import TuneTable
from textmill.tune.base_model import BaseModel
from textmill.tune.chat_tokens import ChatTokenizer, ChatTokens
from textmill.tune.held_out import sample, split
from textmill.tune.preference_tokens import Pair, PairTokenizer
from textmill.tune.questions import Question, read_questions
from textmill.tune.tokenized import Maker, tokenized

ItemT = TypeVar("ItemT", ChatTokens, Pair, Question)
_KeptT = TypeVar("_KeptT", ChatTokens, Pair)


@dataclass(frozen=True, slots=True)
class TuningData(Generic[ItemT]):
    """Items of a kind: conversations, pairs or prompts.

    Attributes:
        learned: what is learned from, at least one.
        held_out: what the run is validated on.
    """

    learned: list[ItemT]
    held_out: list[ItemT]


def read_chats(recipe: Recipe, base: BaseModel, folder: Path, listener: Listener) -> TuningData[ChatTokens]:
    """Read conversations, or those that were made tokens when the run began.

    Raises:
        DataError: a line cannot be used, named with its file; or nothing is left to learn from.
        ConfigError: a file cannot be read, or nothing is left on one side of the hold-out.
    """
    tune = _table(recipe)
    assert tune.too_long is not None
    maker = ChatTokenizer(
        tokenizer=base.tokenizer,
        model=tune.model,
        stop_ids=frozenset(base.rules.stop_ids),
        context=tune.context,
        too_long=tune.too_long,
    )
    hint = "no conversation is left; each line holds one"
    return _parted(recipe, lambda path: _made(path, maker, folder, listener, hint))


def read_pairs(recipe: Recipe, base: BaseModel, folder: Path, listener: Listener) -> TuningData[Pair]:
    """Read pairs; as ``read_chats``."""
    tune = _table(recipe)
    assert tune.too_long is not None
    assert tune.prompt_context is not None
    maker = PairTokenizer(
        tokenizer=base.tokenizer,
        prefix_ids=tuple(base.rules.prefix_ids),
        end_id=base.end_id,
        stop_ids=frozenset(base.rules.stop_ids),
        context=tune.context,
        prompt_context=tune.prompt_context,
        too_long=tune.too_long,
    )
    hint = "no pair is left; each line holds prompt, chosen and rejected"
    return _parted(recipe, lambda path: _made(path, maker, folder, listener, hint))


def read_prompts(recipe: Recipe, base: BaseModel) -> TuningData[Question]:
    """Read prompts, with what else their lines hold for the reward; as ``read_chats``."""
    tune = _table(recipe)
    max_tokens = tune.max_tokens
    assert max_tokens is not None
    return _parted(
        recipe,
        lambda path: read_questions(
            _files(path),
            base.tokenizer,
            prefix_ids=base.rules.prefix_ids,
            context=tune.context,
            max_tokens=max_tokens,
        ),
    )


def _parted(recipe: Recipe, read: Callable[[Path], list[ItemT]]) -> TuningData[ItemT]:
    """Files of their own for validation, or a share of what there is."""
    items, validation = read(Path(_table(recipe).data)), recipe.eval
    if validation.data is not None:
        learned, held_out = items, read(Path(validation.data))
    else:
        learned, held_out = split(items, validation.holdout)
    return TuningData(learned, sample(held_out, validation.max_tokens) if held_out else [])


def _made(path: Path, maker: Maker[_KeptT], folder: Path, listener: Listener, hint: str) -> list[_KeptT]:
    items = tokenized(
        _files(path),
        maker,
        folder,
        say=listener.say,
        begin=lambda num_bytes: listener.doing(f"making tokens of {path.name}", num_bytes),
        progress=listener.progress,
    )
    if not items:
        raise DataError(f"{path}: {hint}")
    return items


def _files(path: Path) -> Sequence[Path]:
    """A file, or those of a folder, in the order of their names."""
    if not path.is_dir():
        return [path]
    found = sorted(path.glob("*.jsonl"))
    if not found:
        raise ConfigError(f"{path} holds no file *.jsonl; name a file, or a folder of them")
    return found


def _table(recipe: Recipe) -> TuneTable:
    assert recipe.tune is not None
    return recipe.tune
