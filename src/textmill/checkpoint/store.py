"""A run's checkpoints: each step a folder that is whole or absent, checked by its hashes.

    runs/NAME/checkpoints/step-00000123/
    ├── model.safetensors, optimizer.safetensors     tensors
    ├── state.json                                   what else the run needs to go on
    ├── config.json, tokenizer.json, ...             the model folder's small files, so that a checkpoint is a model
    └── sha256.json                                  hash of every other file

What several processes wrote has files of parts instead of the two of tensors, until they are gathered (``parts``).
A save that was killed leaves a hidden folder, which nothing reads and the next save removes. One process saves into
a run at a time; any number may read.
"""

from __future__ import annotations

import dataclasses
import math
import re
import shutil
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from textmill.base import safetensors
from textmill.base.errors import ConfigError, DataError
from textmill.base.failpoints import failpoint
from textmill.base.files import new_folder, sha256_file, storage_errors, sync_folder, write_file
from textmill.checkpoint.image_file import write_image
from textmill.checkpoint.json_files import read_json, to_json
from textmill.checkpoint.snapshot import FileImage, Snapshot

if TYPE_CHECKING:
    import torch

    Tensors = Mapping[str, torch.Tensor | np.ndarray]

MODEL = "model.safetensors"
OPTIMIZER = "optimizer.safetensors"
STATE = "state.json"
HASHES = "sha256.json"
PARTS = "parts.json"
PART_DTYPES: dict[str, np.dtype[Any]] = {
    "float32": np.dtype(np.float32),
    "float64": np.dtype(np.float64),
    "bfloat16": safetensors.BFLOAT16,
}
_FIX = ". Copy the checkpoint again, or remove its folder to go on from the one before it"
_STEP_NAME = re.compile(r"step-(\d{8,12})")
_LEFT_OVER = re.compile(r"\.(step-\d{8,12})\.[0-9a-f]{8}\.(tmp|old)")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """A run at one step: arrays that stay on the disk until they are touched, and the state as it was given.

    Where it lies in parts, the arrays have the dtypes and shapes of its tensors and hold zeros: ``parts.restore_parts``
    reads them.
    """

    folder: Path
    step: int
    model: dict[str, np.ndarray]
    optimizer: dict[str, np.ndarray]
    state: dict[str, Any]

    @property
    def is_in_parts(self) -> bool:
        """Whether its tensors lie as several processes wrote them."""
        return lies_in_parts(self.folder)


class CutTensor(NamedTuple):
    """A tensor that lies in parts: its dtype's name, its shape, and offset, shape and file of each part."""

    dtype: str
    shape: tuple[int, ...]
    chunks: list[tuple[tuple[int, ...], tuple[int, ...], str]]


def save_checkpoint(
    run_folder: Path,
    step: int,
    *,
    model: Tensors,
    optimizer: Tensors,
    state: Mapping[str, Any],
    write_small_files: Callable[[Path], None] | None = None,
) -> Path:
    """Save a run at ``step`` and wait for it; ``CheckpointSaver`` does the same beside training.

    A checkpoint of the same step that is there already is replaced at the last moment.

    Args:
        run_folder: the run, ``runs/NAME``; made where it is missing.
        step: optimizer steps taken so far.
        model: the model's tensors by Hugging Face name.
        optimizer: the optimizer's tensors, named as the trainer likes.
        state: anything else the run needs, as JSON.
        write_small_files: writes what makes the folder a model (config, tokenizer) into the folder it is given.

    Returns:
        the checkpoint's folder, which appears whole or not at all.

    Raises:
        StorageError: where the disk is full or may not be written to; earlier checkpoints stay as they are.
    """
    images = Snapshot().take({MODEL: model, OPTIMIZER: optimizer})
    return write_checkpoint(run_folder, step, images, state_json(step, state), write_small_files)


