"""The values in ggml's blocks: to float32, and back into the types that textmill writes.

A block is a run of neighbouring values of one row that share a scale and, in some types, a least value, both in
float16. Numbers of four bits stand two to a byte: first the low halves of all bytes, then the high ones.
https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textmill.base.errors import DataError
from textmill.base.gguf_types import TENSOR_TYPES

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
Numbers = NDArray[Any]  # small whole ones

_TYPES = {tensor_type.name: tensor_type for tensor_type in TENSOR_TYPES.values()}


def dequantize(type_name: str, data: Bytes | bytes, shape: tuple[int, ...]) -> Floats:
    """Return the values of a tensor.

    Args:
        type_name: one of ``READABLE``.
        data: uint8[num_bytes], the blocks one after the other.
        shape: of the tensor, the dimension whose values are neighbours last.

    Returns:
        float32[shape].

    Raises:
        DataError: the type is not readable, or the bytes are not those of such a tensor.
    """
    if type_name not in _READERS:
        raise DataError(f"tensors of the type {type_name} cannot be read; these can: {', '.join(READABLE)}")
    tensor_type = _TYPES[type_name]
    raw = np.frombuffer(data, dtype=np.uint8)
    num_values = int(np.prod(shape, dtype=np.int64))
    num_blocks, rest = divmod(num_values, tensor_type.block_size)
    if rest or raw.size != num_blocks * tensor_type.block_bytes:
        raise DataError(f"{raw.size} bytes are not the {num_values} values of a tensor of the type {type_name}")
    with np.errstate(over="ignore", invalid="ignore"):  # scales of damaged blocks may be NaN: so are their values
        return _READERS[type_name](raw.reshape(num_blocks, tensor_type.block_bytes)).reshape(shape)


def quantize(type_name: str, values: Floats) -> Bytes:
    """Return the bytes of a tensor; what it rounds is rounded as ggml's own reference does.

    Args:
        type_name: one of ``WRITABLE``.
        values: float32[..., row], where a row is a multiple of the type's block.

    Returns:
        uint8[num_bytes].

    Raises:
        DataError: the type is not writable, or blocks do not fill the rows.
    """
    if type_name not in _WRITERS:
        raise DataError(f"tensors cannot be written as {type_name}; the types are {', '.join(WRITABLE)}")
    block_size = _TYPES[type_name].block_size
    if values.shape[-1] % block_size:
        raise DataError(f"rows of {values.shape[-1]} values are not filled by blocks of {block_size} ({type_name})")
    blocks = np.ascontiguousarray(values, dtype=np.float32).reshape(-1, block_size)
    return np.ascontiguousarray(_WRITERS[type_name](blocks)).view(np.uint8).reshape(-1)


def _f32(blocks: Bytes) -> Floats:
    return blocks.view("<f4").astype(np.float32)


def _f16(blocks: Bytes) -> Floats:
    return blocks.view("<f2").astype(np.float32)


def _bf16(blocks: Bytes) -> Floats:
    return (blocks.view("<u2").astype(np.uint32) << 16).view(np.float32)


def _q8_0(blocks: Bytes) -> Floats:
    return _f16(blocks[:, :2].copy()) * blocks[:, 2:].view(np.int8)


def _q4_0(blocks: Bytes) -> Floats:
    return _f16(blocks[:, :2].copy()) * (_nibbles(blocks[:, 2:]).astype(np.float32) - 8)


def _q4_1(blocks: Bytes) -> Floats:
    scale, least = _f16(blocks[:, :2].copy()), _f16(blocks[:, 2:4].copy())
    return scale * _nibbles(blocks[:, 4:]) + least


def _q5_0(blocks: Bytes) -> Floats:
    return _f16(blocks[:, :2].copy()) * (_five_bits(blocks[:, 2:6], blocks[:, 6:]).astype(np.float32) - 16)


def _q5_1(blocks: Bytes) -> Floats:
    scale, least = _f16(blocks[:, :2].copy()), _f16(blocks[:, 2:4].copy())
    return scale * _five_bits(blocks[:, 4:8], blocks[:, 8:]) + least


def _q4_k(blocks: Bytes) -> Floats:
    return _scaled_groups(blocks, _nibbles_by_64(blocks[:, 16:]))


def _q5_k(blocks: Bytes) -> Floats:
    # Bit j of the 32 bytes at 16 is the fifth bit of the values of group j.
    high = blocks[:, None, 16:48] >> np.arange(8, dtype=np.uint8)[None, :, None] & 1
    return _scaled_groups(blocks, _nibbles_by_64(blocks[:, 48:]) | high << 4)


def _q6_k(blocks: Bytes) -> Floats:
    """256 values: the low four bits of 128 bytes, two high bits of 64, a scale for each sixteen, and one for all."""
    num = len(blocks)
    low = blocks[:, :128].reshape(num, 2, 1, 64) >> np.array([0, 4], np.uint8).reshape(1, 1, 2, 1) & 15
    high = blocks[:, 128:192].reshape(num, 2, 1, 32) >> np.array([0, 2, 4, 6], np.uint8).reshape(1, 1, 4, 1) & 3
    numbers = (low.reshape(num, 256) | high.reshape(num, 256) << 4).astype(np.int8) - np.int8(32)
    scales = _f16(blocks[:, 208:].copy()) * blocks[:, 192:208].view(np.int8)
    return (scales[:, :, None] * numbers.reshape(num, 16, 16)).reshape(num, 256)


def _nibbles(packed: Bytes) -> Numbers:
    return np.concatenate([packed & 15, packed >> 4], axis=1)


def _nibbles_by_64(packed: Bytes) -> Numbers:
    """[n, 128] bytes -> [n, 8, 32] numbers: of each 32 bytes the low halves, then the high ones."""
    parts = packed.reshape(-1, 4, 1, 32) >> np.array([0, 4], np.uint8).reshape(1, 1, 2, 1) & 15
    return parts.reshape(-1, 8, 32)


def _five_bits(high: Bytes, packed: Bytes) -> Numbers:
    """Four bits in the bytes and the fifth in a number of 32 bits, value j's in bit j."""
    bits = np.unpackbits(np.ascontiguousarray(high), axis=1, bitorder="little")
    return _nibbles(packed) | bits << 4


