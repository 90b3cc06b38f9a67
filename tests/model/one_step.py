"""A step of SmolLM2-135M's sizes in a process of its own: prints by how many bytes its memory grew at the peak.

Arguments: remat, rows at once, dtype, sizes that are other than SmolLM2's, as JSON; what the loss is of; and where
adapters of rank 16 are learned, the share of their inputs that is dropped, and
"head" where the head has one, too, or "dora" where they have magnitudes.
"""

import dataclasses
import gc
import json
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from model.adapted_model import ALL, adapt
from textmill.model.allocator import give_back_at_once
from textmill.model.llama import Llama
from textmill.model.loss import summed_nats
from textmill.model.presets import preset
from textmill.model.token_nats import token_nats


def status(field):
    """A field of the kernel's figures of this process, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field))


def step(model, optimizer, ids_BT, *, remat, dtype, targets):
    """Add the gradient of a micro-batch to what is there, and move the weights."""
    x_BTD, targets_BT = model.backbone(ids_BT, dtype=dtype, remat=remat), ids_BT.roll(-1, 1)
    if targets == "all":
        nats = summed_nats(model, x_BTD, targets_BT)
    else:
        is_target_BT = torch.ones_like(ids_BT, dtype=torch.bool)
        x_ND, targets_N = x_BTD[is_target_BT], targets_BT[is_target_BT]
        if targets == "some":
            nats = summed_nats(model, x_ND, targets_N)
        else:
            nats = token_nats(x_ND, model.head_weight, targets_N, model.head_adapter(x_ND)).sum()
        del x_ND
    del x_BTD
    (nats / ids_BT.numel()).backward()
    torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], 1.0)
    optimizer.step()


def make(config, *, dtype, dropout, more):
    """A model and its optimizer, with gradients and state there as in the middle of a run."""
    model = Llama(config).init_weights(1, residual="scaled")
    if dropout is not None:
        targets = (*ALL, "lm_head") if more == "head" else ALL
        adapt(model, rank=16, targets=targets, dropout=dropout, dtype=dtype, dora=more == "dora")
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learned, fused=True)
    for parameter in learned:
        parameter.grad = torch.empty_like(parameter).fill_(0.0)  # zeros alone would not be there until written to
    optimizer.step()
    return model, optimizer


def main(micro_rows, changes, *, remat, dtype, targets, dropout, more):
    """Take a small step, so that torch's own code is there, and measure a large one."""
    assert give_back_at_once()
    torch.manual_seed(0)
    config = dataclasses.replace(preset("smollm2-135m"), **changes)
    small = make(
        dataclasses.replace(config, num_hidden_layers=1, vocab_size=64), dtype=dtype, dropout=dropout, more=more
    )
    step(*small, torch.zeros(1, 64, dtype=torch.int64), remat=remat, dtype=dtype, targets=targets)
    del small
    before = status("VmRSS:")
    model, optimizer = make(config, dtype=dtype, dropout=dropout, more=more)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # a model that becomes one of adapters is made whole first
    ids_BT = torch.randint(config.vocab_size, (micro_rows, 1024))
    step(model, optimizer, ids_BT, remat=remat, dtype=dtype, targets=targets)
    print(status("VmHWM:") - before)


if __name__ == "__main__":
    dtypes = {"f32": torch.float32, "bf16": torch.bfloat16}
    remat, micro_rows, dtype, changes, targets, *drops = sys.argv[1:]
    dropout = float(drops[0]) if drops else None
    options = {"remat": remat, "dtype": dtypes[dtype], "targets": targets, "dropout": dropout}
    options["more"] = drops[1] if drops[1:] else None
    main(int(micro_rows), json.loads(changes), **options)
