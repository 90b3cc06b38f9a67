"""A recipe with ``[tune]`` carried out: data read and made tokens, the run planned, and taught by the trainer."""

from __future__ import annotations

import dataclasses
import datetime
import math
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from textmill.base.errors import ConfigError
from textmill.train.decide import make_plan
from textmill.train.memory import Tuned
from textmill.train.objective import Objective
from textmill.train.pipeline import Listener, run_recipe
from textmill.train.recipe import Recipe
from textmill.train.recipe_tables.data import DataTable, SourceTable, StageTable
from textmill.train.recipe_tables.model import ModelTable
from textmill.train.recipe_tables.run import BudgetTable, EvalTable
from textmill.train.recipe_tables.tune import TuneTable
from textmill.train.run import Run
from textmill.train.spread import Spread
from textmill.tune.base_model import BaseModel, open_base
from textmill.tune.chat_rows import ChatSource, row_tokens
from textmill.tune.chat_tokens import ChatTokens
from textmill.tune.dpo_objective import DpoObjective
from textmill.tune.grpo_objective import GrpoObjective
from textmill.tune.lora import LoraAdapters, LoraSettings
from textmill.tune.preference_tokens import Pair
from textmill.tune.questions import Question
from textmill.tune.rewards import Reward, load_reward
from textmill.tune.rollouts import engine_bytes
from textmill.tune.run_inputs import began_at, check_inputs, keep_inputs
from textmill.tune.sft_objective import SftObjective
from textmill.tune.tuning_data import TuningData, read_chats, read_pairs, read_prompts

BASE = "base"
Data = TuningData[ChatTokens] | TuningData[Pair] | TuningData[Question]
Make = Callable[[LoraAdapters | None], Objective]


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
        self._read: tuple[BaseModel, Data, Reward | None, Make] | None = None

    def plan(self, folder: Path, recipe: Recipe, listener: Listener, spread: Spread) -> Run:
        """Decide a run: rows that hold the longest texts, and steps for the epochs."""
        tune = _table(recipe)
        # Through the text that is kept, so that a resume has the same zone, too.
        began = datetime.datetime.fromisoformat(datetime.datetime.now(tz=datetime.UTC).astimezone().isoformat())
        base, data, reward, _ = self._data(folder, recipe, listener, began)
        context = _row_tokens(data, tune)
        num_items, per_step, what = _items(recipe, tune, data)
        if per_step > num_items:
            listener.say(
                f"a step has {per_step:,} {what}, and the data have {num_items:,}: each is in every step, and some "
                "more than once; fewer batch.rows let a step be part of an epoch"
            )
        if data.held_out:
            listener.say(f"validated on {len(data.held_out):,} held-out {_what(tune)}")
        planned = dataclasses.replace(
            recipe,
            run=dataclasses.replace(recipe.run, precision=_precision(recipe, tune, listener)),
            tune=None,
            model=ModelTable(from_=tune.model),
            data=DataTable(sources={"tune": SourceTable(path=tune.data)}),
            stages=(StageTable(name="tune", context=context),),
            budget=_budget(recipe, tune, data),
            eval=EvalTable(),
        )
        adapters = _adapters(folder, recipe, base)
        plan = make_plan(
            planned,
            base.config,
            listener.say,
            rope_theta=base.config.rope_theta,
            spread=spread,
            tuned=_tuned(recipe, base, data, adapters, on_gpu=spread.device != "cpu"),
            shapes_vary=True,
        )
        if adapters is not None and base.is_adapter:
            listener.doing("merging the adapter that tuning begins from")
            base.write(folder / BASE)
            listener.say(
                f"{base.stored.path} is an adapter, and what is learned here is one for the model with that merged in, "
                f"which is in {folder / BASE}"
            )
        keep_inputs(folder, base, data, None if reward is None else reward.sha256, began)
        return Run(folder, recipe, plan)

    def objective(self, run: Run, listener: Listener) -> Objective:
        """What the run learns."""
        base, data, reward, make = self._data(run.folder, run.recipe, listener, began_at(run.folder))
        check_inputs(run.folder, base, data, None if reward is None else reward.sha256, listener.say)
        return make(_adapters(run.folder, run.recipe, base))

    def _data(
        self, folder: Path, recipe: Recipe, listener: Listener, began: datetime.datetime
    ) -> tuple[BaseModel, Data, Reward | None, Make]:
        if self._read is None:
            tune = _table(recipe)
            base = open_base(tune.model, tune.context, began)
            # It fails before anything is done that takes a while.
            reward = None if tune.reward is None else load_reward(tune.reward)
            listener.doing("reading the data")
            data, make = _learned(folder, recipe, base, reward, listener)
            listener.doing("reading the model's weights")
            _ = base.fingerprint
            self._read = base, data, reward, make
        return self._read