def write_checkpoint(
    run_folder: Path,
    step: int,
    images: Mapping[str, FileImage],
    state: str,
    write_small_files: Callable[[Path], None] | None = None,
) -> Path:
    """Write a checkpoint of which everything lies in memory: images of its tensor files, the text of ``state.json``.

    Returns and raises as ``save_checkpoint`` does.
    """
    folder = checkpoint_folder(run_folder, step)
    remove_left_overs(run_folder)
    with new_folder(folder, failpoints="checkpoint") as unfinished:
        hashes = {name: write_image(unfinished / name, image) for name, image in images.items()}
        write_file(unfinished / STATE, state)
        if write_small_files is not None:
            write_small_files(unfinished)
        rest = [path for path in unfinished.iterdir() if path.name not in hashes]
        hashes |= {path.name: sha256_file(path) for path in rest}
        write_file(unfinished / HASHES, to_json(dict(sorted(hashes.items()))))
    return folder


def state_json(step: int, state: Mapping[str, Any]) -> str:
    """Write what ``state.json`` holds."""
    return to_json({"step": step, "state": dict(state)})


def checkpoint_folder(run_folder: Path, step: int) -> Path:
    """Name a step's checkpoint: step 123 is ``step-00000123``."""
    if not 0 <= step < 10**12:
        raise ConfigError(f"step is {step}, and must be 0 to 999,999,999,999")
    return run_folder / "checkpoints" / f"step-{step:08d}"


def list_checkpoints(run_folder: Path) -> list[Path]:
    """List a run's checkpoints from the first step to the last, unchecked; none where there is no such run."""
    folder = run_folder / "checkpoints"
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if _STEP_NAME.fullmatch(path.name) and path.is_dir()]
    return sorted(found, key=step_of)


def step_of(folder: Path) -> int:
    """Read the step from a checkpoint folder's name: ``step-00000123`` is 123."""
    match = _STEP_NAME.fullmatch(folder.name)
    if not match:
        raise DataError(f"{folder} is not a checkpoint: its name is not like step-00000123")
    return int(match[1])


def latest_checkpoint(run_folder: Path, on_damage: Callable[[DataError], None] | None = None) -> Path | None:
    """Find the last checkpoint whose files are as they were written; None where there is none.

    ``on_damage`` hears of each damaged one passed over, as the error that ``verify_checkpoint`` raises.
    """
    for folder in reversed(list_checkpoints(run_folder)):
        try:
            verify_checkpoint(folder)
        except DataError as error:
            if on_damage is not None:
                on_damage(error)
        else:
            return folder
    return None


def verify_checkpoint(folder: Path) -> None:
    """Hash every file of a checkpoint; raises ``DataError`` that names the first that differs or is missing."""
    hashes = _read(folder / HASHES)
    required = {PARTS, STATE} if PARTS in hashes else {MODEL, OPTIMIZER, STATE}
    if not required <= set(hashes):
        raise DataError(f"{folder / HASHES} does not name {', '.join(sorted(required - set(hashes)))}{_FIX}")
    for name in hashes:
        if Path(name).name != name:
            raise DataError(f'{folder / HASHES} names "{name}", which is not a file of its folder{_FIX}')
    # Hashing leaves Python's lock, and the disk reads one file ahead while another is hashed.
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(lambda name: _try_to_hash(folder / name), hashes))
    for (name, wanted), sha256 in zip(hashes.items(), found, strict=True):
        if isinstance(sha256, DataError):
            raise sha256
        if sha256 != wanted:
            raise DataError(
                f"{folder / name} is damaged: its sha256 is {sha256[:16]}…, and was {str(wanted)[:16]}… when it was "
                f"written{_FIX}"
            )


def load_checkpoint(folder: Path) -> Checkpoint:
    """Open a checkpoint's files; ``latest_checkpoint`` or ``verify_checkpoint`` say before whether they are sound.

    ``restore_model`` and ``restore_optimizer`` read its tensors.
    """
    state = _read(folder / STATE)
    if not isinstance(state.get("state"), dict) or state.get("step") != step_of(folder):
        raise DataError(
            f"{folder / STATE} belongs to step {state.get('step')}, and its folder to step {step_of(folder)}: one of "
            f"them was renamed or copied from elsewhere{_FIX}"
        )
    model, optimizer = _shapes_in_parts(folder) if lies_in_parts(folder) else _tensors(folder)
    return Checkpoint(folder=folder, step=state["step"], model=model, optimizer=optimizer, state=state["state"])


