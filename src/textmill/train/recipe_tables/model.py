"""The model: ``[model]``."""

from __future__ import annotations

from dataclasses import dataclass

from textmill.base import units
from textmill.base.errors import ConfigError

MAX_PARAMETERS = 10**12

ARCHITECTURES: dict[str, dict[str, bool]] = {
    "llama": {"qk_norm": False, "value_embeddings": False},
    "fast": {"qk_norm": True, "value_embeddings": True},
}
"""Presets that say what parts a model has, and not how large it is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelTable:
    """``[model]``: a preset, a model to start from, or every field by its Hugging Face name (laid over the preset).

    ``params`` is how many parameters there are to be, as in ``"30M"``: the fields that are left out follow from it
    (``textmill.train.dial``). The presets of ``ARCHITECTURES`` leave the size to it, or to the fields.
    """

    params: int | str | None = None
    preset: str | None = None
    from_: str | None = None
    hidden_size: int | None = None
    intermediate_size: int | None = None
    num_hidden_layers: int | None = None
    num_attention_heads: int | None = None
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    max_position_embeddings: int | None = None
    rms_norm_eps: float | None = None
    rope_theta: float | None = None
    tie_word_embeddings: bool | None = None
    initializer_range: float | None = None
    qk_norm: bool | None = None
    value_embeddings: bool | None = None

    def __post_init__(self) -> None:
        beside = [name for name in self.__slots__ if name != "from_" and getattr(self, name) is not None]
        if self.from_ is not None and beside:
            raise ConfigError(f"[model] starts from a model, whose sizes are its own; leave {', '.join(beside)} out")
        if self.params is not None:
            object.__setattr__(self, "params", _read_params(self.params))
            if not self.leaves_size_open:
                is_sized = self.preset is not None and self.preset not in ARCHITECTURES
                says = "preset" if is_sized else "hidden_size and num_hidden_layers"
                raise ConfigError(
                    f"model.params is {units.count(self.num_parameters or 0)}, and [model] has {says}, which says the "
                    "size already; leave one of them out"
                )

    @property
    def num_parameters(self) -> int | None:
        """How many parameters are asked for; None where nobody says."""
        return None if self.params is None else int(self.params)

    @property
    def leaves_size_open(self) -> bool:
        """Whether width or depth are not given, and are to follow from ``params`` or from the time there is."""
        if self.from_ is not None or (self.preset is not None and self.preset not in ARCHITECTURES):
            return False
        return None in (self.hidden_size, self.num_hidden_layers)

    @property
    def parts(self) -> dict[str, bool]:
        """``qk_norm`` and ``value_embeddings``: as they are given, or by the preset; a model has neither else."""
        parts = ARCHITECTURES.get(self.preset or "llama", ARCHITECTURES["llama"])
        given = {name: getattr(self, name) for name in parts}
        return parts | {name: value for name, value in given.items() if value is not None}


def _read_params(params: int | str) -> int:
    try:
        number = units.read_count(str(params))
    except ValueError:
        raise ConfigError(
            f'model.params is "{params}", which is no number of parameters; write it as in 30M, 1.5B or 3e7'
        ) from None
    if not 1 <= number <= MAX_PARAMETERS:
        raise ConfigError(f"model.params is {params}, and must be 1 or more, {units.count(MAX_PARAMETERS)} at most")
    return number