def _scaled_groups(blocks: Bytes, numbers: Numbers) -> Floats:
    """Eight groups of 32, each with a scale and a least value of six bits, in turn scaled by two of the block's own."""
    scale, least = _f16(blocks[:, 0:2].copy()), _f16(blocks[:, 2:4].copy())
    packed = blocks[:, 4:16]
    first, second, third = packed[:, 0:4], packed[:, 4:8], packed[:, 8:12]
    scales = np.concatenate([first & 63, (third & 15) | (first >> 6) << 4], axis=1)
    leasts = np.concatenate([second & 63, (third >> 4) | (second >> 6) << 4], axis=1)
    values = (scale * scales)[:, :, None] * numbers - (least * leasts)[:, :, None]
    return values.reshape(-1, 256).astype(np.float32, copy=False)


def _to_bf16(blocks: Floats) -> NDArray[np.uint16]:
    """To the nearest, of two equally near the even one; a NaN stays one."""
    bits = blocks.view(np.uint32)
    rounded = (bits + (0x7FFF + (bits >> 16 & 1))) >> 16
    quiet = bits >> 16 | 0x40
    return np.where(np.isnan(blocks), quiet, rounded).astype("<u2")


def _to_q8_0(blocks: Floats) -> Bytes:
    scale = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127)
    numbers = blocks * _inverse(scale)
    rounded = np.trunc(numbers + np.copysign(np.float32(0.5), numbers)).astype(np.int8)  # halves away from zero
    return np.concatenate([scale.astype("<f2").view(np.uint8), rounded.view(np.uint8)], axis=1)


def _to_q4_0(blocks: Floats) -> Numbers:
    furthest = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=1, keepdims=True), axis=1)
    scale = furthest / np.float32(-8)
    numbers = np.clip(np.trunc(blocks * _inverse(scale) + np.float32(8.5)), 0, 15).astype(np.uint8)
    packed = numbers[:, :16] | numbers[:, 16:] << 4
    return np.concatenate([scale.astype("<f2").view(np.uint8), packed], axis=1)


def _inverse(scale: Floats) -> Floats:
    return np.divide(np.float32(1), scale, out=np.zeros_like(scale), where=scale != 0)


_READERS: dict[str, Callable[[Bytes], Floats]] = {
    "F32": _f32,
    "F16": _f16,
    "BF16": _bf16,
    "Q8_0": _q8_0,
    "Q4_0": _q4_0,
    "Q4_1": _q4_1,
    "Q5_0": _q5_0,
    "Q5_1": _q5_1,
    "Q4_K": _q4_k,
    "Q5_K": _q5_k,
    "Q6_K": _q6_k,
}
_WRITERS: dict[str, Callable[[Floats], np.ndarray]] = {
    "F32": lambda blocks: blocks.astype("<f4"),
    "F16": lambda blocks: blocks.astype("<f2"),
    "BF16": _to_bf16,
    "Q8_0": _to_q8_0,
    "Q4_0": _to_q4_0,
}
READABLE = tuple(_READERS)
WRITABLE = tuple(_WRITERS)
