"""Large arrays of numbers as JSON can hold them: their bytes in base64, with dtype and shape."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np


def packed(values: np.ndarray, dtype: str = "float16") -> dict[str, Any]:
    """Pack an array, little-endian, the last axis the fastest."""
    data = np.ascontiguousarray(values, np.dtype(dtype).newbyteorder("<"))
    return {"dtype": dtype, "shape": list(data.shape), "base64": base64.b64encode(data.tobytes()).decode()}


def unpacked(table: dict[str, Any]) -> np.ndarray:
    """The array that was packed."""
    dtype = np.dtype(table["dtype"]).newbyteorder("<")
    return np.frombuffer(base64.b64decode(table["base64"]), dtype).reshape(table["shape"])


def figures(values: np.ndarray) -> list[float | None]:
    """Figures as a list; None for what is no number, which JSON cannot hold."""
    known = np.isfinite(values)
    if known.all():
        return values.tolist()
    return [value if is_known else None for value, is_known in zip(values.tolist(), known.tolist(), strict=True)]
