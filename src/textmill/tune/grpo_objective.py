"""What a run learns by group relative policy optimisation: from rewards for answers that the model writes itself."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch

from textmill.checkpoint.tensors import as_torch
from textmill.model.llama import Llama
from textmill.train.precision import compute_dtype
from textmill.train.recipe_tables.tune import TuneTable
from textmill.train.trainer import Trainer
from textmill.tune.answer_log_p import answer_tokens
from textmill.tune.answer_source import AnswerSource, Drawing
from textmill.tune.base_model import BaseModel
from textmill.tune.graded_answers import GradedAnswer
from textmill.tune.grpo import GradedBatch, GrpoSettings, answers_loss
from textmill.tune.lora import LoraAdapters
from textmill.tune.order import numbers_of
from textmill.tune.questions import Question
from textmill.tune.rewards import Reward
from textmill.tune.rollouts import seed_of
from textmill.tune.tuned_objective import TunedObjective


class GrpoObjective(TunedObjective):
    """Prompts, and a reward for the answers to them.

    Args:
        base: the model that tuning begins from.
        questions: the prompts.
        reward: grades answers.
        held_out: prompts that the run is validated on.
        adapters: what is learned in the place of the weights, if not these.
    """

    def __init__(
        self,
        base: BaseModel,
        questions: Sequence[Question],
        reward: Reward,
        held_out: Sequence[Question] = (),
        adapters: LoraAdapters | None = None,
    ) -> None:
        super().__init__(base, adapters)
        self._questions, self._reward, self._held_out = questions, reward, held_out
        self._told: dict[str, float] = {}

    def begin(self, trainer: Trainer) -> None:
        """Get ready to draw answers; where the loss holds to the first model, and that is not the one that learns with
        its adapters lifted off, it is kept in memory.
        """
        run = trainer.run
        tune = run.recipe.tune
        assert tune is not None
        self._settings, drawing = _settings(tune), _drawing(trainer, tune)
        self._per_step, self._updates, self._seed = drawing.prompts_per_step, drawing.updates, drawing.seed
        self._num_answers = drawing.num_answers
        self._source = AnswerSource(
            self._questions,
            self._reward,
            (self._base.tokenizer, self._base.rules),
            drawing,
            run=run.folder,
            reference=self._reference(trainer) if tune.beta else None,
        )

    def _reference(self, trainer: Trainer) -> Callable[[], AbstractContextManager[Llama]]:
        if self.adapters is not None:
            return lambda: self.first_model(trainer)
        reference = self._base.llama().to(trainer.layout.device)
        return lambda: nullcontext(reference)

    def batch(self, trainer: Trainer, step: int) -> GradedBatch:
        """The answers of a data step, drawn from the model as it is."""
        answers = self._source.answers(step, trainer.model, lambda: _weights(trainer))
        self._told = what_is_told(answers, self._num_answers)
        return self._source.batch(step, answers, lambda count: count)

    def accumulate(self, trainer: Trainer, batch: GradedBatch, micro_rows: int) -> tuple[float, dict[str, float]]:
        """Add the gradient of the answers' loss.

        Tells ``reward`` and ``reward_deviation`` of the answers, ``same_rewards`` (the share of prompts whose answers
        are all worth the same, and teach nothing), ``answer_tokens`` (mean length), ``ended`` (the share that came to
        an end), and means over tokens: ``kl`` from the first model, ``clipped`` (the share that the clip holds back).
        """
        plan, tune = trainer.run.plan, trainer.run.recipe.tune
        assert tune is not None
        assert tune.temperature is not None
        total, sums = 0.0, {"kl": 0.0, "clipped": 0.0}
        for start in range(0, len(batch.inputs), micro_rows):
            rows = slice(start, start + micro_rows)
            tokens = answer_tokens(
                trainer.model,
                batch,
                rows,
                dtype=compute_dtype(plan.precision),
                remat=plan.remat,
                temperature=tune.temperature,
            )
            loss, told = answers_loss(tokens, batch, rows, self._settings)
            loss.backward()
            total += loss.item()
            sums = {name: value + told[name].item() for name, value in sums.items()}
        means = {name: value / batch.num_tokens for name, value in sums.items()}
        return total, {**self._told, **means, "num_tokens": batch.num_read}

    def scores(self, trainer: Trainer) -> dict[str, float]:
        """Of an answer to each held-out prompt, the same random numbers every time: mean ``reward``, and ``ended``."""
        if not self._held_out:
            return {}
        groups = self._source.drawn(
            self._held_out,
            [seed_of(self._seed, -1, place) for place in range(len(self._held_out))],
            trainer.model,
            _weights(trainer),
            num_answers=1,
        )
        answers = [group[0] for group in groups]
        rewards = self._source.rewards(self._held_out, answers)
        return {
            "reward": statistics.fmean(rewards),
            "ended": statistics.fmean(answer.has_ended for answer in answers),
        }

    def documents(self, step: int) -> Sequence[str]:
        """The prompts of a data step."""
        numbers = numbers_of(step // self._updates, len(self._questions), per_step=self._per_step, seed=self._seed)
        return [self._questions[number].where for number in numbers]


def _weights(trainer: Trainer) -> Mapping[str, torch.Tensor]:
    return {
        name: as_torch(tensor) if isinstance(tensor, np.ndarray) else tensor
        for name, tensor in trainer.whole_weights().items()
    }


def _settings(tune: TuneTable) -> GrpoSettings:
    assert tune.beta is not None
    assert tune.clip_low is not None
    assert tune.clip_high is not None
    assert tune.weighing is not None
    assert tune.max_tokens is not None
    return GrpoSettings(
        beta=tune.beta,
        clip_low=tune.clip_low,
        clip_high=tune.clip_high,
        unbiased_kl=bool(tune.unbiased_kl),
        weighing=tune.weighing,
        max_tokens=tune.max_tokens,
    )


def _drawing(trainer: Trainer, tune: TuneTable) -> Drawing:
    run, stage = trainer.run, trainer.run.plan.stages[0]
    assert tune.answers is not None
    assert tune.max_tokens is not None
    assert tune.temperature is not None
    assert tune.updates is not None
    return Drawing(
        prompts_per_step=run.recipe.batch.rows // tune.answers,
        num_answers=tune.answers,
        max_tokens=tune.max_tokens,
        temperature=tune.temperature,
        updates=tune.updates,
        scale="group" if tune.advantages == "scaled" else "none",
        context=stage.context,
        rows_at_once=stage.micro_rows,
        dtype=compute_dtype(run.plan.precision),
        threads=run.plan.threads,
        seed=run.recipe.run.seed,
    )


def what_is_told(answers: Sequence[GradedAnswer], num_answers: int) -> dict[str, float]:
    """What is told of the answers themselves, of which so many in turn are to one prompt."""
    rewards = [answer.reward for answer in answers]
    groups = [set(rewards[first : first + num_answers]) for first in range(0, len(rewards), num_answers)]
    return {
        "reward": statistics.fmean(rewards),
        "reward_deviation": statistics.pstdev(rewards),
        "same_rewards": sum(len(values) == 1 for values in groups) / len(groups),
        "answer_tokens": statistics.fmean(len(answer.ids) for answer in answers),
        "ended": statistics.fmean(answer.has_ended for answer in answers),
    }
