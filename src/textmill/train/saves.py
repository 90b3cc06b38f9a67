"""Checkpoints of a run's loop: begun while it goes on, told to the log once they are whole."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from textmill.checkpoint.async_saver import CheckpointSaver
from textmill.checkpoint.huggingface import write_small_files
from textmill.train.beginning import Tell, checkpoint_bytes
from textmill.train.trainer import Trainer

# A file names each tensor with its shape and place; weight and two moments of one take less than this.
_HEADER_BYTES = 2048


class Saves:
    """Saves a trainer's state; at the end of its ``with`` block the save in flight is waited for."""

    def __init__(self, trainer: Trainer, tell: Tell) -> None:
        self._trainer, self._tell = trainer, tell
        self._saver = CheckpointSaver(
            trainer.run.folder,
            keep=trainer.run.recipe.checkpoint.keep,
            write_small_files=self._write_small_files,
            reserve_bytes=checkpoint_bytes(trainer.run) + _HEADER_BYTES * len(trainer.model.state_dict()),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._saver.__exit__(kind, error, trace)

    def save(self, *, wait: bool = False) -> None:
        """Begin to save: returns once the tensors are copied, or with ``wait`` once they are on the disk.

        Raises:
            StorageError: the disk is full, and it was waited for.
        """
        trainer = self._trainer
        self._saver.wait()  # its thread asks for the stage
        self._stage = trainer.run.plan.stage_of(trainer.step - 1)
        save = self._saver.save_last if wait else self._saver.save
        save(
            trainer.step,
            model=trainer.model.state_dict(),
            optimizer=trainer.optimizers.state_tensors(),
            state=trainer.state(),
        )

    def wait(self) -> None:
        """Wait for the save in flight: what is on the disk is looked at."""
        self._saver.wait()

    def leave_way(self) -> None:
        """After a rewind behind checkpoints: save where the run stands, then remove those of the way that is left."""
        self._saver.forget()
        self.save(wait=True)
        self.tell()
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
                )

    def _write_small_files(self, folder: Path) -> None:
        trainer = self._trainer
        write_small_files(folder, trainer.run.plan.model_in(self._stage), trainer.tokenizer, add_bos_token=True)
