"""Checkpoints of a run's loop: begun while it goes on, told to the log once they are whole.

Where each rank has the whole model the first one saves, beside training. Where ranks hold parts each writes its own,
training waits for that, and the first rank gathers them beside what comes next.
"""

from __future__ import annotations

import itertools
import math
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from textmill.base.errors import StorageError
from textmill.checkpoint.async_saver import CheckpointSaver
from textmill.checkpoint.huggingface import write_small_files
from textmill.checkpoint.snapshot import Snapshot
from textmill.checkpoint.store import state_json
from textmill.train.beginning import Tell, checkpoint_bytes
from textmill.train.trainer import Trainer

# A file names each tensor with its shape and place; weight and two moments of one take less than this.
_HEADER_BYTES = 2048


class Saves:
    """Saves a trainer's state, for every rank; at the end of its ``with`` block the save in flight is waited for."""

    def __init__(self, trainer: Trainer, tell: Tell) -> None:
        self._trainer, self._tell = trainer, tell
        self._in_parts = trainer.layout.has_parts
        self._is_first = trainer.layout.ranks.is_first
        self._parts = Snapshot()
        self._last_parts = -1
        whole_bytes = checkpoint_bytes(trainer.run) + _HEADER_BYTES * len(trainer.tensors())
        self._saver = CheckpointSaver(
            trainer.run.folder,
            keep=trainer.run.recipe.checkpoint.keep,
            write_small_files=self._write_small_files,
            reserve_bytes=whole_bytes if self._is_first and not self._in_parts else 0,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._saver.__exit__(kind, error, trace)

    def save(self, *, wait: bool = False) -> None:
        """Begin to save: returns once tensors are copied, or parts written; with ``wait`` once all is on the disk.

        Raises:
            StorageError: the disk is full, and it was waited for.
        """
        if not (self._is_first or self._in_parts):
            return
        trainer = self._trainer
        self._saver.wait()  # its thread asks for the stage
        self.tell()  # what ended before is told even where this one fails
        self._stage = trainer.run.plan.stage_of(trainer.step - 1)
        if self._in_parts:
            self._save_parts(wait=wait)
            return
        save = self._saver.save_last if wait else self._saver.save
        save(
            trainer.step,
            model=trainer.tensors(),
            optimizer=trainer.optimizers.state_tensors(),
            state=trainer.state(),
        )

    def wait(self) -> None:
        """Wait for the save in flight: what is on the disk is looked at."""
        self._saver.wait()

    def leave_way(self) -> None:
        """After a rewind behind checkpoints: save where the run stands, then remove those of the way that is left."""
        self._saver.forget()
        self._last_parts = -1
        self.save(wait=True)
        self.tell()
        if self._is_first:
            self._trainer.remove_outdated()

    def tell(self) -> None:
        """Log the saves that ended since."""
        for result in self._saver.finished():
            if result.error is not None:
                self._tell("save_failed", result.step, error=str(result.error))
            else:
                self._tell(
                    "checkpoint",
                    result.step,
                    pause_s=result.pause_s,
                    time_s=result.total_s,
                    num_bytes=result.num_bytes,
                    **({"in_parts": True} if result.in_parts else {}),
                )

    def _save_parts(self, *, wait: bool) -> None:
        from textmill.checkpoint.parts import save_parts  # torch's distributed checkpoints take time to import

        trainer, layout, begin = self._trainer, self._trainer.layout, time.perf_counter()
        if wait and self._last_parts == trainer.step:
            return
        state = trainer.optimizers.state_tensors()
        named = {name: leaf.detach() for name, leaf in layout.named_parameters()}
        try:
            with layout.ranks.watched():
                save_parts(
                    trainer.run.folder,
                    trainer.step,
                    model={name: layout.spread(name, leaf) for name, leaf in named.items()},
                    optimizer={
                        name: layout.spread(name.rpartition("/")[0], part) if part.ndim else part
                        for name, part in state.items()
                    },
                    state=state_json(trainer.step, trainer.state()),
                    is_first=self._is_first,
                    tell_all=layout.ranks.tell_all,
                    snapshot=self._parts,
                    write_small_files=self._write_small_files,
                )
        except StorageError as error:
            if wait:
                raise
            if self._is_first:
                self._saver.note_failure(trainer.step, error, begin=begin)
            return
        self._last_parts = trainer.step
        if self._is_first:
            sizes = trainer.optimizers.state_shapes().values(), map(layout.shape_of, named)
            num_bytes = 4 * sum(math.prod(shape) for shape in itertools.chain(*sizes))  # all in f32
            self._saver.gather(trainer.step, begin=begin, num_bytes=num_bytes)
            if wait:
                self._saver.wait()

    def _write_small_files(self, folder: Path) -> None:
        trainer = self._trainer
        if trainer.adapters is not None:
            trainer.adapters.write_small_files(folder)
            return
        write_small_files(folder, trainer.run.plan.model_in(self._stage), trainer.tokenizer, **trainer.small_files)
