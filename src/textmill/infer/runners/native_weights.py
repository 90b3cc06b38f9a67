"""In which types the native engine keeps a model's weights."""

from __future__ import annotations

from textmill.base.errors import ConfigError
from textmill.checkpoint.stored_model import StoredModel, StoredTensor
from textmill.model.config import VALUE_EMBEDDINGS

# What a panel of the engine can hold as it is stored. Others become f32, which holds every value of theirs.
_AS_STORED = {"BF16": "bf16", "Q8_0": "q8", "Q4_0": "q4", "Q4_1": "q4_min"}
_PLAIN = ("F32", "F16", "BF16")
# int8 and int4 have a scale for each 32 columns of a row, int4 a least value too.
_ASKED = {"f32": "f32", "bf16": "bf16", "int8": "q8", "int4": "q4_min"}
_BITS = {"f32": 32.0, "bf16": 16.0, "q8": 8.5, "q4": 4.5, "q4_min": 5.0}


def check_types(stored: StoredModel, weights: str) -> None:
    """Raise ``ConfigError`` where ``file`` is asked for and a tensor cannot be computed with as it is stored."""
    if weights != "file":
        return
    if stored.path.is_dir():
        raise ConfigError(f'weights is "file", which is for the blocks of a GGUF, and {stored.path} is a folder')
    for name, tensor in stored.tensors.items():
        if len(tensor.shape) == 2 and tensor.type not in _AS_STORED and tensor.type not in _PLAIN:
            raise ConfigError(
                f'weights is "file", and {name} is stored as {tensor.type}, which the engine does not compute with. '
                'Take weights "auto" (the same values in f32) or "int8"'
            )


def layer_and_part(name: str) -> tuple[int | None, str]:
    """A tensor's layer, and its name within it: ``model.layers.3.mlp.up_proj.weight`` is (3, ``mlp.up_proj``)."""
    part = name.removesuffix(".weight").removesuffix(".bias")
    if not part.startswith("model.layers."):
        return None, part
    layer, _, rest = part.removeprefix("model.layers.").partition(".")
    return int(layer), rest


def is_table(name: str) -> bool:
    """Whether tokens look up rows of a tensor: the input table, or a layer's value embeddings."""
    return name == "model.embed_tokens.weight" or name.endswith(VALUE_EMBEDDINGS)


def kept_type(name: str, stored_type: str, weights: str) -> str:
    """How the engine keeps a matrix: ``f32``, ``bf16``, ``q8``, ``q4`` or ``q4_min``.

    ``auto`` and ``file`` round no weight. With ``int4`` the head has eight bits: it decides between tokens. With
    ``int8`` and ``int4`` the projection to values has bf16, and so have its inputs: rounding those to eight bits took
    more than half of what all rounding took from SmolLM2-135M (docs/benchmarks/log.md), for 3 % of the weights.
    """
    if weights in ("auto", "file") or (weights == "int4" and stored_type == "Q4_0"):
        return _AS_STORED.get(stored_type, "f32")
    if weights in ("int8", "int4") and name.endswith(".v_proj.weight"):
        return "bf16"
    return "q8" if weights == "int4" and name == "lm_head.weight" else _ASKED[weights]


def kept_bytes(name: str, tensor: StoredTensor, weights: str) -> int:
    """Bytes of a tensor in the engine, but for the rounding up to whole panels; tables stay as stored."""
    if is_table(name):
        return tensor.data.nbytes
    num_values = 1
    for size in tensor.shape:
        num_values *= size
    bits = _BITS[kept_type(name, tensor.type, weights)] if len(tensor.shape) == 2 else 32.0
    return int(num_values * bits / 8)


def kept_sizes(stored: StoredModel, weights: str) -> dict[str, int]:
    """Bytes that the engine keeps of each tensor, the head that is tied to the table among them."""
    tensors = dict(stored.tensors)
    tensors.setdefault("lm_head.weight", tensors["model.embed_tokens.weight"])
    return {name: kept_bytes(name, tensor, weights) for name, tensor in tensors.items()}
