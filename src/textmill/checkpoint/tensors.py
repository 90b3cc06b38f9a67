"""Tensors between the disk's arrays and torch, and into a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from textmill.base.errors import DataError
from textmill.base.safetensors import BFLOAT16, bfloat16_to_float32, float32_to_bfloat16

if TYPE_CHECKING:
    import torch

_DTYPES = {"f32": np.dtype(np.float32), "f16": np.dtype(np.float16), "bf16": BFLOAT16}


def as_numpy(tensor: torch.Tensor | np.ndarray) -> np.ndarray:
    """Give a tensor's values as an array, without a copy where it lies on the CPU; bfloat16 comes as ``BFLOAT16``."""
    if isinstance(tensor, np.ndarray):
        return tensor
    import torch

    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.uint16).numpy().view(BFLOAT16)
    return tensor.numpy()


def as_torch(array: np.ndarray) -> torch.Tensor:
    """Give an array's values as a tensor on the CPU that shares its memory."""
    import torch

    if not array.flags.aligned:
        array = array.copy()
    if array.dtype == BFLOAT16:
        return torch.from_numpy(array["bfloat16"]).view(torch.bfloat16)
    return torch.from_numpy(array)


def cast(array: np.ndarray, dtype: str) -> np.ndarray:
    """Convert a floating-point array to ``f32``, ``f16`` or ``bf16``; the array itself where it is that already."""
    wanted = _DTYPES[dtype]
    if array.dtype == wanted:
        return array
    values = bfloat16_to_float32(array) if array.dtype == BFLOAT16 else array.astype(np.float32)
    return float32_to_bfloat16(values) if wanted == BFLOAT16 else values.astype(wanted)


def fill_model(model: torch.nn.Module, tensors: Mapping[str, np.ndarray | torch.Tensor]) -> None:
    """Copy tensors into a model's parameters by name, converting them to the parameters' dtype and device.

    Raises:
        DataError: for a missing, unexpected or differently shaped tensor; the model is untouched then.
    """
    import torch

    parameters = dict(model.named_parameters())
    check_shapes({name: tuple(p.shape) for name, p in parameters.items()}, _shapes(tensors), "the checkpoint")
    with torch.no_grad():
        for name, parameter in parameters.items():
            tensor = tensors[name]
            parameter.copy_(as_torch(tensor) if isinstance(tensor, np.ndarray) else tensor)


def check_shapes(expected: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]], where: str) -> None:
    """Raise ``DataError`` that names the tensors that are missing, unexpected or of another shape."""
    missing = [name for name in expected if name not in found]
    if missing:
        raise DataError(
            f"{where} lacks {_some(missing)} of the {len(expected)} tensors that its configuration asks for. "
            "The file belongs to another model, or was not written whole: copy it again"
        )
    unexpected = [name for name in found if name not in expected]
    if unexpected:
        raise DataError(
            f"{where} holds {_some(unexpected)}, for which its configuration has no place. "
            "The configuration belongs to another model, or asks for a feature that this release does not know"
        )
    for name, shape in expected.items():
        if tuple(found[name]) != tuple(shape):
            raise DataError(
                f"{where} holds {name} as {list(found[name])}, and its configuration asks for {list(shape)}. "
                "Take the configuration and the tensors of the same model"
            )


def _shapes(tensors: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
