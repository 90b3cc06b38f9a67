"""What a run learns by direct preference optimisation."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from textmill.train.objective import Adapters
from textmill.train.pipeline import Listener
from textmill.train.precision import compute_dtype
from textmill.train.trainer import Trainer
from textmill.tune.answer_log_p import answer_tokens
from textmill.tune.base_model import BaseModel
from textmill.tune.dpo import DpoSettings, pairs_loss
from textmill.tune.pair_source import PairBatch, PairSource
from textmill.tune.preference_tokens import Pair
from textmill.tune.reference_log_p import reference_log_p

_EVERY_S = 5.0


class DpoObjective:
    """Pairs of answers, and what the model that tuning began from makes of them.

    Args:
        base: that model.
        pairs: all of them.
        listener: told what takes a while.
        adapters: what is learned in the place of the weights, if not these.
    """

    def __init__(
        self, base: BaseModel, pairs: Sequence[Pair], listener: Listener, adapters: Adapters | None = None
    ) -> None:
        self.tokenizer = base.tokenizer
        self.small_files = base.small_files
        self.adapters = adapters
        self._base, self._pairs, self._listener = base, pairs, listener

    def first_weights(self) -> Mapping[str, NDArray[Any]]:
        """Those of the model that tuning begins from."""
        return self._base.weights()

    def begin(self, trainer: Trainer) -> None:
        """Compute log-probabilities under the first model, where they are not kept with the run."""
        run = trainer.run
        tune = run.recipe.tune
        assert tune is not None
        reference = reference_log_p(
            run.folder,
            self._base.llama().to(trainer.layout.device),
            self._pairs,
            dtype=compute_dtype(run.plan.precision),
            rows_at_once=run.plan.stages[0].micro_rows,
            progress=_Progress(self._listener),
        )
        self._source = PairSource(
            self._pairs, reference, pairs_per_step=run.recipe.batch.rows, seed=run.recipe.run.seed
        )
        assert tune.beta is not None
        self._settings = DpoSettings(
            beta=tune.beta,
            label_smoothing=tune.label_smoothing or 0.0,
            length_normalized=bool(tune.length_normalized),
        )

    def batch(self, trainer: Trainer, step: int) -> PairBatch:
        """The pairs of a data step."""
        return self._source.batch(step)

    def accumulate(self, trainer: Trainer, batch: PairBatch, micro_rows: int) -> tuple[float, dict[str, float]]:
        """Add the gradient of the pairs' mean loss; tells means over pairs, by name as ``pairs_loss`` does."""
        assert batch.reference is not None
        plan, num_pairs = trainer.run.plan, len(batch.reference)
        sums = {"loss": 0.0}
        for start in range(0, len(batch.inputs), micro_rows):
            tokens = answer_tokens(
                trainer.model,
                batch,
                slice(start, start + micro_rows),
                dtype=compute_dtype(plan.precision),
                remat=plan.remat,
            )
            loss, told = pairs_loss(tokens, batch, self._settings)
            (loss / num_pairs).backward()
            for name, value in {"loss": loss.detach(), **told}.items():
                sums[name] = sums.get(name, 0.0) + value.item()
        means = {name: value / num_pairs for name, value in sums.items()}
        return means.pop("loss"), {**means, "num_tokens": batch.num_read}

    def documents(self, step: int) -> Sequence[str]:
        """The pairs of a data step."""
        return [self._pairs[number].where for number in self._source.numbers(step)]


class _Progress:
    """Says every few seconds how far the reference is, and nothing where it takes no longer."""

    def __init__(self, listener: Listener) -> None:
        self._listener, self._said_s = listener, time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now_s = time.monotonic()
        if now_s - self._said_s >= _EVERY_S:
            self._said_s = now_s
            self._listener.say(f"log-probabilities under the first model: {done:,} of {total:,} pairs")
