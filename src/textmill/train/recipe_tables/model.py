"""The model: ``[model]``."""

from __future__ import annotations

from dataclasses import dataclass

from textmill.base import units
from textmill.base.errors import ConfigError

MAX_PARAMETERS = 10**12


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelTable:
    """``[model]``: a preset, a model to start from, or every field by its Hugging Face name (laid over the preset).

    ``params`` is how many parameters there are to be, as in ``"30M"``: the fields that are left out follow from it
    (``textmill.train.dial``).
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

    def __post_init__(self) -> None:
        beside = [name for name in self.__slots__ if name != "from_" and getattr(self, name) is not None]
        if self.from_ is not None and beside:
            raise ConfigError(f"[model] starts from a model, whose sizes are its own; leave {', '.join(beside)} out")
        if self.params is not None:
            object.__setattr__(self, "params", _read_params(self.params))
            if not self.leaves_size_open:
                says = "preset" if self.preset is not None else "hidden_size and num_hidden_layers"
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
        return self.preset is None and self.from_ is None and None in (self.hidden_size, self.num_hidden_layers)


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
