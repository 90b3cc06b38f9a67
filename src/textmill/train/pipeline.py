"""A recipe carried out: corpus, tokenizer, shards, plan, training, in this order, each step told to a listener."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Protocol

from textmill.base.errors import ConfigError, DataError, TextmillError
from textmill.base.events import Event
from textmill.checkpoint.huggingface import check_vocabularies, load_config, load_tokenizer
from textmill.checkpoint.sources import resolve_model
from textmill.checkpoint.store import list_checkpoints, step_of
from textmill.data.prepare_listener import KeptSource
from textmill.data.shards import ShardSet
from textmill.data.token_choices import CHAR_VOCAB_SIZE
from textmill.model.config import ModelConfig
from textmill.model.family import NOT_EXPORTED
from textmill.tokenizer.end_of_text import end_of_text
from textmill.tokenizer.patterns import DEFAULT_PATTERN, pattern_named
from textmill.tokenizer.tokenizer import Tokenizer
from textmill.train.adapters.opening import Adapters
from textmill.train.adapters.tools import check_installed
from textmill.train.asked import ask_to_skip
from textmill.train.branch import Parent, begin_branch, branch_plan, branch_recipe, open_parent
from textmill.train.corpus import make_corpus, open_shards
from textmill.train.decide import make_plan
from textmill.train.dial.check import check_dial
from textmill.train.dial.derive import Derivation, derive
from textmill.train.looks import Sampler
from textmill.train.loop import train
from textmill.train.memory import choose_memory
from textmill.train.mesh import check_mesh, spread_of
from textmill.train.objective import Objective
from textmill.train.presets import model_config
from textmill.train.ranks import Ranks, joined_ranks
from textmill.train.recipe import Recipe
from textmill.train.report import write_report
from textmill.train.run import Run, begin_folder, claim_folder, load_run, resumable, save_run
from textmill.train.run_loader import check_contexts
from textmill.train.run_lock import RunLock
from textmill.train.run_record import CONFIG, read_config
from textmill.train.spread import Spread
from textmill.train.stage_steps import check_readers
from textmill.train.timing import flops_per_s


class Listener(Protocol):
    """What a run tells while it goes on; a listener watches and changes nothing."""

    def doing(self, what: str, total: int | None = None) -> None:
        """Something begins that may take seconds; ``total`` counts bytes of text, where it is known."""

    def progress(self, done: int) -> None:
        """So many bytes of it are done."""

    def say(self, message: str) -> None:
        """A decision, or a thing worth knowing."""

    def corpus(self, sources: Mapping[str, KeptSource], sample: str) -> None:
        """The sources are read and duplicates dropped; ``sample`` is the beginning of the text that comes first."""

    def tokenizer(self, tokenizer: Tokenizer) -> None:
        """The tokenizer is trained or loaded."""

    def shards(self, train: dict[str, ShardSet], held_out: dict[str, ShardSet]) -> None:
        """The tokens are on disk."""

    def plan(self, run: Run) -> None:
        """The run is decided."""

    def event(self, event: Event) -> None:
        """A line of the run's log is written."""


class Tuning(Protocol):
    """What ``tune`` does in the place of making shards and a corpus."""

    def plan(self, folder: Path, recipe: Recipe, listener: Listener, spread: Spread) -> Run:
        """Decide a run; its folder is there."""
        ...

    def objective(self, run: Run, listener: Listener) -> Objective:
        """What the run learns."""
        ...