def _learned(
    folder: Path, recipe: Recipe, base: BaseModel, reward: Reward | None, listener: Listener
) -> tuple[Data, Make]:
    """Read what is learned from, and say what makes an objective of it."""
    kind = _table(recipe).kind
    if kind == "sft":
        chats = read_chats(recipe, base, folder, listener)
        return chats, lambda adapters: SftObjective(base, chats.learned, chats.held_out, adapters)
    if kind == "dpo":
        pairs = read_pairs(recipe, base, folder, listener)
        return pairs, lambda adapters: DpoObjective(base, pairs.learned, listener, pairs.held_out, adapters)
    assert reward is not None
    prompts = read_prompts(recipe, base)
    return prompts, lambda adapters: GrpoObjective(base, prompts.learned, reward, prompts.held_out, adapters)


def _adapters(folder: Path, recipe: Recipe, base: BaseModel) -> LoraAdapters | None:
    """What is learned in the place of the model's weights, where the recipe says so.

    PEFT opens no adapter that is for a model with another one, so such a model is named where it lies merged.
    """
    tune = _table(recipe)
    if tune.rank is None:
        return None
    assert tune.alpha is not None
    assert tune.dropout is not None
    assert tune.targets is not None
    settings = LoraSettings(
        rank=tune.rank, alpha=tune.alpha, dropout=tune.dropout, targets=tune.targets, dora=bool(tune.dora)
    )
    named = str((folder / BASE).resolve()) if base.is_adapter else None
    return LoraAdapters(base, settings, recipe.run.seed, named=named)


def _precision(recipe: Recipe, tune: TuneTable, listener: Listener) -> Literal["auto", "f32", "bf16"]:
    """The recipe's own; of GRPO float32, in which the answers are drawn, unless it says otherwise."""
    if tune.kind != "grpo" or recipe.run.precision == "f32":
        return recipe.run.precision
    if recipe.run.precision == "auto":
        return "f32"
    listener.say(
        "answers are drawn in f32, and what is learned of them is computed in bf16, as run.precision says: the "
        "probabilities differ; leave it out to have both in f32"
    )
    return recipe.run.precision


def _tuned(recipe: Recipe, base: BaseModel, data: Data, adapters: LoraAdapters | None, *, on_gpu: bool) -> Tuned:
    """What the run holds that one of pretraining does not."""
    tune, config = _table(recipe), base.config if adapters is None else adapters.merged_config
    whole = 4 * config.num_parameters
    # Adapters are merged into all weights, in the machine's memory, to be written at the end or drawn with.
    between = whole if adapters is not None and not on_gpu else 0
    if tune.kind == "grpo":
        between += engine_bytes(
            config,
            context=_row_tokens(data, tune),
            num_answers=max(recipe.batch.rows, len(data.held_out)),
            device="cuda" if on_gpu else "cpu",
        )
    return Tuned(
        targets="some" if tune.kind == "sft" else "each",
        adapters=None if adapters is None else adapters.sizes,
        beside_bytes=whole if tune.kind == "grpo" and tune.beta and adapters is None else 0,
        between_bytes=between,
    )


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
        return len(data.learned), recipe.batch.rows // tune.answers, _what(tune)
    if tune.packing == "all":
        chats = [one for one in data.learned if isinstance(one, ChatTokens)]
        rows = ChatSource(chats, context=_row_tokens(data, tune), per_step=1, packs_all=True, seed=0)
        return rows.num_items, recipe.batch.rows, "rows"
    return len(data.learned), recipe.batch.rows, _what(tune)


def _what(tune: TuneTable) -> str:
    return {"sft": "conversations", "dpo": "pairs", "grpo": "prompts"}[tune.kind]


def _row_tokens(data: Data, tune: TuneTable) -> int:
    """Tokens of a row: the longest pair, or the longest prompt and answer; of conversations as ``row_tokens`` says."""
    items = [*data.learned, *data.held_out]
    if tune.packing == "all":
        chats = [one for one in items if isinstance(one, ChatTokens)]
        return row_tokens(chats, context=tune.context, packs_all=True)
    return max(one.num_inputs for one in items) + (tune.max_tokens or 0)


def _table(recipe: Recipe) -> TuneTable:
    assert recipe.tune is not None
    return recipe.tune
