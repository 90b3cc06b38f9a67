"""Saving checkpoints while training goes on: the loop waits for a copy in memory, and a thread writes that to the disk.

    with CheckpointSaver(run_folder, keep=3, reserve_bytes=12 * num_parameters) as saver:
        for step in ...:
            saver.save(step, model=..., optimizer=..., state=...)      # returns when the copy is taken
            for result in saver.finished():                            # saves that ended since
                ...
        saver.save_last(step, model=..., optimizer=..., state=...)     # returns when it is on the disk

A disk that fills up costs a checkpoint, not the run: the older ones stay whole, and the result tells of it. Only the
last save of a run has to succeed.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from textmill.base.errors import ConfigError, StorageError
from textmill.checkpoint.snapshot import FileImage, Snapshot
from textmill.checkpoint.store import MODEL, OPTIMIZER, checkpoint_folder, prune, state_json, write_checkpoint

if TYPE_CHECKING:
    import torch

    Tensors = Mapping[str, torch.Tensor | np.ndarray]


@dataclass(frozen=True, kw_only=True, slots=True)
class SaveResult:
    """How a save went.

    Attributes:
        step: what was saved.
        folder: the checkpoint, whole; None where there is none, and ``error`` says why.
        pause_s: how long the caller was held up: for a save before it, and for the copy.
        total_s: from the call until the checkpoint was whole and those beyond ``keep`` removed.
        num_bytes: of its tensor files.
        error: the disk was full, or could not be written to.
        in_parts: the tensors lie as several processes wrote them: there was no room to gather them.
    """

    step: int
    folder: Path | None
    pause_s: float
    total_s: float
    num_bytes: int
    error: StorageError | None = None
    in_parts: bool = False


class CheckpointSaver:
    """Saves a run's checkpoints, one at a time, in a thread.

    At the end of its ``with`` block it waits for the save in flight, whatever ended the block.

    Args:
        run_folder: the run, ``runs/NAME``.
        keep: how many checkpoints stay.
        write_small_files: writes what makes a checkpoint a model into the folder it is given; called in the thread.
        reserve_bytes: what the tensors will take, set aside while the run starts, so that the first save pauses no
            longer than later ones.

    Raises:
        ConfigError: ``keep`` is less than 1.
    """

    def __init__(
        self,
        run_folder: Path,
        *,
        keep: int,
        write_small_files: Callable[[Path], None] | None = None,
        reserve_bytes: int = 0,
    ) -> None:
        if keep < 1:
            raise ConfigError(f"keep is {keep}, and must be at least 1: a run without a checkpoint cannot be resumed")
        self._run_folder = run_folder
        self._keep = keep
        self._write_small_files = write_small_files
        self._snapshot = Snapshot(reserve_bytes)
        self._in_flight: threading.Thread | None = None
        self._results: queue.SimpleQueue[SaveResult] = queue.SimpleQueue()
        self._last: SaveResult | None = None
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._join()
        self._snapshot = Snapshot()
        if kind is None:
            self._raise_failure()

    def save(self, step: int, *, model: Tensors, optimizer: Tensors, state: Mapping[str, Any]) -> None:
        """Begin to save a step; returns when the tensors may change again. Waits for the save before it.

        Args:
            step: optimizer steps taken so far.
            model: the model's tensors by Hugging Face name, on any device.
            optimizer: the optimizer's tensors, named as the trainer likes.
            state: anything else the run needs, as JSON.

        Raises:
            DataError: a tensor of a dtype that a checkpoint cannot hold.
            Exception: what went wrong in the save before, unless it was the disk.
        """
        begin = time.perf_counter()
        checkpoint_folder(self._run_folder, step)  # refuses a step that has no name
        self.wait()
        text = state_json(step, state)
        images = self._snapshot.take({MODEL: model, OPTIMIZER: optimizer})
        num_bytes = sum(image.num_bytes for image in images.values())
        self._start(step, lambda: self._write(step, images, text), begin=begin, num_bytes=num_bytes)

    def gather(self, step: int, *, begin: float, num_bytes: int) -> None:
        """Begin to gather a checkpoint that lies in parts; ``finished`` tells of it as of a save.

        Args:
            step: of the checkpoint.
            begin: when its save began, by ``time.perf_counter``; the pause ends now.
            num_bytes: of its tensors.
        """
        self.wait()
        self._start(step, lambda: self._gather(step), begin=begin, num_bytes=num_bytes)

    def note_failure(self, step: int, error: StorageError, *, begin: float) -> None:
        """Let ``finished`` tell of a save that failed before it came here."""
        taken_s = time.perf_counter() - begin
        self._last = SaveResult(step=step, folder=None, pause_s=taken_s, total_s=taken_s, num_bytes=0, error=error)
        self._results.put(self._last)

    def save_last(self, step: int, *, model: Tensors, optimizer: Tensors, state: Mapping[str, Any]) -> Path:
        """Save a step and wait until it is on the disk, unless it is there already; returns the checkpoint's folder.

        Raises:
            StorageError: the disk is full or may not be written to; earlier checkpoints stay as they are.
            Exception: as ``save`` does.
        """
        self.wait()
        if self._last is None or self._last.step != step or self._last.folder is None:
            self.save(step, model=model, optimizer=optimizer, state=state)
            self.wait()
        assert self._last is not None
        if self._last.folder is None:
            assert self._last.error is not None
            raise self._last.error
        return self._last.folder

    def forget(self) -> None:
        """Let ``save_last`` save a step again that was saved before: it is another state now."""
        self._last = None

    def wait(self) -> None:
        """Wait for the save in flight, if there is one; raises what went wrong in it, unless it was the disk."""
        self._join()
        self._raise_failure()

    def finished(self) -> list[SaveResult]:
        """List the saves that ended since this was last asked, in order; never waits."""
        results = []
        while True:
            try:
                results.append(self._results.get_nowait())
            except queue.Empty:
                return results

    def _join(self) -> None:
        if self._in_flight is not None:
            self._in_flight.join()
            self._in_flight = None

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _start(self, step: int, write: Callable[[], tuple[Path, bool]], *, begin: float, num_bytes: int) -> None:
        pause_s = time.perf_counter() - begin

        def work() -> None:
            folder, in_parts, problem = None, False, None
            try:
                folder, in_parts = write()
                prune(self._run_folder, self._keep)
            except StorageError as error:
                problem = error
            except BaseException as error:  # noqa: BLE001 - it is raised in the caller's thread
                self._failure = error
                return
            self._last = SaveResult(
                step=step,
                folder=folder,
                pause_s=pause_s,
                total_s=time.perf_counter() - begin,
                num_bytes=num_bytes,
                error=problem,
                in_parts=in_parts,
            )
            self._results.put(self._last)

        self._in_flight = threading.Thread(target=work, name=f"save-{step}", daemon=True)
        self._in_flight.start()

    def _write(self, step: int, images: dict[str, FileImage], state: str) -> tuple[Path, bool]:
        return write_checkpoint(self._run_folder, step, images, state, self._write_small_files), False

    def _gather(self, step: int) -> tuple[Path, bool]:
        from textmill.checkpoint.parts import gather_parts  # needs torch

        folder = checkpoint_folder(self._run_folder, step)
        try:
            gather_parts(folder)
        except StorageError:
            return folder, True  # what there is, is whole
        return folder, False