def run_recipe(
    recipe: Recipe,
    listener: Listener,
    *,
    resume: bool = False,
    skip_steps: Sequence[tuple[int, int]] = (),
    sampler: Sampler | None = None,
    mesh: str | None = None,
    tuning: Tuning | None = None,
) -> Run:
    """Carry out a recipe, or go on with its run from the last whole checkpoint.

    Args:
        recipe: the run; its folder must hold no checkpoints unless it is resumed.
        listener: told of every step.
        resume: go on where the run stands; a run without a checkpoint starts afresh.
        skip_steps: (first, end) of batches that no step is to see from now on; see ``asked``.
        sampler: continues prompts during the run; see ``loop``.
        mesh: how the model lies on several processes; see ``check_mesh``.
        tuning: what stands in the place of shards, for a recipe with ``[tune]``.

    Raises:
        ConfigError: the recipe is one for tuning, ``mesh`` means nothing here, the recipe names a tool that is not
            installed, or another process trains in the run's folder.
        TextmillError: as the parts raise it; what was whole before stays whole.
    """
    if recipe.tune is not None and tuning is None:
        raise ConfigError(f"this recipe tunes a model; carry it out with: textmill tune {recipe.tune.kind} RECIPE")
    for tool in recipe.run.log_to:
        check_installed(tool)
    parent = None if resume and _is_as_planned(recipe) else open_parent(recipe)
    if parent is not None:
        recipe = branch_recipe(recipe, parent)
    with joined_ranks() as ranks, RunLock(Path(recipe.run.dir)) as lock:
        check_mesh(mesh, ranks)
        if tuning is not None and ranks.size > 1:
            raise ConfigError(f"a model is tuned by one process, and there are {ranks.size}; start it without torchrun")
        if not ranks.is_first:
            return _join_in(recipe, ranks, mesh)
        folder = claim_folder(recipe, resume=resume)
        lock.take()
        run = resumable(folder, recipe) if resume else None
        if run is None:
            spread = spread_of(check_mesh(mesh, ranks), ranks)
            if tuning is None:
                run = _prepare(folder, recipe, parent, listener, lock, spread)
            else:
                with _nothing_left(folder):
                    begin_folder(folder)
                    lock.take()
                    run = tuning.plan(folder, recipe, listener, spread)
                save_run(run)
        ask_to_skip(run, skip_steps, listener.say)
        objective = None if tuning is None else tuning.objective(run, listener)
        listener.plan(run)
        ranks.wait()
        try:
            config = read_config(folder)
            with contextlib.closing(Adapters(recipe.run.log_to, folder, config, listener.say)) as adapters:

                def observe(event: Event) -> None:
                    listener.event(event)
                    adapters(event)

                train(
                    run,
                    observe,
                    resume=_has_begun(run),
                    sampler=sampler,
                    ranks=ranks,
                    mesh=mesh,
                    objective=objective,
                )
        except BaseException:
            with contextlib.suppress(OSError, DataError):  # what went wrong first is what is told
                write_report(run.folder)
            raise
        write_report(run.folder)
    return run


def _is_as_planned(recipe: Recipe) -> bool:
    """Whether a recipe is that of the run in its folder, which then needs no other run any more."""
    folder = Path(recipe.run.dir)
    return (folder / CONFIG).is_file() and load_run(folder).recipe == recipe


def _join_in(recipe: Recipe, ranks: Ranks, mesh: str | None) -> Run:
    """Train beside the first rank, once it has decided the run."""
    try:
        ranks.wait()
    except TextmillError as error:
        raise TextmillError(
            f"rank {ranks.rank} of {ranks.size} waits for nothing: the first ended before the run began, and says why"
        ) from error
    run = load_run(Path(recipe.run.dir))
    train(run, lambda event: None, resume=_has_begun(run), ranks=ranks, mesh=mesh)
    return run


def _has_begun(run: Run) -> bool:
    """Whether there is a checkpoint of its own."""
    return any(step_of(checkpoint) > run.plan.start_step for checkpoint in list_checkpoints(run.folder))


def _prepare(  # noqa: PLR0917  each is another thing
    folder: Path, recipe: Recipe, parent: Parent | None, listener: Listener, lock: RunLock, spread: Spread
) -> Run:
    base = None if recipe.model.from_ is None else resolve_model(recipe.model.from_)
    _check_early(recipe, base, spread)
    if recipe.model.parts["value_embeddings"] or (base is not None and load_config(base).value_embeddings):
        listener.say(NOT_EXPORTED)
    base_tokenizer = load_tokenizer(base) if base is not None and recipe.tokenizer is None else None
    with _nothing_left(folder):
        begin_folder(folder)
        lock.take()
        tokenizer = make_corpus(folder, recipe, base_tokenizer, _Stages(listener))
    shards, held_out = open_shards(folder, recipe, tokenizer)
    listener.shards(shards, held_out)
    asked = recipe.to_table() if recipe.left_open else None
    derivation = _derive(recipe, tokenizer, shards, listener, spread)
    recipe = derivation.recipe
    check_readers(recipe, spread.num_readers)
    check_contexts(folder, recipe, shards, tokenizer)
    listener.doing("timing a few steps")
    if parent is None:
        theta = 10_000.0 if base is None else load_config(base).rope_theta
        plan = make_plan(recipe, _config_of(recipe, tokenizer, base), listener.say, rope_theta=theta, spread=spread)
    else:
        config, theta = _config_of_branch(recipe, parent), parent.run.plan.stage_of(parent.step).rope_theta
        plan = branch_plan(make_plan(recipe, config, listener.say, rope_theta=theta, spread=spread), parent)
        begin_branch(folder, parent)
    run = Run(folder, recipe, plan, asked, derivation.values)
    save_run(run)
    return run


