"""How a model's makers say to draw from it: generation_config.json of a Hugging Face folder."""

from __future__ import annotations

import math
from pathlib import Path

from textmill.base.errors import DataError
from textmill.checkpoint.json_files import read_optional_json

_NUMBERS = ("temperature", "top_p", "min_p", "repetition_penalty")


def load_sampling_defaults(path: Path) -> dict[str, float | int]:
    """Read ``temperature``, ``top_k``, ``top_p``, ``min_p`` and ``repetition_penalty``, as far as they are given.

    ``do_sample: false`` is temperature 0. A GGUF file, and a folder without the file, give nothing.

    Raises:
        DataError: the file is damaged, or one of these is no number.
    """
    if not path.is_dir():
        return {}
    file = path / "generation_config.json"
    table = read_optional_json(file)
    found: dict[str, float | int] = {}
    for name in (*_NUMBERS, "top_k"):
        value = table.get(name)
        if value is None:
            continue
        whole = name == "top_k"
        if not isinstance(value, int if whole else int | float) or isinstance(value, bool) or not math.isfinite(value):
            raise DataError(f"{file}: {name} is {value!r}, and must be a {'whole number' if whole else 'number'}")
        found[name] = value
    return found | {"temperature": 0.0} if table.get("do_sample") is False else found
