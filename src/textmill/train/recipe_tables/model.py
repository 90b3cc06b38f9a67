"""The model: ``[model]``."""

from __future__ import annotations

from dataclasses import dataclass

from textmill.base.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelTable:
    """``[model]``: a preset, a model to start from, or every field by its Hugging Face name (laid over the preset)."""

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
