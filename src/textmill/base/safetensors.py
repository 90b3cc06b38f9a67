"""The safetensors container in plain numpy: a header of names, dtypes, shapes and offsets, then the tensors' bytes.

    8 bytes   length of the header, little-endian
    header    JSON: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, "__metadata__": {...}}
    data      every byte belongs to exactly one tensor

A header is checked against the file's size before anything is taken from it, so a lying file costs a message and no
memory. https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import json
import math
import mmap
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from textmill.base.errors import DataError
from textmill.base.files import new_file

BFLOAT16 = np.dtype([("bfloat16", "<u2")])
"""bfloat16, which numpy lacks: the 16 bits under a name, so that nobody adds or compares them as integers."""

_DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "I64": np.dtype("<i8"),
    "U64": np.dtype("<u8"),
    "F32": np.dtype("<f4"),
    "I32": np.dtype("<i4"),
    "U32": np.dtype("<u4"),
    "BF16": BFLOAT16,
    "F16": np.dtype("<f2"),
    "I16": np.dtype("<i2"),
    "U16": np.dtype("<u2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_HEADER_BYTES_MAX = 100_000_000  # what the safetensors library allows
_DIMENSIONS_MAX = 64  # what numpy allows
_READERS = 4  # what keeps a disk busy, and two cores at making room in memory
_NAME_LENGTH_MAX = 500  # of a tensor; those in use have fewer than 100


class TensorInfo(NamedTuple):
    """Where a tensor lies: bytes ``start`` to ``end`` of the file."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int
    end: int


class Header(NamedTuple):
    """What a file holds, read without its tensors."""

    tensors: dict[str, TensorInfo]
    metadata: dict[str, str]


class Layout(NamedTuple):
    """A file before it is written: the bytes it begins with, where each tensor will lie, and its length."""

    header: bytes
    tensors: dict[str, TensorInfo]
    num_bytes: int


def read_header(path: Path) -> Header:
    """Read and check a file's header; the tensors stay on the disk.

    Raises:
        DataError: where the file is missing, truncated, or its header does not describe it exactly.
    """
    try:
        with path.open("rb") as file:
            file_bytes = os.fstat(file.fileno()).st_size
            length = int.from_bytes(_read(file, 8, path, file_bytes), "little")
            if length > min(file_bytes - 8, _HEADER_BYTES_MAX):
                _refuse(
                    path,
                    f"its header claims {length:,} bytes, and the file has {file_bytes - 8:,} after the first 8"
                    + (f" (at most {_HEADER_BYTES_MAX:,} are read)" if file_bytes - 8 > _HEADER_BYTES_MAX else ""),
                )
            text = _read(file, length, path, file_bytes)
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    entries = _parse(text, path)
    metadata = _metadata(entries.pop("__metadata__", {}), path)
    data_start = 8 + length
    _check_names(entries, path)
    tensors = {name: _tensor_info(name, entry, data_start, path) for name, entry in entries.items()}
    _check_tiling(tensors, data_start, file_bytes, path)
    return Header(tensors, metadata)


def load(path: Path) -> dict[str, np.ndarray]:
    """Map a file's tensors into memory, in the order of the file; bfloat16 comes as ``BFLOAT16``.

    Pages are read when touched. The arrays may be written to, and the file stays as it is. Raises ``DataError`` as
    ``read_header`` does.
    """
    header = read_header(path)
    with path.open("rb") as file:
        data = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY), dtype=np.uint8)
    in_file = sorted(header.tensors.items(), key=lambda item: item[1].start)
    return {name: data[info.start : info.end].view(info.dtype).reshape(info.shape) for name, info in in_file}


