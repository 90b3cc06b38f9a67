"""Batches that are no good, whatever way a run takes to them."""

import numpy as np

from textmill.train import loop


def poisoned(gradient, steps, change):
    """A ``_Loop._gradient`` that spoils what the model is given of some data steps."""

    def spoilt(self, batch):
        data_step = self.trainer.loader.skipped.data_step(self.trainer.step)
        if data_step in steps:
            batch = change(batch, self)
        return gradient(self, batch)

    return spoilt


def poison(monkeypatch, steps, change):
    """Spoil data steps for the rest of a test."""
    monkeypatch.setattr(loop._Loop, "_gradient", poisoned(loop._Loop._gradient, steps, change))


def foreign_targets(batch, _):
    """The same token again and again, where the model is sure of others."""
    targets = np.full_like(batch.targets, 299)
    return type(batch)(batch.inputs, targets, batch.sources, batch.positions, batch.segments)


def random_bytes(batch, running):
    """Bytes that nobody could foresee, other ones in each data step."""
    data_step = running.trainer.loader.skipped.data_step(running.trainer.step)
    ids = np.random.default_rng(data_step).integers(0, 256, (2, *batch.inputs.shape))
    return type(batch)(ids[0], ids[1], batch.sources, batch.positions, batch.segments)
