"""How a model's makers say to draw from it: generation_config.json of a Hugging Face folder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from textmill.base.errors import DataError
from textmill.checkpoint.json_files import read_optional_json
from textmill.model.ranges import shown

FILE_NAME = "generation_config.json"
_NUMBERS = ("temperature", "top_p", "min_p", "repetition_penalty")
# Less than the most probable token of any vocabulary has.
_ONE_TOKEN = 1e-7


def load_sampling_defaults(path: Path) -> dict[str, Any]:
    """Read ``temperature``, ``top_k``, ``top_p``, ``min_p`` and ``repetition_penalty``, as far as they are given.

    ``do_sample: false`` is temperature 0. As in transformers a ``top_p`` of 1 and more takes nothing away, and of 0 all
    but one token; a ``top_k`` of -1 is 0, as in vLLM. Other values are not checked for their ranges. A GGUF file, and a
    folder without the file, give nothing.

    Raises:
        DataError: the file is damaged, or one of these is no number.
    """
    if not path.is_dir():
        return {}
    file = path / FILE_NAME
    table = read_optional_json(file)
    found: dict[str, Any] = {}
    for name in (*_NUMBERS, "top_k"):
        value = table.get(name)
        if value is None:
            continue
        whole = name == "top_k"
        is_number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
        if not is_number or not abs(value) <= sys.float_info.max:  # whole numbers of 400 digits, too, are no floats
            raise DataError(f"{file}: {name} is {shown(value)}, and must be a {'whole number' if whole else 'number'}")
        found[name] = _understood(name, value)
    return found | {"temperature": 0.0} if table.get("do_sample") is False else found


def _understood(name: str, value: float) -> float:
    if name == "top_k" and value == -1:
        return 0
    if name == "top_p":
        return min(value, 1.0) or _ONE_TOKEN
    return value