def save(path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors, whole or not at all; the same tensors and metadata give the same bytes in any order.

    Wide types come first and then names in order, so that every tensor is aligned to its own type.

    Raises:
        DataError: for a dtype the format has no name for, or a name it keeps for itself.
        StorageError: where the disk is full or may not be written to.
    """
    arrays = {name: _in_file_order(name, array) for name, array in tensors.items()}
    kinds = {name: (array.dtype, array.shape) for name, array in arrays.items()}
    save_by_turns(path, kinds, arrays.__getitem__, metadata)


def save_by_turns(
    path: Path,
    kinds: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]],
    read: Callable[[str], np.ndarray],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write tensors that are read one at a time, when their turn comes; the same file as ``save`` writes.

    Args:
        path: of the file.
        kinds: the dtype and shape of each, by name.
        read: gives one of them by its name.
        metadata: texts for the header.

    Raises:
        DataError: as ``save`` does, and for a tensor that is not of its dtype and shape.
        StorageError: where the disk is full or may not be written to.
    """
    plan = layout(kinds, metadata)
    with new_file(path) as file:
        file.write(plan.header)
        for name in plan.tensors:
            array = _in_file_order(name, read(name))
            if (array.dtype, array.shape) != kinds[name]:
                raise DataError(
                    f'the tensor "{name}" came as {array.dtype} {list(array.shape)}, '
                    f"and {kinds[name][0]} {list(kinds[name][1])} was announced"
                )
            file.write(array.reshape(-1).view(np.uint8).data)


def layout(
    kinds: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]], metadata: Mapping[str, str] | None = None
) -> Layout:
    """Lay out the file that ``save`` writes for tensors of these little-endian dtypes and shapes.

    Raises:
        DataError: as ``save`` does.
    """
    for name, (dtype, _) in kinds.items():
        _check_kind(name, dtype)
    ordered = {name: kinds[name] for name in sorted(kinds, key=lambda name: (-kinds[name][0].itemsize, name))}
    header = _header_bytes(ordered, metadata or {})
    tensors, position = {}, len(header)
    for name, (dtype, shape) in ordered.items():
        end = position + math.prod(shape) * dtype.itemsize
        tensors[name] = TensorInfo(dtype, shape, position, end)
        position = end
    return Layout(header, tensors, position)


def read_into(path: Path, destinations: Mapping[str, np.ndarray]) -> None:
    """Read a file's tensors into arrays that are there already: no memory beside theirs is used, and none is mapped.

    Args:
        path: of the file.
        destinations: a contiguous array for each tensor of the file, of its dtype and shape.

    Raises:
        DataError: as ``read_header`` does, and where an array does not fit its tensor or has none.
    """
    header = read_header(path)
    for name, array in destinations.items():
        info = header.tensors.get(name)
        if info is None or (info.dtype, info.shape) != (array.dtype, array.shape):
            found = "no such tensor" if info is None else f"{info.dtype} {list(info.shape)}"
            raise DataError(f'{path} holds {found} where "{name}" as {array.dtype} {list(array.shape)} is wanted')
    places = [(info.start, destinations[name]) for name, info in header.tensors.items() if name in destinations]
    with path.open("rb", buffering=0) as file, ThreadPoolExecutor(_READERS) as threads:
        for _ in threads.map(lambda place: _read_at(file, place[0], place[1], path), places):
            pass


def bfloat16_to_float32(bits: np.ndarray) -> np.ndarray:
    """Widen a ``BFLOAT16`` array to f32, exactly: the bits are the upper half."""
    return (bits["bfloat16"].astype(np.uint32) << 16).view(np.float32)


