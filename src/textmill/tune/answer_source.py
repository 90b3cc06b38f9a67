"""The answers of a step: prompts are chosen, the model as it is answers them, the reward grades what it wrote.

All of it is a pure function of the weights, the prompts, the seed and the step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from textmill.base.errors import DataError
from textmill.checkpoint.text_rules import TextRules
from textmill.model.llama import Llama
from textmill.tune.answer_log_p import answer_tokens
from textmill.tune.answer_rows import AnswerBatch, AnsweredPrompt, pack
from textmill.tune.graded_answers import GradedAnswer, path_of, read_answers, write_answers
from textmill.tune.grpo import GradedBatch
from textmill.tune.grpo_loss import Scale, group_advantages
from textmill.tune.order import numbers_of
from textmill.tune.questions import Question
from textmill.tune.rewards import Reward
from textmill.tune.rollouts import Rollout, draw, open_weights, seed_of

if TYPE_CHECKING:
    from textmill.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawing:
    """How answers are drawn and graded.

    Attributes:
        prompts_per_step: over all ranks.
        num_answers: to each prompt.
        max_tokens: of an answer.
        temperature: above 0.
        updates: steps that learn from the same answers.
        scale: of advantages; see ``group_advantages``.
        context: tokens of prompt and answer, and of a row.
        rows_at_once: rows that go through the model together.
        dtype: of activations and products.
        threads: of the CPU.
        seed: the run's.
    """

    prompts_per_step: int
    num_answers: int
    max_tokens: int
    temperature: float
    updates: int
    scale: Scale
    context: int
    rows_at_once: int
    dtype: torch.dtype
    threads: int | None
    seed: int


class AnswerSource:
    """Makes the batch of a step from the model as it is before that step.

    Args:
        questions: the prompts.
        reward: grades answers.
        tokenizer: the model's, and how its texts end.
        drawing: how it is done.
        run: the folder that answers are kept in.
        reference: opens the model that tuning began from; None where it does not count.
    """

    def __init__(
        self,
        questions: Sequence[Question],
        reward: Reward,
        tokenizer: tuple[Tokenizer, TextRules],
        drawing: Drawing,
        *,
        run: Path,
        reference: Callable[[], AbstractContextManager[Llama]] | None = None,
    ) -> None:
        self._questions, self._reward = questions, reward
        self._tokenizer, self._rules = tokenizer
        self._drawing, self._run, self._reference = drawing, run, reference
        self._kept: tuple[int, list[GradedAnswer]] | None = None

    def answers(
        self, step: int, model: Llama, weights: Callable[[], Mapping[str, torch.Tensor]], rank: int = 0, size: int = 1
    ) -> list[GradedAnswer]:
        """The answers that a step learns from: written now, or before an earlier step and kept.

        Args:
            step: counted from 0.
            model: as it is; its log-probabilities are kept where later steps learn from the same answers.
            weights: gives its weights by Hugging Face's names, adapters merged.
            rank, size: which of the prompts are this rank's.

        Raises:
            DataError: the reward fails, or answers that were kept are not there any more.
        """
        first = step - step % self._drawing.updates
        if step == first:
            self._kept = (first, self._written(first, model, weights(), rank, size))
        elif self._kept is None or self._kept[0] != first:
            self._kept = (first, read_answers(path_of(self._run, first, rank)))
        return self._kept[1]

    def batch(self, step: int, answers: Sequence[GradedAnswer], sum_count: Callable[[int], int]) -> GradedBatch:
        """Lay the answers of a step out in rows; ``sum_count`` adds up a count over ranks."""
        drawing = self._drawing
        rows = self._rows(answers)
        is_first = step % drawing.updates == 0
        reference_log_p = None
        if self._reference is not None:
            with self._reference() as reference:
                reference_log_p = self._log_p(reference, rows)
        return GradedBatch(
            **rows.parts(),
            advantages=np.array([answer.advantage for answer in answers]),
            num_answers=sum_count(len(answers)),
            num_tokens=sum_count(sum(len(answer.ids) for answer in answers)),
            old_log_p=None if is_first else _laid_out(rows, [answer.log_p for answer in answers]),
            reference_log_p=reference_log_p,
        )

    def drawn(
        self,
        questions: Sequence[Question],
        seeds: Sequence[int],
        model: Llama,
        weights: Mapping[str, torch.Tensor],
        *,
        num_answers: int,
    ) -> list[list[Rollout]]:
        """Draw answers to each of some prompts, by seeds of their own, from a model as it is."""
        drawing = self._drawing
        engine = open_weights(
            model.config,
            weights,
            self._tokenizer,
            self._rules,
            device=model.head_weight.device.type,
            context=drawing.context,
            num_answers=num_answers * len(questions),
            threads=drawing.threads,
        )
        return draw(
            engine,
            [question.ids for question in questions],
            seeds,
            num_answers=num_answers,
            max_tokens=drawing.max_tokens,
            temperature=drawing.temperature,
        )

    def rewards(self, questions: Sequence[Question], answers: Sequence[Rollout]) -> list[float]:
        """Grade an answer to each of some prompts."""
        return [
            self._reward(question.prompt, answer.text, question.record, question.where)
            for question, answer in zip(questions, answers, strict=True)
        ]

    def _written(
        self, step: int, model: Llama, weights: Mapping[str, torch.Tensor], rank: int, size: int
    ) -> list[GradedAnswer]:
        drawing = self._drawing
        places = range(rank, drawing.prompts_per_step, size)
        numbers = numbers_of(
            step // drawing.updates, len(self._questions), per_step=drawing.prompts_per_step, seed=drawing.seed
        )[rank::size].tolist()
        questions = [self._questions[number] for number in numbers]
        seeds = [seed_of(drawing.seed, step, place) for place in places]
        groups = self.drawn(questions, seeds, model, weights, num_answers=drawing.num_answers)
        answers = []
        for number, question, group in zip(numbers, questions, groups, strict=True):
            rewards = self.rewards([question] * len(group), group)
            advantages = group_advantages(torch.tensor([rewards], dtype=torch.float64), drawing.scale)[0].tolist()
            answers += [
                GradedAnswer(
                    where=question.where,
                    question=number,
                    answer=one.text,
                    reward=reward,
                    advantage=advantage,
                    has_ended=one.has_ended,
                    ids=one.ids,
                )
                for one, reward, advantage in zip(group, rewards, advantages, strict=True)
            ]
        if drawing.updates > 1:
            answers = self._with_log_p(answers, model)
        write_answers(path_of(self._run, step, rank), answers)
        return answers

    def _with_log_p(self, answers: Sequence[GradedAnswer], model: Llama) -> list[GradedAnswer]:
        rows = self._rows(answers)
        log_p = self._log_p(model, rows)
        kept = []
        for number, answer in enumerate(answers):
            values = log_p[rows.owners == number].tolist()
            kept.append(GradedAnswer(**{name: getattr(answer, name) for name in _FIELDS}, log_p=tuple(values)))
        return kept

    def _rows(self, answers: Sequence[GradedAnswer]) -> AnswerBatch:
        texts = [AnsweredPrompt(self._ids_of(answer), answer.ids) for answer in answers]
        return pack([[text] for text in texts], context=self._drawing.context)

    def _ids_of(self, answer: GradedAnswer) -> tuple[int, ...]:
        if not 0 <= answer.question < len(self._questions):
            raise DataError(
                f"an answer that was kept is to prompt {answer.question}, and there are {len(self._questions)}"
            )
        return self._questions[answer.question].ids

    def _log_p(self, model: Llama, rows: AnswerBatch) -> NDArray[np.float32]:
        """Log-probabilities of the rows' targets under a model, float32[R, T]."""
        drawing = self._drawing
        found = np.zeros(rows.inputs.shape, np.float32)
        with torch.no_grad():
            for start in range(0, len(rows.inputs), drawing.rows_at_once):
                some = slice(start, start + drawing.rows_at_once)
                tokens = answer_tokens(model, rows, some, dtype=drawing.dtype, temperature=drawing.temperature)
                found[some][rows.loss_mask[some]] = tokens.log_p.float().cpu().numpy()
        return found


_FIELDS = ("where", "question", "answer", "reward", "advantage", "has_ended", "ids")


def _laid_out(rows: AnswerBatch, log_p: Sequence[Sequence[float]]) -> NDArray[np.float32]:
    """Values of answers' tokens where the rows have them, float32[R, T]."""
    found = np.zeros(rows.inputs.shape, np.float32)
    for number, values in enumerate(log_p):
        found[rows.owners == number] = values
    return found
