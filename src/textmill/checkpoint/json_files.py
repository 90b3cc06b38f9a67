"""JSON files of models and checkpoints, read with care: they come from anywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from textmill.base.errors import DataError

_BYTES_MAX = 256_000_000  # the largest tokenizer.json in use takes 35 MB


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        DataError: where the file is missing, too large, not UTF-8, not JSON, nested too deep, or not an object.
    """
    try:
        num_bytes = path.stat().st_size
        if num_bytes > _BYTES_MAX:
            raise DataError(f"{path} has {num_bytes:,} bytes, and at most {_BYTES_MAX:,} are read")
        table = json.loads(path.read_bytes().decode("utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except RecursionError as error:
        raise DataError(f"{path} cannot be read: it is nested too deep") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text: byte {error.start} cannot be decoded") from error
    except json.JSONDecodeError as error:
        raise DataError(f"{path} is not whole JSON: {error}. Copy or make it again") from error
    except ValueError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} cannot be read: {error}") from error  # an integer of thousands of digits
    if not isinstance(table, dict):
        raise DataError(f"{path} holds a {type(table).__name__}, and must hold a JSON object")
    return table


def read_optional_json(path: Path) -> dict[str, Any]:
    """Read a JSON object, or nothing where there is no such file."""
    return read_json(path) if path.exists() else {}


def to_json(value: Any) -> str:
    """Write JSON as these files hold it: indented, as given in order, one newline at the end."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