def float32_to_bfloat16(values: np.ndarray) -> np.ndarray:
    """Round an f32 array to ``BFLOAT16``: to nearest, ties to even; NaN stays NaN."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    rounded = ((bits.astype(np.uint64) + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    quiet_nan = (bits >> 16).astype(np.uint16) | np.uint16(0x40)
    return np.where(np.isnan(values), quiet_nan, rounded).astype("<u2").view(BFLOAT16).reshape(np.shape(values))


def _read_at(file: FileIO, position: int, array: np.ndarray, path: Path) -> None:
    assert array.flags.c_contiguous
    rest = array.reshape(-1).view(np.uint8).data
    while rest:
        num_bytes = os.preadv(file.fileno(), [rest], position)
        if not num_bytes:
            raise DataError(f"{path} became shorter while it was read. Copy or make it again")
        rest, position = rest[num_bytes:], position + num_bytes


def _read(file: Any, num_bytes: int, path: Path, file_bytes: int) -> bytes:
    data = file.read(num_bytes)
    if len(data) < num_bytes:
        _refuse(path, f"it ends after {file_bytes:,} bytes, within its first {num_bytes:,}")
    return data


def _parse(text: bytes, path: Path) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table = dict(pairs)
        if len(table) < len(pairs):
            twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
            _refuse(path, f'its header names "{_printable(twice)}" twice')
        return table

    if not text.startswith(b"{"):
        _refuse(path, "its header does not begin with {")
    try:
        return json.loads(text.decode("utf-8"), object_pairs_hook=unique, parse_constant=_not_json)
    except RecursionError:
        _refuse(path, "its header is nested too deep")
    except UnicodeDecodeError as error:
        _refuse(path, f"byte {error.start:,} of its header is not UTF-8")
    except DataError:
        raise
    except ValueError as error:  # a JSON error, or an integer of thousands of digits
        _refuse(path, f"its header is not JSON: {error}")


def _not_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON value")


def _metadata(value: Any, path: Path) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        _refuse(path, "its __metadata__ is not a table of strings")
    return value


def _check_names(names: Iterable[str], path: Path) -> None:
    """Names stand in messages: they must be short, and text that can be printed."""
    for name in names:
        if len(name) > _NAME_LENGTH_MAX or _printable(name) != name:
            _refuse(path, f'its tensor "{_printable(name)}" has a name of {len(name):,} letters that is no name')


def _printable(name: str) -> str:
    """The beginning of a name; JSON holds half characters (lone surrogates) too."""
    return name[:_NAME_LENGTH_MAX].encode(errors="backslashreplace").decode()


def _tensor_info(name: str, entry: Any, data_start: int, path: Path) -> TensorInfo:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        _refuse(path, f'its tensor "{name}" does not have exactly dtype, shape and data_offsets')
    kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(kind, str) or kind not in _DTYPES:
        _refuse(path, f'its tensor "{name}" has the dtype {kind!r:.99}; known are {", ".join(_DTYPES)}')
    if not isinstance(shape, list) or not all(_is_size(size) for size in shape) or len(shape) > _DIMENSIONS_MAX:
        _refuse(
            path, f'its tensor "{name}" has a shape that is not up to {_DIMENSIONS_MAX} sizes from 0 on: {shape!r:.99}'
        )
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(_is_size(offset) for offset in offsets):
        _refuse(path, f'its tensor "{name}" has data_offsets that are not two numbers from 0 on: {offsets!r:.99}')
    start, end = offsets
    needed = math.prod(shape) * _DTYPES[kind].itemsize
    if end - start != needed:
        _refuse(path, f'its tensor "{name}" has {end - start:,} bytes, and {kind} x {shape} takes {needed:,}')
    return TensorInfo(_DTYPES[kind], tuple(shape), data_start + start, data_start + end)


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63


def _check_tiling(tensors: Mapping[str, TensorInfo], data_start: int, file_bytes: int, path: Path) -> None:
    """Every byte of the data belongs to one tensor: no holes to hide something in, no overlaps, nothing cut off."""
    position, before = data_start, "the header"
    for name, info in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].end)):
        if info.start != position:
            kind = "overlaps with" if info.start < position else "leaves a hole after"
            _refuse(path, f'its tensor "{name}" {kind} {before}: it starts at byte {info.start:,}, not {position:,}')
        position, before = info.end, f'"{name}"'
    if position != file_bytes:
        what = "it is truncated" if position > file_bytes else "something is attached to it"
        _refuse(path, f"its tensors end at byte {position:,}, and the file at {file_bytes:,}: {what}")


def _in_file_order(name: str, array: np.ndarray) -> np.ndarray:
    """A contiguous little-endian array of a dtype that the format has."""
    dtype = array.dtype if array.dtype == BFLOAT16 else array.dtype.newbyteorder("<")
    _check_kind(name, dtype)
    return np.asarray(array, dtype=dtype, order="C")


def _check_kind(name: str, dtype: np.dtype[Any]) -> None:
    if dtype not in _NAMES:
        raise DataError(f'the tensor "{name}" has the dtype {dtype}; safetensors holds {", ".join(_DTYPES)}')
    if name == "__metadata__":
        raise DataError('no tensor can be named "__metadata__" in a safetensors file')


def _header_bytes(ordered: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]], metadata: Mapping[str, str]) -> bytes:
    entries: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    position = 0
    for name, (dtype, shape) in ordered.items():
        end = position + math.prod(shape) * dtype.itemsize
        entries[name] = {"dtype": _NAMES[dtype], "shape": list(shape), "data_offsets": [position, end]}
        position = end
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the data starts aligned
    return len(text).to_bytes(8, "little") + text


def _refuse(path: Path, reason: str) -> NoReturn:
    raise DataError(f"{path} is not a whole safetensors file: {reason}. Copy or make it again")
