"""Reading a checkpoint back into a model and an optimizer, without a second copy of either in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textmill.base import safetensors
from textmill.checkpoint.store import MODEL, OPTIMIZER, Checkpoint
from textmill.checkpoint.tensors import as_numpy, as_torch, check_shapes

if TYPE_CHECKING:
    import torch


def restore_model(checkpoint: Checkpoint, model: torch.nn.Module) -> None:
    """Read a checkpoint's weights into a model's parameters that are not frozen, whatever their dtype and device.

    Raises:
        DataError: the checkpoint is of another model; the model is untouched then.
    """
    import torch

    parameters = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    check_shapes(
        {name: tuple(parameter.shape) for name, parameter in parameters.items()},
        {name: array.shape for name, array in checkpoint.model.items()},
        str(checkpoint.folder / MODEL),
    )
    straight = {
        name: as_numpy(parameter)
        for name, parameter in parameters.items()
        if parameter.is_cpu and parameter.is_contiguous() and as_numpy(parameter).dtype == checkpoint.model[name].dtype
    }
    if len(straight) == len(parameters):
        safetensors.read_into(checkpoint.folder / MODEL, straight)
    else:
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(as_torch(checkpoint.model[name]))


def restore_optimizer(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """Read the optimizer's tensors, on the CPU, each in memory of its own that the optimizer may keep."""
    import torch

    tensors = {name: torch.empty_like(as_torch(array)) for name, array in checkpoint.optimizer.items()}
    safetensors.read_into(checkpoint.folder / OPTIMIZER, {name: as_numpy(tensor) for name, tensor in tensors.items()})
    return tensors
