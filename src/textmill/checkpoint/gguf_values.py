"""What a GGUF says of its model, read so that nothing it says is passed over.

Every value that nobody asked for is refused by its name: it may change what the model computes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from textmill.base.errors import DataError
from textmill.base.gguf import Header
from textmill.model.ranges import check_size

# What says nothing of how the model computes, or says it twice.
_IGNORED = {"rope.scaling.finetuned", "tensor_data_layout"}
# What may stand there as long as it asks for nothing.
_HARMLESS: dict[str, tuple[Any, ...]] = {
    "expert_count": (0,),
    "expert_used_count": (0,),
    "attention.causal": (True,),
    "rope.scaling.attn_factor": (1.0,),
    "rope.scaling.yarn_attn_factor": (1.0,),
    "rope.scaling.yarn_ext_factor": (1.0,),
    "rope.scaling.yarn_log_multiplier": (0.0,),
}


class GgufValues:
    """The values of one architecture, and which of them were asked for."""

    def __init__(self, header: Header, architecture: str) -> None:
        self.header, self.architecture = header, architecture
        self._asked = set(_IGNORED)

    def whole(self, name: str, default: int | None = None) -> int:
        """A whole number; one for each layer where all are the same."""
        value = self._one_for_all(name)
        if value is None and default is None:
            raise DataError(f"it has no {self.architecture}.{name}")
        if value is None:
            assert default is not None
            return default
        if not isinstance(value, int) or isinstance(value, bool):
            raise DataError(f"its {self.architecture}.{name} is {str(value)[:40]!r}, and must be a whole number")
        return value

    def num_layers(self) -> int:
        """How many layers, which lists are made for: no more than any model has."""
        number = self.whole("block_count")
        check_size("num_hidden_layers", number)
        return number

    def number(self, name: str, default: float | None = None) -> float:
        """A number, as somebody wrote it before it became a float32."""
        value = self._one_for_all(name)
        value = default if value is None else value
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise DataError(f"its {self.architecture}.{name} is {str(value)[:40]!r}, and must be a number")
        # 1e-5 in float32 is 9.99999974e-6: the shortest number that gives the same float32 is what was meant.
        with np.errstate(over="ignore"):
            return float(str(np.float32(value)))

    def text(self, name: str, default: str) -> str:
        """A text."""
        self._asked.add(name)
        return self.header.value(f"{self.architecture}.{name}", str, default)

    def flags(self, name: str) -> np.ndarray | None:
        """One truth for each layer, bool[layers]; None where there are none."""
        self._asked.add(name)
        value = self.header.value(f"{self.architecture}.{name}", np.ndarray, None)
        if value is not None and value.dtype != np.bool_:
            raise DataError(f"its {self.architecture}.{name} holds {value.dtype}, and must hold true or false")
        return value

    def refuse_the_rest(self) -> None:
        """Raise ``DataError`` that names a value nobody asked for: it may change what the model computes."""
        prefix = f"{self.architecture}."
        for key, value in self.header.values.items():
            name = key.removeprefix(prefix)
            if not key.startswith(prefix) or name in self._asked:
                continue
            if not any(isinstance(value, type(item)) and value == item for item in _HARMLESS.get(name, ())):
                raise DataError(f"it has {key[:80]} = {str(value)[:40]}, which this release cannot reproduce exactly")

    def _one_for_all(self, name: str) -> Any:
        self._asked.add(name)
        value = self.header.values.get(f"{self.architecture}.{name}")
        if not isinstance(value, np.ndarray):
            return value
        if value.size == 0 or not (value == value[0]).all():
            raise DataError(f"its {self.architecture}.{name} differs from layer to layer, which cannot be reproduced")
        return value[0].item()
