"""Torch runners of small random models, random ragged batches for any runner, and stand-ins for what only CUDA has."""

import dataclasses
import random

import numpy as np
import torch
from torch.nn import functional

from infer.native_models import random_tensors, small_config, stored_model
from model.families import FAMILIES, OWN
from textmill.infer.runners.runner import Chunk
from textmill.infer.runners.torch import TorchRunner
from textmill.infer.runners.torch_graphs import Recorded
from textmill.infer.runners.torch_pages import Pages
from textmill.infer.runners.torch_sdpa import SdpaAttention
from textmill.infer.runners.torch_varlen import VarlenAttention
from textmill.infer.runners.torch_weights import read_weights

CONFIGS = {name: {"num_hidden_layers": 3, **changes} for name, changes in (FAMILIES | OWN).items()}
CONFIGS |= {
    "mha-tied": {"num_key_value_heads": 4, "tie_word_embeddings": True},
    "mqa": {"num_attention_heads": 3, "num_key_value_heads": 1, "hidden_size": 48, "head_dim": 10},
}
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
VARLEN, SDPA = "varlen", "sdpa"


def model_of(name, *, deviation=0.1, **changes):
    """A model of a family in memory; its logits are about as large as those of a trained one."""
    config = small_config(**(CONFIGS[name] | changes))
    return stored_model(config, random_tensors(config, seed=3, deviation=deviation))


def torch_runner(stored, *, weights="f32", kv="f32", num_blocks=40, block_size=4, attention=SDPA, recorder=None):
    """A runner on the CPU; its pages are full of NaN, as if left by others."""
    device = torch.device("cpu")
    pages = Pages(stored.config, num_blocks=num_blocks, block_size=block_size, dtype=DTYPES[kv], device=device)
    pages.keys[:, :-1] = pages.values[:, :-1] = float("nan")
    way = SdpaAttention(pages) if attention == SDPA else VarlenAttention(pages, varlen_attn_in_steps)
    return TorchRunner(stored.config, read_weights(stored, DTYPES[weights], device), pages, way, recorder=recorder)


def record_by_keeping(work):
    """What ``CudaRecorder`` does, without a graph: the work is done again on the same tensors."""
    result = torch.full_like(work(), float("nan"))
    return Recorded(lambda: result.copy_(work()), result)


def varlen_attn_in_steps(  # noqa: PLR0917
    query,
    key,
    value,
    cu_seq_q,
    cu_seq_k,
    max_q,
    max_k,
    *,
    window_size=(-1, -1),
    enable_gqa=False,
    seqused_k=None,
    block_table=None,
):
    """``torch.nn.attention.varlen.varlen_attn`` as its documentation has it, a text after another."""
    assert cu_seq_q.dtype == cu_seq_k.dtype == seqused_k.dtype == block_table.dtype == torch.int32
    assert query.stride(-1) == key.stride(-1) == value.stride(-1) == block_table.stride(-1) == 1
    assert torch.equal(cu_seq_k.diff(), seqused_k)
    assert query.shape[1] == key.shape[2] or enable_gqa
    assert int(cu_seq_q.diff().max()) <= max_q
    assert int(seqused_k.max()) <= max_k <= block_table.shape[1] * key.shape[1]
    assert len(block_table) == len(seqused_k) == len(cu_seq_q) - 1
    gathered = []
    for text, length in enumerate(seqused_k.tolist()):
        q_HtQ = query[cu_seq_q[text] : cu_seq_q[text + 1]].transpose(0, 1)
        k_KSQ, v_KSQ = (x[block_table[text]].flatten(0, 1)[:length].transpose(0, 1) for x in (key, value))
        keys, at = torch.arange(length), torch.arange(length - q_HtQ.shape[1], length)[:, None]
        before, after = (length if side < 0 else side for side in window_size)
        mask = (keys >= at - before) & (keys <= at + after)
        o_HtQ = functional.scaled_dot_product_attention(
            q_HtQ[None], k_KSQ[None], v_KSQ[None], attn_mask=mask, enable_gqa=True
        )
        gathered.append(o_HtQ[0].transpose(0, 1))
    return torch.cat(gathered)


@dataclasses.dataclass
class Text:
    """A random text, how much of it has been given, and its blocks in each runner, in any order."""

    ids: list
    blocks: list
    num_given: int = 0


def random_steps(seed, config, runners, *, num_texts=5, longest=60):
    """Give random texts to all runners in the same ragged batches; yields what each returns of a step.

    Steps are single tokens of all texts, or chunks of any size of some; of each, logits are wanted of any of the last.
    """
    rng = random.Random(seed)
    texts = _random_texts(rng, config, runners, num_texts, longest)
    while unfinished := [text for text in texts if text.num_given < len(text.ids)]:
        decodes = rng.random() < 0.4
        batch = []
        for text in unfinished if decodes else rng.sample(unfinished, rng.randint(1, len(unfinished))):
            count = min(1 if decodes else rng.choice([1, 2, 5, 17, 40]), len(text.ids) - text.num_given)
            batch.append((text, count, 1 if decodes else rng.randint(0, count)))
        if any(num_logits for _, _, num_logits in batch):
            yield [runner.forward(_chunks(batch, index)) for index, runner in enumerate(runners)]
            for text, count, _ in batch:
                text.num_given += count


def _random_texts(rng, config, runners, num_texts, longest):
    pools = [rng.sample(range(runner.num_blocks), runner.num_blocks) for runner in runners]
    texts = []
    for _ in range(num_texts):
        length = rng.randint(1, longest)
        blocks = [
            [pool.pop() for _ in range(-(-length // of.block_size))] for pool, of in zip(pools, runners, strict=True)
        ]
        texts.append(Text([rng.randrange(config.vocab_size) for _ in range(length)], blocks))
    return texts


def _chunks(batch, index):
    return [
        Chunk(
            ids=text.ids[text.num_given : text.num_given + count],
            start=text.num_given,
            blocks=text.blocks[index],
            num_logits=num_logits,
        )
        for text, count, num_logits in batch
    ]


def largest_difference(steps):
    """Over all steps, between the first runner and any other; and the largest logit."""
    difference = largest = 0.0
    for first, *others in steps:
        assert np.isfinite(first).all()
        largest = max(largest, float(np.abs(first).max()))
        for other in others:
            assert other.shape == first.shape
            difference = max(difference, float(np.abs(other - first).max()))
            assert np.isfinite(difference)
    return difference, largest