def _derive(
    recipe: Recipe, tokenizer: Tokenizer, shards: Mapping[str, ShardSet], listener: Listener, spread: Spread
) -> Derivation:
    """Derive what the recipe leaves open, and tell each value with its reason."""
    if recipe.left_open and recipe.budget.minutes is not None:
        listener.doing("measuring how fast this machine trains")
    derivation = derive(
        recipe,
        vocab_size=tokenizer.vocab_size,
        unique_tokens=sum(one.manifest.num_tokens for one in shards.values()),
        speed=functools.partial(flops_per_s, spread=spread),
    )
    for value in derivation.values:
        listener.say(str(value))
    return derivation


@contextlib.contextmanager
def _nothing_left(folder: Path) -> Iterator[None]:
    """Take a new folder, and those that were made for it, away again where the text cannot be used."""
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        yield
    except (DataError, ConfigError):
        if new:
            shutil.rmtree(new[-1], ignore_errors=True)
        raise


class _Stages:
    """Tells a run's listener what the data engine tells."""

    _TOLD: ClassVar = {
        "reading": "reading the text",
        "looking for duplicates": "looking for duplicates",
        "training the tokenizer": "training the tokenizer",
        "making tokens": "writing the shards",
    }

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._is_told = False

    def stage(self, name: str, total_bytes: int | None) -> None:
        """A stage begins."""
        self._is_told = name in self._TOLD
        if self._is_told:
            self._listener.doing(self._TOLD[name], total_bytes)

    def progress(self, done_bytes: int) -> None:
        """So many bytes of it are done."""
        if self._is_told:
            self._listener.progress(done_bytes)

    def say(self, message: str) -> None:
        """A thing worth knowing."""
        self._listener.say(message)

    def kept(self, sources: Mapping[str, KeptSource], sample: str) -> None:
        """It is known what text there is."""
        self._listener.corpus(sources, sample)

    def tokenizer(self, tokenizer: Tokenizer) -> None:
        """The tokenizer is trained or loaded."""
        self._listener.tokenizer(tokenizer)


def _check_early(recipe: Recipe, base: Path | None, spread: Spread) -> None:
    """Refuse what cannot work before hours go into reading text; the vocabulary's real size is checked later."""
    table = recipe.tokenizer
    if table is not None and table.path is None:
        pattern_named(table.pattern or DEFAULT_PATTERN)
        if table.vocab_size is not None and table.vocab_size < 257:
            raise ConfigError(f"tokenizer.vocab_size is {table.vocab_size}, and must be 257 or more: bytes and an end")
    if recipe.left_open:
        check_dial(recipe)
        return
    check_readers(recipe, spread.num_readers)
    vocab_size = CHAR_VOCAB_SIZE if table is None or table.vocab_size is None else table.vocab_size
    config = _config(recipe, vocab_size, end_of_text=0) if base is None else load_config(base)
    choose_memory(recipe, config, lambda message: None, spread=spread)


def _config(recipe: Recipe, vocab_size: int, end_of_text: int) -> ModelConfig:
    return model_config(
        recipe.model,
        vocab_size=vocab_size,
        context=max(stage.context for stage in recipe.stages),
        rope_theta=recipe.rope_theta_of(recipe.stages[-1]),
        end_of_text=end_of_text,
    )


def _config_of(recipe: Recipe, tokenizer: Tokenizer, base: Path | None) -> ModelConfig:
    """The sizes of a run's model, as they are at its end: by the recipe, or of the model that it starts from."""
    if base is None:
        return _config(recipe, tokenizer.vocab_size, end_of_text(tokenizer))
    config = dataclasses.replace(
        load_config(base), bos_token_id=end_of_text(tokenizer), eos_token_id=end_of_text(tokenizer)
    )
    check_vocabularies(config, tokenizer, f"{base} and the run's tokenizer")
    context = max(stage.context for stage in recipe.stages)
    if config.max_position_embeddings < context:
        raise ConfigError(
            f"a stage's context is {context}, and {base} takes {config.max_position_embeddings} tokens; lower it"
        )
    theta = recipe.stages[-1].rope_theta
    return config if theta is None else dataclasses.replace(config, rope_theta=theta)


def _config_of_branch(recipe: Recipe, parent: Parent) -> ModelConfig:
    """The model of the run that is left, with the last stage's base of RoPE and room for the longest context."""
    config = parent.run.plan.model
    stage = recipe.stages[-1]
    return dataclasses.replace(
        config,
        rope_theta=stage.rope_theta or parent.run.plan.stage_of(parent.step).rope_theta,
        max_position_embeddings=max(config.max_position_embeddings, *(stage.context for stage in recipe.stages)),
    )
