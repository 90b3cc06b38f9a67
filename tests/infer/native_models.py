"""Small random models for the native engine, in any type that files store."""

from pathlib import Path

import numpy as np

from textmill.base import gguf_blocks
from textmill.base.gguf_types import TENSOR_TYPES
from textmill.checkpoint.stored_model import StoredModel, StoredTensor
from textmill.infer.runners.native import open_runner
from textmill.infer.runners.runner import Chunk
from textmill.model.config import ModelConfig

_LAYOUTS = {kind.name: kind for kind in TENSOR_TYPES.values()}


def small_config(**changes):
    return ModelConfig(
        **{
            "vocab_size": 60,
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "max_position_embeddings": 4096,
            **changes,
        }
    )


def random_tensors(config, seed=1, deviation=0.3):
    """Weights that leave no part without effect: biases, and norms that are not 1. Large ones magnify rounding."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for name, shape in config.tensor_shapes().items():
        of = (1.0, 0.2) if "norm" in name else (0.0, deviation)
        tensors[name] = rng.normal(*of, shape).astype(np.float32)
    return tensors


def exploding_tensors(config, token_id):
    """Finite weights with which one token, and no other, is infinite within the first layer.

    It alone has a value in the first dimension of the stream, which a norm's weight then takes beyond all floats.
    """
    tensors = random_tensors(config)
    tensors["model.embed_tokens.weight"][:, 0] = 0
    tensors["model.embed_tokens.weight"][token_id, 0] = 5
    for layer in range(config.num_hidden_layers):
        for name in ("self_attn.o_proj", "mlp.down_proj"):
            tensors[f"model.layers.{layer}.{name}.weight"][0] = 0
    tensors["model.layers.0.post_attention_layernorm.weight"][0] = 3e38
    return tensors


def random_blocks(type_name, shape, rng):
    """Bytes that any file of the type might hold; its float16 scales are about what makes values of 0.1."""
    kind = _LAYOUTS[type_name]
    blocks = rng.integers(0, 256, (np.prod(shape) // kind.block_size, kind.block_bytes), dtype=np.uint8)
    numbers = {"Q4_K": 15 * 63, "Q5_K": 31 * 63, "Q6_K": 32 * 127, "Q8_0": 128}.get(type_name, 16)
    for at in {"Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,), "Q4_1": (0, 2), "Q5_1": (0, 2)}.get(type_name, (0,)):
        scales = rng.normal(size=len(blocks)).astype(np.float16) * np.float16(0.2 / numbers)
        blocks[:, at : at + 2] = scales.view(np.uint8).reshape(-1, 2)
    return blocks.reshape(-1)


def store(values, type_name="F32"):
    return StoredTensor(type=type_name, shape=values.shape, data=gguf_blocks.quantize(type_name, values))


def with_random_blocks(tensors, type_name, seed=1):
    """The same model with random blocks for its matrices, of a type that is read and not written."""
    rng = np.random.default_rng(seed)
    return {
        name: values
        if values.ndim != 2 or "embed" in name
        else StoredTensor(type=type_name, shape=values.shape, data=random_blocks(type_name, values.shape, rng))
        for name, values in tensors.items()
    }


def stored_model(config, tensors, type_name="F32", *, path="random.gguf"):
    """A model in memory; vectors are F32 as in files. Tensors may be ``StoredTensor`` already."""
    stored = {
        name: tensor
        if isinstance(tensor, StoredTensor)
        else store(tensor, type_name if tensor.ndim == 2 and "embed" not in name else "F32")
        for name, tensor in tensors.items()
    }
    return StoredModel(path=Path(path), config=config, tensors=stored, load_tokenizer=None, load_text_rules=None)


def runner_of(config, tensors=None, type_name="F32", **options):
    tensors = random_tensors(config) if tensors is None else tensors
    options = {"kv": "f32", "context": 1024, "threads": 1, "kv_memory": 1 << 24} | options
    return open_runner(stored_model(config, tensors, type_name), **options)


def logits_of(runner, ids, *, cuts=(), blocks=None, adapter=None):
    """Logits [T, V] of one text, its tokens in chunks that end at ``cuts``."""
    blocks = range(-(-len(ids) // runner.block_size)) if blocks is None else blocks
    rows = []
    for start, end in zip([0, *cuts], [*cuts, len(ids)], strict=True):
        chunk = Chunk(ids=ids[start:end], start=start, blocks=list(blocks), num_logits=end - start, adapter=adapter)
        rows.append(runner.forward([chunk]))
    return np.concatenate(rows)
