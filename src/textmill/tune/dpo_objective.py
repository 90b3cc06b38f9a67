"""What a run learns by direct preference optimisation."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from textmill.train.pipeline import Listener
from textmill.train.precision import compute_dtype
from textmill.train.trainer import Trainer
from textmill.tune.answer_log_p import answer_tokens
from textmill.tune.base_model import BaseModel
from textmill.tune.dpo import DpoSettings, pairs_loss
from textmill.tune.lora import LoraAdapters
from textmill.tune.pair_source import PairBatch, PairSource
from textmill.tune.preference_tokens import Pair
from textmill.tune.reference_log_p import reference_log_p
from textmill.tune.tuned_objective import TunedObjective

_EVERY_S = 5.0


class DpoObjective(TunedObjective):
    """Pairs of answers, and what the model that tuning began from makes of them.

    Args:
        base: that model.
        pairs: all of them.
        listener: told what takes a while.
        held_out: pairs that the run is validated on.
        adapters: what is learned in the place of the weights, if not these.
    """

    def __init__(
        self,
        base: BaseModel,
        pairs: Sequence[Pair],
        listener: Listener,
        held_out: Sequence[Pair] = (),
        adapters: LoraAdapters | None = None,
    ) -> None:
        super().__init__(base, adapters)
        self._pairs, self._listener, self._held_out = pairs, listener, held_out

    def begin(self, trainer: Trainer) -> None:
        """Compute log-probabilities under the first model, where they are not kept with the run."""
        tune = trainer.run.recipe.tune
        assert tune is not None
        assert tune.beta is not None
        self._source = self._source_of(trainer, self._pairs, trainer.run.recipe.batch.rows)
        self._held_out_source = (
            self._source_of(trainer, self._held_out, len(self._held_out)) if self._held_out else None
        )
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
        means = self._means(trainer, batch, micro_rows)
        return means.pop("loss"), {**means, "num_tokens": batch.num_read}

    def scores(self, trainer: Trainer) -> dict[str, float]:
        """Of held-out pairs: means of ``loss``, ``accuracy`` and ``reward_margin``."""
        if self._held_out_source is None:
            return {}
        with torch.no_grad():
            means = self._means(trainer, self._held_out_source.batch(0), trainer.run.plan.stages[0].micro_rows)
        return {name: means[name] for name in ("loss", "accuracy", "reward_margin")}

    def _means(self, trainer: Trainer, batch: PairBatch, micro_rows: int) -> dict[str, float]:
        """Means over the pairs of a batch; their loss's gradient is added where gradients are made."""
        assert batch.reference is not None
        plan, num_pairs = trainer.run.plan, len(batch.reference)
        sums: dict[str, float] = {}
        for start in range(0, len(batch.inputs), micro_rows):
            tokens = answer_tokens(
                trainer.model,
                batch,
                slice(start, start + micro_rows),
                dtype=compute_dtype(plan.precision),
                remat=plan.remat,
            )
            loss, told = pairs_loss(tokens, batch, self._settings)
            if loss.requires_grad:
                (loss / num_pairs).backward()
            for name, value in {"loss": loss.detach(), **told}.items():
                sums[name] = sums.get(name, 0.0) + value.item()
        return {name: value / num_pairs for name, value in sums.items()}

    def _source_of(self, trainer: Trainer, pairs: Sequence[Pair], pairs_per_step: int) -> PairSource:
        run = trainer.run
        reference = reference_log_p(
            run.folder,
            lambda: self.first_model(trainer),
            pairs,
            weights=self._base.fingerprint["values_sha256"],
            dtype=compute_dtype(run.plan.precision),
            rows_at_once=run.plan.stages[0].micro_rows,
            progress=_Progress(self._listener),
        )
        return PairSource(pairs, reference, pairs_per_step=pairs_per_step, seed=run.recipe.run.seed)

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
