"""How a run is looked at while it goes on: held-out text scored, a prompt continued; neither changes the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch

from textmill.base.errors import TextmillError
from textmill.checkpoint.tensors import as_numpy
from textmill.model.config import ModelConfig
from textmill.tokenizer.end_of_text import end_of_text
from textmill.tokenizer.tokenizer import Tokenizer
from textmill.train.beginning import Tell
from textmill.train.compiled import as_written
from textmill.train.plan import TrainStage
from textmill.train.trainer import Trainer
from textmill.train.validation import MOST_ROWS, bits_per_byte, first_words, sample_held_out

# Continues a prompt with a model of these sizes and tensors by so many tokens.
Sampler = Callable[[ModelConfig, Mapping[str, np.ndarray], Tokenizer, str, int], str]


class Looks:
    """Looks at a trainer's model, on the same stretches of held-out text each time."""

    def __init__(self, trainer: Trainer, tell: Tell, sampler: Sampler | None) -> None:
        self._trainer, self._tell, self._sampler = trainer, tell, sampler
        self._held_out = sample_held_out(trainer.held_out, trainer.tokenizer, trainer.run.recipe.eval.max_tokens)

    def look(self, stage: TrainStage) -> None:
        """Score and sample; nothing where nothing is held out. All ranks have to ask."""
        with as_written(self._trainer.model):
            self._look(stage)

    def _look(self, stage: TrainStage) -> None:
        if self._trainer.objective is not None:
            scores = self._trainer.objective.scores(self._trainer)
            if scores:
                self._tell("eval", self._trainer.step, held_out=dict(scores))
            return
        if not self._held_out:
            return
        trainer = self._trainer
        with trainer.layout.read() as model:
            if model is not None:
                scores = bits_per_byte(
                    model,
                    self._held_out,
                    first_id=end_of_text(trainer.tokenizer),
                    context=stage.context,
                    precision=trainer.run.plan.precision,
                    rows=min(MOST_ROWS, stage.micro_rows),  # which takes less than to train on them
                )
                self._tell("eval", trainer.step, bits_per_byte=scores.of, intervals=scores.intervals)
        if trainer.run.recipe.eval.sample_tokens:
            tensors = trainer.layout.gathered()
            if tensors is not None and self._sampler is not None:
                self._sample(self._sampler, tensors, stage)

    def _sample(self, sampler: Sampler, tensors: Mapping[str, torch.Tensor], stage: TrainStage) -> None:
        trainer, table = self._trainer, self._trainer.run.recipe.eval
        prompt = table.prompt or first_words(self._held_out, trainer.tokenizer)
        arrays = {name: as_numpy(tensor) for name, tensor in tensors.items()}
        try:
            text = sampler(trainer.run.plan.model_in(stage), arrays, trainer.tokenizer, prompt, table.sample_tokens)
        except (TextmillError, OSError) as error:  # a run is not worth less than a look at it
            self._tell("sample_failed", trainer.step, error=str(error))
            return
        self._tell("sample", trainer.step, prompt=prompt, text=text)
