"""The models that a recipe can name, and a recipe's ``[model]`` as a model's sizes. Nothing here needs torch."""

from __future__ import annotations

from textmill.base.errors import ConfigError, did_you_mean
from textmill.model.config import ModelConfig
from textmill.model.family import model_type_of
from textmill.model.presets import preset
from textmill.train.recipe_tables.model import ARCHITECTURES, ModelTable


def _sizes(depth: int) -> dict[str, int]:
    """A LLaMA of so many layers, 64 wide for each of them; the feed-forward is 8/3 of the width, in steps of 64."""
    width = 64 * depth
    return {
        "hidden_size": width,
        "intermediate_size": -(-width * 8 // 3 // 64) * 64,
        "num_hidden_layers": depth,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": width // 4,
    }


def _published(name: str) -> dict[str, int | bool]:
    """The shape of a published model; vocabulary, context and RoPE's base are the recipe's to say."""
    config = preset(name)
    return {size: getattr(config, size) for size in (*_sizes(1), "tie_word_embeddings")}


# Models that a recipe can name: two for a CPU, and those of the papers whose recipes are shipped.
PRESETS: dict[str, dict[str, int | bool]] = {
    "tiny": dict(_sizes(3)),
    "small": dict(_sizes(6)),
    **{
        name: _published(name)
        for name in (
            "llama-7b",
            "llama-13b",
            "llama-33b",
            "llama-65b",
            "smollm2-135m",
            "smollm2-360m",
            "smollm2-1.7b",
            "tinyllama-1.1b",
        )
    },
}


def model_config(
    table: ModelTable, *, vocab_size: int, context: int, rope_theta: float, end_of_text: int
) -> ModelConfig:
    """Turn a recipe's ``[model]`` into a model's sizes.

    Raises:
        ConfigError: an unknown preset, or a size that is missing or does not fit the others.
    """
    sizes: dict[str, int | float | bool] = {}
    if table.preset is not None and table.preset not in ARCHITECTURES:
        if table.preset not in PRESETS:
            known = (*PRESETS, *ARCHITECTURES)
            raise ConfigError(
                f'model.preset "{table.preset}" is unknown{did_you_mean(table.preset, known)} Known: {", ".join(known)}'
            )
        sizes.update(PRESETS[table.preset])
    given = {name: getattr(table, name) for name in table.__slots__ if name not in ("params", "preset", "from_")}
    sizes.update({name: value for name, value in given.items() if value is not None})
    missing = [
        name for name in PRESETS["tiny"] if name not in sizes and name not in ("head_dim", "num_key_value_heads")
    ]
    if missing:
        raise ConfigError(f"[model] lacks {', '.join(missing)}; give a preset ({', '.join(PRESETS)}) or every size")
    if table.hidden_size is not None and table.head_dim is None:
        sizes["head_dim"] = int(sizes["hidden_size"]) // int(sizes["num_attention_heads"])
    sizes.setdefault("head_dim", int(sizes["hidden_size"]) // int(sizes["num_attention_heads"]))
    sizes.setdefault("num_key_value_heads", int(sizes["num_attention_heads"]))
    sizes.setdefault("max_position_embeddings", context)
    sizes.setdefault("rope_theta", rope_theta)
    sizes.setdefault("tie_word_embeddings", False)
    sizes.update(table.parts)
    if int(sizes["max_position_embeddings"]) < context:
        raise ConfigError(
            f"the stage's context is {context}, and model.max_position_embeddings {sizes['max_position_embeddings']}; "
            "raise the one or lower the other"
        )
    return ModelConfig(
        model_type=model_type_of(**table.parts),
        vocab_size=vocab_size,
        bos_token_id=end_of_text,
        eos_token_id=end_of_text,
        **sizes,  # type: ignore[arg-type]
    )


def size_for(minutes: float) -> list[str]:
    """Choose a model that so many minutes of a CPU use well, as settings over the ``tiny`` recipe.

    At 2 minutes it is 3 layers, taken from those measured on 2 cores (docs/benchmarks/log.md says why, and what scored
    a little better). From there, unmeasured, the blocks' parameters grow with the square root of the compute
    (arXiv:2203.15556 §3), and the width with the depth.
    """
    allowed = _block_parameters(3) * (minutes / 2) ** 0.5 * 1.001
    depth = max((depth for depth in range(1, 33) if _block_parameters(depth) <= allowed), default=1)
    return [f"model.{name}={value}" for name, value in _sizes(depth).items()]


def _block_parameters(depth: int) -> int:
    sizes = _sizes(depth)
    return depth * sizes["hidden_size"] * (3 * sizes["hidden_size"] + 3 * sizes["intermediate_size"])
