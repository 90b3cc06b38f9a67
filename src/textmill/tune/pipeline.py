"""A recipe with ``[tune]`` carried out: data read and made tokens, the run planned, and taught by the trainer."""

from __future__ import annotations

import dataclasses
import datetime
import math
from collections.abc import Sequence
from pathlib import Path

from textmill.base.errors import ConfigError, DataError
from textmill.train.decide import make_plan
from textmill.train.objective import Objective
from textmill.train.pipeline import Listener, run_recipe
from textmill.train.recipe import Recipe
from textmill.train.recipe_tables.data import DataTable, SourceTable, StageTable
from textmill.train.recipe_tables.model import ModelTable
from textmill.train.recipe_tables.run import BudgetTable
from textmill.train.recipe_tables.tune import TuneTable
from textmill.train.run import Run
from textmill.train.spread import Spread
from textmill.tune.base_model import BaseModel, open_base
from textmill.tune.chat_records import read_chats
from textmill.tune.chat_rows import ChatSource, row_tokens
from textmill.tune.chat_tokens import ChatTokens, tokenize_chats
from textmill.tune.dpo_objective import DpoObjective
from textmill.tune.grpo_objective import GrpoObjective
from textmill.tune.lora import LoraAdapters, LoraSettings
from textmill.tune.preference_records import read_preferences
from textmill.tune.preference_tokens import Limits, Pair, tokenize
from textmill.tune.questions import Question, read_questions
from textmill.tune.rewards import Reward, load_reward
from textmill.tune.run_inputs import began_at, check_inputs, keep_inputs
from textmill.tune.sft_objective import SftObjective

Data = list[ChatTokens] | list[Pair] | list[Question]


def run_tuning(recipe: Recipe, kind: str, listener: Listener, *, resume: bool = False) -> Run:
    """Carry out a recipe that tunes a model, or go on with its run from the last whole checkpoint.

    Args:
        recipe: the run.
        kind: what the recipe is to be: ``sft``, ``dpo`` or ``grpo``.
        listener: told of every step.
        resume: go on where the run stands; a run without a checkpoint starts afresh.

    Raises:
        ConfigError: the recipe is of another kind, or cannot be carried out.
        DataError: a line of the data cannot be used, named with its file; or the model cannot.
        TextmillError: as the parts raise it; what was whole before stays whole.
    """
    if recipe.tune is None:
        raise ConfigError("the recipe has no [tune]; train it with: textmill train RECIPE")
    if recipe.tune.kind != kind:
        raise ConfigError(
            f'the recipe has tune.kind = "{recipe.tune.kind}"; carry it out with: '
            f"textmill tune {recipe.tune.kind} RECIPE"
        )
    return run_recipe(recipe, listener, resume=resume, tuning=_Tuning())


class _Tuning:
    """Makes the plan and the objective of a run from the same data and reward, which are read once."""

    def __init__(self) -> None:
        self._read: tuple[BaseModel, Data, Reward | None] | None = None

    def plan(self, folder: Path, recipe: Recipe, listener: Listener, spread: Spread) -> Run:
        """Decide a run: rows that hold the longest texts, and steps for the epochs."""
        tune = _table(recipe)
        # Through the text that is kept, so that a resume has the same zone, too.
        began = datetime.datetime.fromisoformat(datetime.datetime.now(tz=datetime.UTC).astimezone().isoformat())
        base, data, reward = self._data(recipe, listener, began)
        context = _row_tokens(data, tune)
        num_items, per_step, what = _items(recipe, tune, data)
        if per_step > num_items:
            listener.say(
                f"a step has {per_step:,} {what}, and the data have {num_items:,}: each is in every step, and some "
                "more than once; fewer batch.rows let a step be part of an epoch"
            )
        planned = dataclasses.replace(
            recipe,
            tune=None,
            model=ModelTable(from_=tune.model),
            data=DataTable(sources={"tune": SourceTable(path=tune.data)}),
            stages=(StageTable(name="tune", context=context),),
            budget=_budget(recipe, tune, data),
        )
        adapters = _adapters(recipe, base)
        plan = make_plan(
            planned,
            base.config,
            listener.say,
            rope_theta=base.config.rope_theta,
            spread=spread,
            learned=None if adapters is None else adapters.num_parameters,
            shapes_vary=True,
        )
        keep_inputs(folder, base, data, None if reward is None else reward.sha256, began)
        return Run(folder, recipe, plan)

    def objective(self, run: Run, listener: Listener) -> Objective:
        """What the run learns."""
        tune = _table(run.recipe)
        base, data, reward = self._data(run.recipe, listener, began_at(run.folder))
        check_inputs(run.folder, base, data, None if reward is None else reward.sha256, listener.say)
        adapters = _adapters(run.recipe, base)
        if tune.kind == "sft":
            return SftObjective(base, _chats(data), adapters)
        if tune.kind == "dpo":
            return DpoObjective(base, _pairs(data), listener, adapters)
        assert reward is not None
        return GrpoObjective(base, _questions(data), reward, adapters)

    def _data(
        self, recipe: Recipe, listener: Listener, began: datetime.datetime
    ) -> tuple[BaseModel, Data, Reward | None]:
        if self._read is None:
            tune = _table(recipe)
            base = open_base(tune.model, tune.context, began)
            # It fails before anything is done that takes a while.
            reward = None if tune.reward is None else load_reward(tune.reward)
            listener.doing("reading the data")
            self._read = base, _read_data(tune, base, listener), reward
        return self._read


