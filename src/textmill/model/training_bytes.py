"""The memory that a step of training takes at its peak, part by part, reckoned from sizes alone.

A step has four moments that may be the peak: the loss, when all activations are held and a chunk of logits is; the last
block's backward; the input table's gradient at the end of backward; and the optimizer. Nothing here needs torch.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

from textmill.model.activation_bytes import (
    CHUNK_ROWS_ON_GPU,
    ActivationType,
    AdapterSizes,
    block_matrix_parameters,
    chunk_rows,
    saved_bytes_per_block,
)
from textmill.model.config import VALUE_EMBEDDINGS, ModelConfig

Remat = Literal["none", "llama", "full"]
Optimizer = Literal["adamw", "muon"]
Targets = Literal["all", "some", "each"]
"""What the loss is of: the mean of all tokens, of some that are gathered, or of some whose nats are weighed one by one.

Where nats are weighed (``token_nats``), logits are made again in backward, and their softmax is in f32.
"""
_F32 = 4
_BYTES: dict[ActivationType, int] = {"f32": 4, "bf16": 2}
# What the libraries of matrix products keep for themselves, and code that is read in: 70 to 90 MB were measured.
_RUNTIME = 80 << 20
# Into the last norm, out of it, the gradient of that; rows that have a target, and those once more in backward.
_STATES: dict[Targets, int] = {"all": 3, "some": 4, "each": 5}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TrainingBytes:
    """What a step of training holds, in bytes.

    Attributes:
        weights: in f32; frozen matrices in the type of activations.
        gradients: in f32, of what is learned.
        optimizer_state: AdamW's two moments of each parameter, Muon's one of blocks' matrices; the weights' average.
        saved_activations: what all blocks save for backward.
        weight_casts: of blocks' weights to the activations' type, as far as they are held with those.
        states: what goes into the last norm, what comes out, and the gradient of that.
        head_gradient: what the loss gathers for the head, in f32.
        loss: a chunk's logits, which become their gradient; the head's cast, and a product beside it.
        block_backward: the most that a block's backward holds beside what was saved.
        table_gradient: of the input table, before it is added to what is there.
        optimizer: what the optimizer needs for a moment.
        runtime: of libraries.
        accumulates: whether gradients of an earlier micro-batch are there when the loss is.
        tied: whether head and input table are one.
    """

    weights: int
    gradients: int
    optimizer_state: int
    saved_activations: int
    weight_casts: int
    states: int
    head_gradient: int
    loss: int
    block_backward: int
    table_gradient: int
    optimizer: int
    runtime: int
    accumulates: bool
    tied: bool

    @property
    def between(self) -> int:
        """What is held between steps, when there are neither activations nor gradients."""
        return self.weights + self.optimizer_state + self.runtime

    @property
    def peak(self) -> int:
        """The largest of the moments."""
        always = self.between
        activations = self.saved_activations + self.weight_casts + self.states
        early = always + activations + (self.gradients if self.accumulates else 0)
        late = always + self.gradients
        head = self.head_gradient if self.tied else 0
        return max(
            early + self.head_gradient + self.loss,
            early + self.head_gradient + self.block_backward,
            late + head + self.block_backward,
            late + head + self.table_gradient,
            late + self.optimizer,
        )


def training_bytes(
    config: ModelConfig,
    *,
    micro_rows: int,
    context: int,
    dtype: ActivationType,
    remat: Remat,
    optimizer: Optimizer = "adamw",
    averages: bool = False,
    accumulates: bool = True,
    on_gpu: bool = False,
    targets: Targets = "all",
    adapters: AdapterSizes | None = None,
) -> TrainingBytes:
    """Reckon with a step on rows of ``context`` tokens, ``micro_rows`` at once.

    These are the bytes that are asked for. An allocator that keeps what was given back, as glibc's does unless
    ``allocator`` tells it otherwise, holds up to a tenth more.

    Args:
        config: the model's sizes.
        micro_rows: rows that go through the model at once.
        context: tokens of a row.
        dtype: of activations; weights, gradients and optimizer state are in f32.
        remat: as in ``textmill.model.remat``.
        optimizer: AdamW for everything, or Muon for blocks' matrices and AdamW for the rest.
        averages: whether a moving average of the weights is kept.
        accumulates: whether a step has more than one micro-batch.
        on_gpu: whether the loss cuts logits as it does on a GPU.
        targets: what the loss is of.
        adapters: what is learned where the model is frozen.
    """
    parameters, num_tokens, size = config.num_parameters, micro_rows * context, _BYTES[dtype]
    layers = config.num_hidden_layers
    block = saved_bytes_per_block(config, batch=micro_rows, context=context, dtype=dtype, remat=remat)
    head = config.vocab_size * config.hidden_size
    whole = TrainingBytes(
        weights=_F32 * parameters,
        gradients=_F32 * parameters,
        optimizer_state=state_bytes(config, optimizer, averages=averages) - _F32 * parameters,
        saved_activations=layers * block.activations,
        weight_casts=layers * block.casts,
        states=num_tokens * (_STATES[targets] * size * config.hidden_size + _F32),
        head_gradient=_F32 * head,
        loss=_loss(config, num_tokens, size, targets, on_gpu=on_gpu, learns_head=adapters is None),
        block_backward=_block_backward(config, micro_rows, context, dtype, remat),
        table_gradient=_F32 * head,
        optimizer=_muon(config) if optimizer == "muon" else 0,
        runtime=_RUNTIME,
        accumulates=accumulates,
        tied=config.tie_word_embeddings,
    )
    if adapters is None:
        return whole
    return _of_adapters(whole, config, adapters, num_tokens=num_tokens, dtype=dtype, remat=remat, averages=averages)


def state_bytes(
    config: ModelConfig, optimizer: Optimizer, *, averages: bool = False, learned: int | None = None
) -> int:
    """What a run goes on from: weights, AdamW's two moments of each or Muon's one of blocks' matrices, the average."""
    if learned is not None:
        return _F32 * (4 if averages else 3) * learned
    by_muon = config.num_hidden_layers * block_matrix_parameters(config) if optimizer == "muon" else 0
    return _F32 * ((4 if averages else 3) * config.num_parameters - by_muon)


