"""A step of SmolLM2-135M's sizes in a process of its own: prints by how many bytes its memory grew at the peak.

Arguments: remat, rows at once, dtype, and sizes that are other than SmolLM2's, as JSON.
"""

import dataclasses
import json
import sys
from pathlib import Path

import torch

from textmill.model.allocator import give_back_at_once
from textmill.model.llama import Llama
from textmill.model.loss import summed_nats
from textmill.model.presets import preset


def status(field):
    """A field of the kernel's figures of this process, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field))


def step(model, optimizer, ids_BT, *, remat, dtype):
    """Add the gradient of a micro-batch to what is there, and move the weights."""
    x_BTD = model.backbone(ids_BT, dtype=dtype, remat=remat)
    (summed_nats(model, x_BTD, ids_BT.roll(-1, 1)) / ids_BT.numel()).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()


def make(config):
    """A model and its optimizer, with gradients and state there as in the middle of a run."""
    model = Llama(config).init_weights(1, residual="scaled")
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    for parameter in model.parameters():
        parameter.grad = torch.empty_like(parameter).fill_(0.0)  # zeros alone would not be there until written to
    optimizer.step()
    return model, optimizer


def main(remat, micro_rows, dtype, changes):
    """Take a small step, so that torch's own code is there, and measure a large one."""
    assert give_back_at_once()
    torch.manual_seed(0)
    config = dataclasses.replace(preset("smollm2-135m"), **changes)
    small = make(dataclasses.replace(config, num_hidden_layers=1, vocab_size=64))
    step(*small, torch.zeros(1, 64, dtype=torch.int64), remat=remat, dtype=dtype)
    del small
    before = status("VmRSS:")
    model, optimizer = make(config)
    ids_BT = torch.randint(config.vocab_size, (micro_rows, 1024))
    step(model, optimizer, ids_BT, remat=remat, dtype=dtype)
    print(status("VmHWM:") - before)


if __name__ == "__main__":
    dtypes = {"f32": torch.float32, "bf16": torch.bfloat16}
    main(sys.argv[1], int(sys.argv[2]), dtypes[sys.argv[3]], json.loads(sys.argv[4]))
