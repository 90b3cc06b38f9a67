"""A model's config.json, as transformers 4 and 5 write it, and as both read it.

Absent keys mean what they mean in the class of the model's ``model_type`` (``family``); a BOS or EOS that is absent is
none. Reading fails closed: a feature that this model cannot reproduce exactly is refused by its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from textmill.base.errors import DataError
from textmill.model.family import FAMILIES, Family, family_of
from textmill.model.hf_layers import read_layers, write_layers
from textmill.model.hf_rope import read_rope, write_rope
from textmill.model.ranges import check_size, shown

if TYPE_CHECKING:
    from textmill.model.config import ModelConfig

_SIZES = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
# What a config.json may say of a feature without asking for it.
_OFF: dict[str, tuple[Any, ...]] = {
    "hidden_act": ("silu", "swish"),
    "rope_interleaved": (False,),
    "partial_rotary_factor": (1.0,),
    "qk_norm": (False,),
    "use_qk_norm": (False,),
    "value_embeddings": (False,),
    "num_local_experts": (0,),
    "num_experts": (0,),
    "n_routed_experts": (0,),
    "attn_logit_softcapping": (),
    "final_logit_softcapping": (),
    "attention_chunk_size": (),
    "dual_chunk_attention_config": (),
    "use_mrope": (False,),
    "quantization_config": (),
    "is_decoder": (True, False),
    "is_encoder_decoder": (False,),
    "add_cross_attention": (False,),
}


def read_hf(table: Mapping[str, Any]) -> dict[str, Any]:
    """Read the fields of a ``ModelConfig`` from a config.json's table.

    Raises:
        DataError: for a feature that cannot be reproduced exactly, or a missing size.
        ConfigError: for a value out of its range.
    """
    if table.get("model_type") is None:
        raise DataError(f"the model's configuration names no model_type; this release reads {', '.join(FAMILIES)}")
    family = family_of(table["model_type"])
    _refuse_unsupported(table, family)
    missing = [name for name in _SIZES if table.get(name) is None]
    if missing:
        raise DataError(f"the model's configuration lacks {', '.join(missing)}; it is not a whole config.json")
    for name in _SIZES:
        check_size(name, table[name])
    values: dict[str, Any] = {name: table[name] for name in ("model_type", *_SIZES)}
    for name, default in (
        ("max_position_embeddings", family.max_position_embeddings),
        ("rms_norm_eps", 1e-6),
        ("tie_word_embeddings", family.tie_word_embeddings),
        ("initializer_range", 0.02),
        ("head_dim", family.head_dim or table["hidden_size"] // table["num_attention_heads"]),
    ):
        values[name] = _or_default(table, name, default)
    context = values["max_position_embeddings"]
    values["rope_theta"], values["rope_scaling"] = read_rope(table, family.rope_theta, context)
    values["bos_token_id"] = table.get("bos_token_id")
    eos = table.get("eos_token_id")
    values["eos_token_id"] = tuple(eos) if isinstance(eos, list) else eos
    return values | _heads(table, family) | _biases(table, family) | read_layers(table, family)


def write_hf(config: ModelConfig, dtype: str) -> dict[str, Any]:
    """Write a config.json's table; ``dtype`` is that of the tensors, as torch names it.

    ``rope_theta``, ``rope_scaling`` and ``torch_dtype`` are where transformers 4 looks, ``rope_parameters`` and
    ``dtype`` where transformers 5 does.
    """
    family = family_of(config.model_type)
    names = (*_SIZES, "num_key_value_heads", "head_dim", "max_position_embeddings", "rms_norm_eps")
    table = {name: getattr(config, name) for name in names}
    eos = config.eos_token_id
    table |= {
        "architectures": [family.architecture],
        "model_type": config.model_type,
        "tie_word_embeddings": config.tie_word_embeddings,
        "bos_token_id": config.bos_token_id,
        "eos_token_id": list(eos) if isinstance(eos, tuple) else eos,
        "initializer_range": config.initializer_range,
        "hidden_act": "silu",
        "attention_dropout": 0.0,
        "use_cache": True,
        "dtype": dtype,
        "torch_dtype": dtype,
    }
    if config.model_type == "llama":
        table["pretraining_tp"] = 1
    if config.model_type == "smollm3":
        table["pad_token_id"] = None  # absent it is 128004, which has no row in a smaller table
    if family.attention_bias == "key":
        table["attention_bias"] = config.qkv_bias
    if family.qk_norm == "key":
        table["qk_norm"] = config.qk_norm
    if family.value_embeddings:
        table["value_embeddings"] = config.value_embeddings
    if family.mlp_bias:
        table["mlp_bias"] = config.mlp_bias
    return table | write_rope(config.rope_theta, config.rope_scaling) | write_layers(config, family)


def _refuse_unsupported(table: Mapping[str, Any], family: Family) -> None:
    harmless = dict(_OFF)
    if family.attention_bias != "key":
        harmless["attention_bias"] = (family.attention_bias == "qkv",)
    if not family.mlp_bias:
        harmless["mlp_bias"] = (False,)
    if not family.nope:
        harmless |= {"no_rope_layers": ([],), "no_rope_layer_interval": (0,)}
    if family.windows == "none":
        harmless |= {"sliding_window": (), "use_sliding_window": (False,)}
    if family.qk_norm == "key":
        del harmless["qk_norm"]
    if family.value_embeddings:
        del harmless["value_embeddings"]
    for name, values in harmless.items():
        value = table.get(name)
        if value is not None and value not in values:
            wanted = " or ".join(repr(choice) for choice in values) or "absent"
            raise DataError(
                f"the model asks for {name} = {shown(value)}, which this release cannot reproduce exactly in a "
                f'model of model_type "{table["model_type"]}" ({wanted} it can)'
            )


def _heads(table: Mapping[str, Any], family: Family) -> dict[str, Any]:
    """Key-value heads: null is one for each query head, and absent what the family says."""
    heads = table.get("num_key_value_heads", family.num_key_value_heads)
    return {"num_key_value_heads": table["num_attention_heads"] if heads is None else heads}


def _biases(table: Mapping[str, Any], family: Family) -> dict[str, Any]:
    everywhere = family.attention_bias == "key" and _or_default(table, "attention_bias", False)
    return {
        "qkv_bias": everywhere or family.attention_bias == "qkv",
        "o_bias": everywhere,
        "mlp_bias": family.mlp_bias and _or_default(table, "mlp_bias", False),
        "qk_norm": _or_default(table, "qk_norm", False) if family.qk_norm == "key" else family.qk_norm,
        "value_embeddings": family.value_embeddings and _or_default(table, "value_embeddings", False),
    }


def _or_default(table: Mapping[str, Any], name: str, default: Any) -> Any:
    value = table.get(name)
    return default if value is None else value