def _of_adapters(
    whole: TrainingBytes,
    config: ModelConfig,
    adapters: AdapterSizes,
    *,
    num_tokens: int,
    dtype: ActivationType,
    remat: Remat,
    averages: bool,
) -> TrainingBytes:
    """As much, less what a frozen model has not: gradients, optimizer state, casts and weights in f32."""
    learned, size = adapters.num_parameters, _BYTES[dtype]
    frozen = sum(math.prod(shape) * (size if len(shape) == 2 else _F32) for shape in config.tensor_shapes().values())
    saved = adapters.saved_bytes(num_tokens, dtype)
    second_factor = config.vocab_size * adapters.head_rank
    return dataclasses.replace(
        whole,
        weights=frozen + _F32 * learned,
        gradients=_F32 * learned,
        optimizer_state=_F32 * (3 if averages else 2) * learned,
        saved_activations=whole.saved_activations + (0 if remat == "full" else sum(saved)),
        weight_casts=0,
        states=whole.states + adapters.head_bytes(config.hidden_size, num_tokens, dtype),
        head_gradient=_F32 * second_factor,
        loss=whole.loss + (2 * second_factor * size if size != _F32 else 0),
        block_backward=_adapted_backward(config, adapters, num_tokens, dtype, remat),
        table_gradient=0,
        tied=False,
    )


def _adapted_backward(
    config: ModelConfig, adapters: AdapterSizes, num_tokens: int, dtype: ActivationType, remat: Remat
) -> int:
    """The most of SwiGLU's backward and of that of the products before it, whose weights are put together.

    No weight has a gradient. Where inputs are dropped they are dropped again, and so is what comes back through them.
    """
    size, width, inner = _BYTES[dtype], config.hidden_size, config.intermediate_size
    drops = any(adapters.num_masked)
    swiglu = num_tokens * size * (3 * inner + 2 * width + (inner if drops else 0))
    joined = 2 * inner * width * size
    qkv = (config.num_attention_heads + 2 * config.num_key_value_heads) * config.head_dim
    widest = min(max(adapters.num_scaled, default=0), max(2 * inner, qkv))
    # Outputs' gradient, in f32 if it is not, and from it that of what was scaled and that of the scale.
    scaled = num_tokens * widest * (3 * _F32 + (0 if size == _F32 else size))
    products = num_tokens * size * (2 * inner + 4 * width + (width if drops else 0)) + joined
    if remat != "full":
        return max(swiglu, products, scaled)
    again = saved_bytes_per_block(config, batch=1, context=num_tokens, dtype=dtype, remat="none")
    return max(swiglu, products, scaled) + again.activations + max(adapters.saved_bytes(num_tokens, dtype))


def _loss(config: ModelConfig, num_tokens: int, size: int, targets: Targets, *, on_gpu: bool, learns_head: bool) -> int:
    """Logits, whose gradient takes their place; the head's cast and a product of it, where they are not in f32.

    So it is on a CPU. On other devices torch's softmax takes 4 bytes for each logit of a chunk beside that, and as much
    for logits that are not in f32: it makes them that first. So it is where nats are weighed everywhere, too. A frozen
    head is in the type of activations, and has no gradient.
    """
    rows = CHUNK_ROWS_ON_GPU if on_gpu else chunk_rows(config.vocab_size)
    logits = min(num_tokens, rows) * config.vocab_size
    head = config.vocab_size * config.hidden_size
    softmax = (1 if size == _F32 else 2) * _F32 * logits if on_gpu or targets == "each" else 0
    return logits * size + softmax + (2 * head * size if learns_head and size != _F32 else 0)


def _block_backward(config: ModelConfig, micro_rows: int, context: int, dtype: ActivationType, remat: Remat) -> int:
    """SwiGLU's: three of its width and the gradients of its output and weights, or what ``full`` makes again beside.

    Of the three the first is the gradient of its product, in whose place ``llama`` makes the product again.
    """
    num_tokens, size = micro_rows * context, _BYTES[dtype]
    stream = num_tokens * config.hidden_size * size
    weight = config.intermediate_size * config.hidden_size
    gradient = weight * (_F32 if size == _F32 else size + _F32)
    swiglu = 3 * num_tokens * config.intermediate_size * size + 2 * stream + gradient
    values = _F32 * config.num_key_value_heads * config.head_dim * (config.vocab_size + num_tokens)
    swiglu = max(swiglu, values if config.value_embeddings else 0)  # a table's gradient, and that of its rows
    if remat == "none":
        return swiglu
    if remat == "llama":
        return swiglu + (0 if size == _F32 else weight * size)
    again = saved_bytes_per_block(config, batch=micro_rows, context=context, dtype=dtype, remat="none")
    return swiglu + again.activations + again.casts + _F32 * block_matrix_parameters(config)


def _muon(config: ModelConfig) -> int:
    """Matrices of one shape are taken together: five times their bytes, and three times those of their products."""
    groups: dict[tuple[int, ...], int] = {}
    for name, shape in config.tensor_shapes().items():
        if ".layers." in name and len(shape) == 2 and not name.endswith(VALUE_EMBEDDINGS):
            groups[shape] = groups.get(shape, 0) + 1
    return max(_F32 * count * (5 * math.prod(shape) + 3 * min(shape) ** 2) for shape, count in groups.items())
