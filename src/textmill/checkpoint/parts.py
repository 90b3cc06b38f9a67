"""Checkpoints that several processes write together, each its parts of tensors, by torch's distributed checkpoints.

    runs/NAME/checkpoints/step-00000123/
    ├── part-00000-of-00002.safetensors, ...    parts, named TENSOR@OFFSET
    ├── parts.json                              every tensor's dtype and shape, and where its parts are
    └── state.json, config.json, ...            as in ``store``

torch plans who writes what, and what a process of another number of them reads; how that lies on the disk is said here,
without a pickle. ``gather_parts`` makes the usual files of a folder, one tensor in memory at a time.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.distributed import checkpoint as dcp
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    StorageMeta,
    TensorProperties,
    TensorStorageMetadata,
)
from torch.distributed.checkpoint.planner import LoadPlan, LoadPlanner, SavePlan, SavePlanner
from torch.distributed.checkpoint.storage import StorageReader, StorageWriter, WriteResult
from torch.futures import Future

from textmill.base import safetensors
from textmill.base.errors import DataError, StorageError
from textmill.base.files import new_folder, sha256_file, storage_errors, write_file
from textmill.checkpoint.image_file import write_image
from textmill.checkpoint.json_files import to_json
from textmill.checkpoint.snapshot import Snapshot
from textmill.checkpoint.store import (
    HASHES,
    MODEL,
    OPTIMIZER,
    PART_DTYPES,
    PARTS,
    STATE,
    Checkpoint,
    checkpoint_folder,
    read_parts,
    remove_left_overs,
)
from textmill.checkpoint.tensors import as_torch

_PREFIXES = {MODEL: "model/", OPTIMIZER: "optimizer/"}


def save_parts(
    run_folder: Path,
    step: int,
    *,
    model: Mapping[str, torch.Tensor],
    optimizer: Mapping[str, torch.Tensor],
    state: str,
    is_first: bool,
    tell_all: Callable[[str], str],
    snapshot: Snapshot,
    write_small_files: Callable[[Path], None] | None = None,
) -> Path:
    """Save a run at ``step`` from all processes of the default group, each what it holds; all have to ask.

    Args:
        run_folder: the run, on a file system that all processes see.
        step: optimizer steps taken so far.
        model: tensors by name; DTensors where processes hold parts.
        optimizer: the same of the optimizer.
        state: the text of ``state.json``.
        is_first: whether this is the process that makes the folder and names it.
        tell_all: gives every process the first one's text.
        snapshot: memory for the parts.
        write_small_files: writes what makes the folder a model; called in the first process.

    Returns:
        the checkpoint's folder, which appears whole, when all parts are flushed, or not at all.

    Raises:
        StorageError: a process could not write; earlier checkpoints stay as they are.
    """
    folder = checkpoint_folder(run_folder, step)
    with ExitStack() as stack:
        unfinished, problem = "", None
        if is_first:
            try:
                remove_left_overs(run_folder)
                unfinished = str(stack.enter_context(new_folder(folder, failpoints="checkpoint")))
            except StorageError as error:
                problem = error
        unfinished = tell_all(unfinished)
        if not unfinished:
            raise problem or StorageError(f"the first process could not make {folder}")
        writer = _Writer(Path(unfinished), snapshot)
        tensors = {_PREFIXES[MODEL] + name: tensor for name, tensor in model.items()}
        tensors |= {_PREFIXES[OPTIMIZER] + name: tensor for name, tensor in optimizer.items()}
        try:
            dcp.save(tensors, storage_writer=writer)
        except CheckpointException as error:
            raise _storage_error(error) from error
        if is_first:
            write_file(Path(unfinished) / STATE, state)
            if write_small_files is not None:
                write_small_files(Path(unfinished))
            _write_hashes(Path(unfinished), writer.hashes)
    return folder


def restore_parts(checkpoint: Checkpoint, *, model: dict[str, Any], optimizer: dict[str, Any], alone: bool) -> None:
    """Read a checkpoint's tensors into those given, of which a process may hold parts: DTensors.

    Args:
        checkpoint: one that lies in parts.
        model: destinations by name, of the shapes that the checkpoint's have.
        optimizer: the same of the optimizer.
        alone: whether other processes do not ask.

    Raises:
        DataError: ``parts.json`` does not fit the files.
    """
    tensors = {_PREFIXES[MODEL] + name: tensor for name, tensor in model.items()}
    tensors |= {_PREFIXES[OPTIMIZER] + name: tensor for name, tensor in optimizer.items()}
    reader = _Reader(checkpoint.folder)
    if alone:  # torch would warn that there are no processes
        for name, tensor in tensors.items():
            tensor.copy_(as_torch(reader.whole(name)))
        return
    try:
        dcp.load(tensors, storage_reader=reader)
    except CheckpointException as error:
        raise _storage_error(error) from error


def gather_parts(folder: Path) -> None:
    """Make a checkpoint that lies in parts one of the usual files; it is whole all the while.

    Raises:
        StorageError: there is no room; it still lies in parts then.
        DataError: ``parts.json`` does not fit the files.
    """
    parts = read_parts(folder)
    reader = _Reader(folder)
    own = {PARTS, HASHES, *(file for tensor in parts.values() for _, _, file in tensor.chunks)}
    with new_folder(folder, failpoints="checkpoint") as unfinished:
        for file, prefix in _PREFIXES.items():
            names = {name.removeprefix(prefix): name for name in parts if name.startswith(prefix)}

            kinds = {name: (PART_DTYPES[parts[full].dtype], parts[full].shape) for name, full in names.items()}
            safetensors.save_by_turns(
                unfinished / file, kinds, lambda name, names=names: reader.whole(names[name]), {"format": "pt"}
            )
        for path in folder.iterdir():
            if path.name not in own:
                with storage_errors(unfinished):
                    shutil.copyfile(path, unfinished / path.name)
        _write_hashes(unfinished, {})


def _write_hashes(folder: Path, known: Mapping[str, str]) -> None:
    hashes = {path.name: known.get(path.name) or sha256_file(path) for path in folder.iterdir()}
    write_file(folder / HASHES, to_json(dict(sorted(hashes.items()))))


def _storage_error(error: CheckpointException) -> BaseException:
    """What went wrong in the first process where something did: torch puts those of all into one."""
    failures = [failure for failure, _ in error.failures.values()]
    return next((one for one in failures if isinstance(one, StorageError | DataError)), failures[0])


@dataclass(frozen=True, slots=True)
class _Written:
    file: str
    sha256: str


class _Writer(StorageWriter):
    """A file of its own for every process, and parts.json by the first once all are there."""

    def __init__(self, folder: Path, snapshot: Snapshot) -> None:
        self.folder, self.snapshot = folder, snapshot
        self.hashes: dict[str, str] = {}

    def reset(self, checkpoint_id: object = None) -> None: ...

    def set_up_storage_writer(self, is_coordinator: bool, *args: Any, **kwargs: Any) -> None: ...

    def prepare_local_plan(self, plan: SavePlan) -> SavePlan:
        return plan

    def prepare_global_plan(self, plans: list[SavePlan]) -> list[SavePlan]:
        for number, plan in enumerate(plans):
            object.__setattr__(plan, "storage_data", f"part-{number:05d}-of-{len(plans):05d}.safetensors")
        return plans

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        file = plan.storage_data
        future: Future[list[WriteResult]] = Future()
        tensors: dict[str, torch.Tensor] = {}
        for item in plan.items:
            part = planner.resolve_data(item)
            assert isinstance(part, torch.Tensor)
            tensors[_key(item.index)] = part.detach()
        image = self.snapshot.take({file: tensors})[file]
        with storage_errors(self.folder / file):
            sha256 = write_image(self.folder / file, image)
        future.set_result(
            [WriteResult(item.index, tensors[_key(item.index)].nbytes, _Written(file, sha256)) for item in plan.items]
        )
        return future

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        places = {result.index: result.storage_data for of_rank in results for result in of_rank}
        self.hashes = {place.file: place.sha256 for place in places.values()}
        tensors: dict[str, Any] = {}
        for name, tensor in metadata.state_dict_metadata.items():
            assert isinstance(tensor, TensorStorageMetadata)
            tensors[name] = {
                "dtype": str(tensor.properties.dtype).removeprefix("torch."),
                "shape": list(tensor.size),
                "parts": [
                    {
                        "offset": list(chunk.offsets),
                        "shape": list(chunk.sizes),
                        "file": places[MetadataIndex(name, chunk.offsets)].file,
                    }
                    for chunk in tensor.chunks
                    if math.prod(chunk.sizes)
                ],
            }
        write_file(self.folder / PARTS, to_json({"tensors": tensors}))

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: object) -> bool:
        return False


class _Reader(StorageReader):
    """Reads of each file what is asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._parts = read_parts(folder)
        self._files: dict[str, dict[str, np.ndarray]] = {}

    def whole(self, name: str) -> np.ndarray:
        """Put a tensor together from its parts."""
        tensor = self._parts[name]
        found = np.empty(tensor.shape, PART_DTYPES[tensor.dtype])
        for offset, shape, file in tensor.chunks:
            place = tuple(slice(start, start + length) for start, length in zip(offset, shape, strict=True))
            found[place] = self._part(file, MetadataIndex(name, offset))
        return found

    def _part(self, file: str, index: MetadataIndex) -> np.ndarray:
        if file not in self._files:
            self._files[file] = safetensors.load(self.folder / file)
        key = _key(index)
        if key not in self._files[file]:
            raise DataError(f"{self.folder / file} lacks {key}, which {PARTS} looks for there")
        return self._files[file][key]

    def reset(self, checkpoint_id: object = None) -> None: ...

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        tensors: dict[str, Any] = {
            name: TensorStorageMetadata(
                TensorProperties(dtype=getattr(torch, tensor.dtype)),
                torch.Size(tensor.shape),
                [ChunkStorageMetadata(torch.Size(offset), torch.Size(shape)) for offset, shape, _ in tensor.chunks],
            )
            for name, tensor in self._parts.items()
        }
        places = {
            MetadataIndex(name, offset): file
            for name, tensor in self._parts.items()
            for offset, _, file in tensor.chunks
        }
        return Metadata(tensors, storage_data=places, storage_meta=StorageMeta())

    def set_up_storage_reader(self, metadata: Metadata, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        self._places = metadata.storage_data

    def prepare_local_plan(self, plan: LoadPlan) -> LoadPlan:
        return plan

    def prepare_global_plan(self, plans: list[LoadPlan]) -> list[LoadPlan]:
        return plans

    def read_data(self, plan: LoadPlan, planner: LoadPlanner) -> Future[None]:
        for item in plan.items:
            found = as_torch(self._part(self._places[item.storage_index], item.storage_index))
            for axis, (start, length) in enumerate(zip(item.storage_offsets, item.lengths, strict=True)):
                found = found.narrow(axis, start, length)
            target = planner.resolve_tensor(item).detach()
            target.copy_(found)
            planner.commit_tensor(item, target)
        future: Future[None] = Future()
        future.set_result(None)
        return future

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: object) -> bool:
        return False


def _key(index: MetadataIndex) -> str:
    offset = ",".join(map(str, index.offset or ()))
    return f"{index.fqn}@{offset}"
