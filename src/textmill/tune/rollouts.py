"""Answers that the model in training writes itself, by the inference engine: its weights are handed over in memory.

An answer is a pure function of weights, prompt and seed: on the CPU it is the same in any batch and for any number of
threads, so a run that is resumed writes the same answers again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from textmill.checkpoint.stored_model import StoredModel, StoredTensor
from textmill.checkpoint.text_rules import TextRules
from textmill.data.permutation import hash_key
from textmill.infer.answer import whole
from textmill.infer.engine import LanguageModel, open_stored
from textmill.infer.request import Request
from textmill.model.config import ModelConfig
from textmill.model.estimate import estimate
from textmill.model.flops import kv_cache_bytes_of

# How many texts of the whole context an engine has room for (``infer/runners``), and the largest block of them.
_AT_ONCE_ON_CPU, _AT_ONCE = 8, 64
_BLOCK_TOKENS = 256

if TYPE_CHECKING:
    from textmill.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True, slots=True)
class Rollout:
    """An answer that was drawn.

    Attributes:
        ids: its tokens, the one that ended it included.
        text: what it says, without that one.
        has_ended: whether it came to its end, and was not cut off.
    """

    ids: tuple[int, ...]
    text: str
    has_ended: bool


def open_weights(
    config: ModelConfig,
    weights: Mapping[str, torch.Tensor],
    tokenizer: Tokenizer,
    rules: TextRules,
    *,
    device: str = "cpu",
    context: int,
    num_answers: int | None = None,
    threads: int | None = None,
) -> LanguageModel:
    """Hand weights to the inference engine, which packs them for itself and leaves them as they are.

    Args:
        config: the model's sizes; a tied head that an adapter changed is among the weights, and is one of its own.
        weights: by Hugging Face's names, float32; those of adapters are merged in already.
        tokenizer: the model's.
        rules: how its texts end.
        device: what the engine runs on; ``cpu`` is the native one.
        context: tokens of prompt and answer at most.
        num_answers: that are to be drawn together, where that is known: a device keeps room for no more.
        threads: of the CPU.
    """
    config = config.with_head_of(weights)
    stored = StoredModel(
        path=Path("the model in training"),
        config=config,
        tensors={name: _stored(weights[name]) for name in config.tensor_shapes()},
        load_tokenizer=lambda: tokenizer,
        load_text_rules=lambda tokenizer: rules,
    )
    # Pages of a CPU are there once they are written; a device's are there at once.
    kv_memory = None if device == "cpu" or num_answers is None else kv_bytes(config, context, num_answers, device)
    # f32 throughout: the answers come from the model whose log-probabilities the loss takes.
    return open_stored(stored, device, weights="f32", kv="f32", context=context, threads=threads, kv_memory=kv_memory)


def engine_bytes(config: ModelConfig, *, context: int, num_answers: int, device: str) -> int:
    """Bytes that an engine takes to draw answers: weights, the copy of a tied head, keys and values."""
    kept = estimate(config, weights="f32", kv="f32", context=context)
    return kept.weight_bytes + kept.copy_bytes + kv_bytes(config, context, num_answers, device)


def kv_bytes(config: ModelConfig, context: int, num_answers: int, device: str) -> int:
    """Bytes of the keys and values of so many answers, or of as many as the engine makes at once."""
    at_once = min(num_answers, _AT_ONCE_ON_CPU if device == "cpu" else _AT_ONCE)
    whole_blocks = -(-context // _BLOCK_TOKENS) * _BLOCK_TOKENS
    return kv_cache_bytes_of(config, at_once * whole_blocks, "f32")


def draw(
    engine: LanguageModel,
    prompts: Sequence[Sequence[int]],
    seeds: Sequence[int],
    *,
    num_answers: int,
    max_tokens: int,
    temperature: float,
) -> list[list[Rollout]]:
    """Draw answers to each prompt, all of them together; ``num_answers`` lists of tokens each.

    Args:
        engine: the model.
        prompts: token ids, taken as they are.
        seeds: one for each prompt.
        num_answers: to each prompt.
        max_tokens: of an answer, less where the context ends.
        temperature: above 0; 1 draws from the model's own distribution.
    """
    groups = [
        engine.answers(
            list(prompt), Request(max_tokens=max_tokens, temperature=temperature, seed=seed, n=num_answers, speculate=0)
        )
        for prompt, seed in zip(prompts, seeds, strict=True)
    ]
    engine.batcher.run([answer for group in groups for answer in group])
    rollouts = []
    for group in groups:
        rollouts.append([])
        for answer in group:
            completion = whole(answer, list(answer.take_deltas()))
            end = () if answer.stop_id is None else (answer.stop_id,)
            rollouts[-1].append(Rollout(ids=(*completion.ids, *end), text=completion.text, has_ended=bool(end)))
    return rollouts


def seed_of(run_seed: int, step: int, place: int) -> int:
    """The seed of the answers to the ``place``-th prompt of a step, 64 bits."""
    return hash_key("answers", run_seed, step, place)


def _stored(tensor: torch.Tensor) -> StoredTensor:
    """A tensor as the engine reads one: the same memory where it is on the host, in float32 and in one piece."""
    array = tensor.detach().to("cpu", torch.float32).contiguous().numpy()
    return StoredTensor(type="F32", shape=array.shape, data=array.reshape(-1).view(np.uint8))
