"""A run of several stages: each with its own mixture, context and packing, none beginning its sources anew.

Steps of training count from 0 and never jump. A step takes the next data step that is not to be skipped, so skipping
data moves no learning rate, and it is known of any step, afterwards too, which data it saw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from textmill.base.errors import ConfigError
from textmill.data.fill_in_the_middle import FillInTheMiddle
from textmill.data.loader import Batch, BatchLoader, Packing
from textmill.data.row_records import RowRecord, describe
from textmill.data.shards import ShardSet


@dataclass(frozen=True, kw_only=True, slots=True)
class DataStage:
    """A stretch of a run.

    Attributes:
        num_steps: steps of training.
        mixture: a weight for each source.
        rows: rows in a batch.
        context: tokens in a row.
        packing, document_masks, fill_in_the_middle: as ``BatchLoader`` takes them.
    """

    num_steps: int
    mixture: Mapping[str, float]
    rows: int
    context: int
    packing: Packing = "concat"
    document_masks: bool = False
    fill_in_the_middle: FillInTheMiddle | None = None


@dataclass(frozen=True, slots=True)
class SkippedSteps:
    """Data steps that no step of training sees.

    Attributes:
        ranges: (first, end) of each stretch, the end not in it; they may overlap and stand in any order.
    """

    ranges: Sequence[tuple[int, int]] = ()
    _joined: tuple[tuple[int, int], ...] = field(init=False)

    def __post_init__(self) -> None:
        joined: list[tuple[int, int]] = []
        for first, end in sorted(self.ranges):
            if not 0 <= first < end:
                raise ConfigError(f"skip_steps has {first}:{end}; a stretch begins at 0 or later, and ends behind that")
            if joined and first <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
            else:
                joined.append((first, end))
        object.__setattr__(self, "_joined", tuple(joined))

    def data_step(self, step: int) -> int:
        """Find the data step that a step of training sees: the ``step``-th, from 0, of those not skipped."""
        for first, end in self._joined:
            if step < first:
                break
            step += end - first
        return step


@dataclass(frozen=True, slots=True)
class _Progress:
    """How far a source has come: so many of rows of which an epoch has so many, for one context and packing."""

    rows: int
    rows_per_epoch: int
    kind: tuple[object, ...]

    def in_rows_of(self, rows_per_epoch: int, kind: tuple[object, ...]) -> int:
        """Say it in rows of another kind: exactly where it is the same, and else the same share of the epoch."""
        if kind == self.kind:
            return self.rows
        epoch, within = divmod(self.rows, self.rows_per_epoch)
        return epoch * rows_per_epoch + within * rows_per_epoch // self.rows_per_epoch


class StagedLoader:
    """Makes the batch of any step of a run of several stages.

    Args:
        shards: a shard set for each source.
        stages: in the order they come.
        seed: chooses the order of rows.
        skip_steps: (first, end) of data steps that are passed over.
        cache: a folder for packing tables of sets whose own cannot be written.

    A source goes on in a stage where it left off in those before. Where context or packing change, its rows are others,
    and it goes on at the same share of its epoch.
    """

    def __init__(
        self,
        shards: Mapping[str, ShardSet],
        stages: Sequence[DataStage],
        *,
        seed: int,
        skip_steps: Sequence[tuple[int, int]] = (),
        cache: Path | None = None,
    ) -> None:
        if not stages:
            raise ConfigError("a run has at least one stage")
        self.skipped = SkippedSteps(tuple(skip_steps))
        self._loaders: list[BatchLoader] = []
        self._last_steps: list[int] = []
        self._first_data_steps: list[int] = []
        progress: dict[str, _Progress] = {}
        num_steps = data_step = 0
        for stage in stages:
            loader = _make_loader(shards, stage, progress, seed, cache)
            self._loaders.append(loader)
            self._first_data_steps.append(data_step)
            num_steps += stage.num_steps
            self._last_steps.append(num_steps - 1)
            end = self.skipped.data_step(num_steps - 1) + 1
            _advance(progress, loader, stage, (end - data_step) * stage.rows)
            data_step = end

    @property
    def num_steps(self) -> int:
        """Steps of training in all stages."""
        return self._last_steps[-1] + 1

    def find(self, step: int) -> tuple[int, int]:
        """Tell the stage of a step of training, and which of that stage's data steps it sees, both from 0."""
        for stage, last in enumerate(self._last_steps):
            if step <= last:
                return stage, self.skipped.data_step(step) - self._first_data_steps[stage]
        raise ConfigError(f"the run has {self.num_steps} steps, counted from 0, and no step {step}")

    def batch(self, step: int, rank: int = 0, world_size: int = 1) -> Batch:
        """Make the batch of a step, or a rank's rows of it; see ``BatchLoader.batch``."""
        stage, data_step = self.find(step)
        return self._loaders[stage].batch(data_step, rank, world_size)

    def describe(self, step: int) -> list[RowRecord]:
        """Tell what the batch of a step is made of."""
        stage, data_step = self.find(step)
        return describe(self._loaders[stage], data_step)


def _kind(stage: DataStage) -> tuple[object, ...]:
    rate = 0 if stage.fill_in_the_middle is None else stage.fill_in_the_middle.rate
    return stage.context, stage.packing, rate


def _make_loader(
    shards: Mapping[str, ShardSet], stage: DataStage, progress: Mapping[str, _Progress], seed: int, cache: Path | None
) -> BatchLoader:
    if stage.num_steps < 1:
        raise ConfigError(f"a stage has {stage.num_steps} steps, and must have 1 or more")
    loader = BatchLoader(
        shards,
        stage.mixture,
        rows=stage.rows,
        context=stage.context,
        seed=seed,
        packing=stage.packing,
        document_masks=stage.document_masks,
        fill_in_the_middle=stage.fill_in_the_middle,
        cache=cache,
    )
    rows_per_epoch = loader.rows_per_epoch
    loader.start_at(
        {
            name: progress[name].in_rows_of(rows_per_epoch[name], _kind(stage))
            for name in loader.mixture.names
            if name in progress
        }
    )
    return loader


def _advance(progress: dict[str, _Progress], loader: BatchLoader, stage: DataStage, num_rows: int) -> None:
    for name, count in loader.mixture.counts(num_rows).items():
        progress[name] = _Progress(loader.starts[name] + count, loader.rows_per_epoch[name], _kind(stage))