def lies_in_parts(folder: Path) -> bool:
    """Whether a checkpoint's tensors lie as several processes wrote them."""
    return (folder / PARTS).is_file()


def read_parts(folder: Path) -> dict[str, CutTensor]:
    """Read where the tensors of a checkpoint lie, by names that begin with ``model/`` or ``optimizer/``.

    Raises:
        DataError: the file is damaged.
    """
    try:
        tensors = _read(folder / PARTS)["tensors"]
        found = {
            name: CutTensor(
                tensor["dtype"],
                _sizes(tensor["shape"]),
                [(_sizes(part["offset"]), _sizes(part["shape"]), _file_name(part["file"])) for part in tensor["parts"]],
            )
            for name, tensor in tensors.items()
        }
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(f"{folder / PARTS} is damaged: {error!r}{_FIX}") from error
    for name, tensor in found.items():
        if tensor.dtype not in PART_DTYPES:
            raise DataError(f"{folder / PARTS} gives {name} the dtype {tensor.dtype!r}, which is unknown{_FIX}")
        if sum(math.prod(shape) for _, shape, _ in tensor.chunks) != math.prod(tensor.shape):
            raise DataError(f"{folder / PARTS} has not all parts of {name}, or some of them twice{_FIX}")
    return found


def _tensors(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    return safetensors.load(folder / MODEL), safetensors.load(folder / OPTIMIZER)


def _shapes_in_parts(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Zeros that take no memory."""
    parts = read_parts(folder)
    of_model, of_optimizer = (
        {
            name.removeprefix(prefix): np.broadcast_to(np.zeros((), PART_DTYPES[tensor.dtype]), tensor.shape)
            for name, tensor in parts.items()
            if name.startswith(prefix)
        }
        for prefix in ("model/", "optimizer/")
    )
    return of_model, of_optimizer


def _sizes(values: Any) -> tuple[int, ...]:
    if not isinstance(values, list) or not all(type(value) is int and 0 <= value < 1 << 48 for value in values):
        raise ValueError(f"{values!r} are no sizes")
    return tuple(values)


def _file_name(name: Any) -> str:
    if not isinstance(name, str) or Path(name).name != name:
        raise ValueError(f"{name!r} is no file of the folder")
    return name


def prune(run_folder: Path, keep: int) -> list[Path]:
    """Remove all but the last ``keep`` checkpoints; returns what was removed. A kill in between leaves no half one."""
    if keep < 1:
        raise ConfigError(f"keep is {keep}, and must be at least 1: a run without a checkpoint cannot be resumed")
    removed = list_checkpoints(run_folder)[:-keep]
    for folder in removed:
        _remove(folder)
    return removed


def remove_checkpoint(run_folder: Path, step: int) -> None:
    """Remove a checkpoint; a kill in between leaves no half one."""
    _remove(checkpoint_folder(run_folder, step))


def remove_left_overs(run_folder: Path) -> None:
    """Clear away what a killed save or prune left; a checkpoint that was being replaced comes back."""
    folder = run_folder / "checkpoints"
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        match = _LEFT_OVER.fullmatch(path.name)
        if not match:
            continue
        whole = path.with_name(match[1])
        if match[2] == "old" and not whole.exists():
            path.rename(whole)
        else:
            shutil.rmtree(path, ignore_errors=True)


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_json(path)
    except DataError as error:
        raise DataError(f"{str(error).removesuffix('. Copy or make it again')}{_FIX}") from error


def _try_to_hash(path: Path) -> str | DataError:
    try:
        return sha256_file(path)
    except FileNotFoundError:
        return DataError(f"{path} is missing from its checkpoint{_FIX}")
    except OSError as error:
        return DataError(f"cannot read {path}: {error.strerror}{_FIX}")
    except ValueError:
        return DataError(f"{str(path)!r} cannot be the name of a file{_FIX}")  # half characters and zero bytes


def _remove(folder: Path) -> None:
    hidden = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.tmp")
    with storage_errors(folder):
        folder.rename(hidden)
        sync_folder(folder.parent)
    failpoint("checkpoint:during-prune")
    shutil.rmtree(hidden, ignore_errors=True)