def _adapters(recipe: Recipe, base: BaseModel) -> LoraAdapters | None:
    """What is learned in the place of the model's weights, where the recipe says so."""
    tune = _table(recipe)
    if tune.rank is None:
        return None
    assert tune.alpha is not None
    assert tune.dropout is not None
    assert tune.targets is not None
    settings = LoraSettings(rank=tune.rank, alpha=tune.alpha, dropout=tune.dropout, targets=tune.targets)
    return LoraAdapters(base, settings, recipe.run.seed)


def _read_data(tune: TuneTable, base: BaseModel, listener: Listener) -> Data:
    paths = _files(Path(tune.data))
    if tune.kind == "grpo":
        assert tune.max_tokens is not None
        return read_questions(
            paths,
            base.tokenizer,
            prefix_ids=base.rules.prefix_ids,
            context=tune.context,
            max_tokens=tune.max_tokens,
        )
    assert tune.too_long is not None
    if tune.kind == "sft":
        chats = tokenize_chats(
            read_chats(paths),
            base.tokenizer,
            model=tune.model,
            stop_ids=base.rules.stop_ids,
            context=tune.context,
            too_long=tune.too_long,
            say=listener.say,
        )
        if not chats:
            raise DataError(f"{tune.data}: no conversation is left to learn from; each line holds one")
        return chats
    assert tune.prompt_context is not None
    pairs = tokenize(
        read_preferences(paths),
        base.tokenizer,
        prefix_ids=base.rules.prefix_ids,
        end_id=base.end_id,
        limits=Limits(context=tune.context, prompt=tune.prompt_context, too_long=tune.too_long),
        say=listener.say,
    )
    if not pairs:
        raise DataError(f"{tune.data}: no pair is left to learn from; each line holds prompt, chosen and rejected")
    return pairs


def _files(path: Path) -> list[Path]:
    """A file, or those of a folder, in the order of their names."""
    if not path.is_dir():
        return [path]
    found = sorted(path.glob("*.jsonl"))
    if not found:
        raise ConfigError(f"tune.data {path} holds no file *.jsonl; name a file, or a folder of them")
    return found


def _budget(recipe: Recipe, tune: TuneTable, data: Data) -> BudgetTable:
    """The recipe's own, or steps for the epochs that it asks for."""
    if tune.epochs is None:
        return recipe.budget
    num_items, per_step, _ = _items(recipe, tune, data)
    return BudgetTable(steps=max(1, math.ceil(tune.epochs * num_items / per_step)) * (tune.updates or 1))


def _items(recipe: Recipe, tune: TuneTable, data: Data) -> tuple[int, int, str]:
    """How many there are of what a step has so many of, how many it has, and what they are."""
    if tune.kind == "grpo":
        assert tune.answers is not None
        return len(data), recipe.batch.rows // tune.answers, "prompts"
    if tune.packing == "all":
        rows = ChatSource(_chats(data), context=_row_tokens(data, tune), per_step=1, packs_all=True, seed=0)
        return rows.num_items, recipe.batch.rows, "rows"
    return len(data), recipe.batch.rows, "conversations" if tune.kind == "sft" else "pairs"


def _row_tokens(data: Data, tune: TuneTable) -> int:
    """Tokens of a row: the longest pair, or the longest prompt and answer; of conversations as ``row_tokens`` says."""
    if tune.kind == "sft":
        return row_tokens(_chats(data), context=tune.context, packs_all=tune.packing == "all")
    longest = 0
    for one in data:
        if isinstance(one, Pair):
            longest = max(longest, one.chosen.num_inputs + one.rejected.num_inputs)
        elif isinstance(one, Question):
            longest = max(longest, len(one.ids) + (tune.max_tokens or 0))
    return longest


def _chats(data: Sequence[ChatTokens | Pair | Question]) -> list[ChatTokens]:
    return [one for one in data if isinstance(one, ChatTokens)]


def _pairs(data: Sequence[ChatTokens | Pair | Question]) -> list[Pair]:
    return [one for one in data if isinstance(one, Pair)]


def _questions(data: Sequence[ChatTokens | Pair | Question]) -> list[Question]:
    return [one for one in data if isinstance(one, Question)]


def _table(recipe: Recipe) -> TuneTable:
    assert recipe.tune is not None
    return recipe.tune
