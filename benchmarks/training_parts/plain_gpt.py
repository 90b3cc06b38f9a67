"""nanoGPT's recipe for a CPU, in plain torch: characters of a text, a small GPT, AdamW, 2,000 steps.

    python plain_gpt.py TEXT --seed 1 [--steps 2000]

4 layers and 4 heads, 128 wide, a context of 64, batches of 12 windows at random places of the first 90 %, no dropout,
rates from 1e-3 to 1e-4 by half a cosine after 100 steps, beta2 0.99, decay 0.1 of matrices, gradients clipped to 1.
Sources: github.com/karpathy/nanoGPT, README ("I only have a macbook") and config/train_shakespeare_char.py, for the
figures. Prints JSON: the time of the clock when training ended, and the loss on the last 10 %, every character scored
once, in windows side by side.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

LAYERS, HEADS, WIDTH, CONTEXT = 4, 4, 128, 64
ROWS, WARMUP, PEAK_LR, LAST_LR = 12, 100, 1e-3, 1e-4
TRAINED_SHARE = 0.9
THREADS = 2


def main() -> None:
    """Train and score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=2000)
    given = parser.parse_args()
    torch.set_num_threads(THREADS)
    torch.manual_seed(given.seed)
    text = given.text.read_text(encoding="utf-8")
    number_of = {character: number for number, character in enumerate(sorted(set(text)))}
    ids = torch.tensor([number_of[character] for character in text])
    cut = int(len(ids) * TRAINED_SHARE)
    model = Gpt(len(number_of))
    train(model, ids[:cut], given.steps)
    ended = time.time()
    print(json.dumps({"ended": ended, "nats": score(model, ids, cut)}))


def train(model: Gpt, ids: torch.Tensor, num_steps: int) -> None:
    """Take AdamW's steps."""
    matrices = [parameter for parameter in model.parameters() if parameter.ndim >= 2]
    others = [parameter for parameter in model.parameters() if parameter.ndim < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=PEAK_LR, betas=(0.9, 0.99))
    for step in range(num_steps):
        for group in optimizer.param_groups:
            group["lr"] = rate(step, num_steps)
        starts = torch.randint(len(ids) - CONTEXT, (ROWS,))
        windows = torch.stack([ids[start : start + CONTEXT + 1] for start in starts])
        logits = model(windows[:, :-1])
        functional.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()


def rate(step: int, num_steps: int) -> float:
    """The learning rate of a step."""
    if step < WARMUP:
        return PEAK_LR * (step + 1) / (WARMUP + 1)
    done = (step - WARMUP) / max(1, num_steps - WARMUP)
    return LAST_LR + 0.5 * (1 + math.cos(math.pi * done)) * (PEAK_LR - LAST_LR)


@torch.no_grad()
def score(model: Gpt, ids: torch.Tensor, first: int) -> float:
    """Nats of each character from ``first`` on, by the mean; a window's first follows the last of the one before."""
    total = 0.0
    for start in range(first - 1, len(ids) - 1, CONTEXT):
        window = ids[start : start + CONTEXT + 1]
        logits = model(window[None, :-1])[0]
        total += functional.cross_entropy(logits, window[1:], reduction="sum").item()
    return total / (len(ids) - first)


class Gpt(nn.Module):
    """GPT-2's shape without biases, the head tied to the input table."""

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocab_size, WIDTH)
        self.places = nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH, bias=False)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                last = name.endswith((".out.weight", ".down.weight"))
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * LAYERS) if last else 0.02)

    def forward(self, ids_BT: torch.Tensor) -> torch.Tensor:
        """Logits [B, T, V]."""
        x_BTD = self.tokens(ids_BT) + self.places.weight[: ids_BT.shape[1]]
        for block in self.blocks:
            x_BTD = block(x_BTD)
        return functional.linear(self.norm(x_BTD), self.tokens.weight)


class Block(nn.Module):
    """Attention and a feed-forward of GELU, each on the normed stream."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH, bias=False), nn.LayerNorm(WIDTH, bias=False)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.out = nn.Linear(WIDTH, WIDTH, bias=False)
        self.up = nn.Linear(WIDTH, 4 * WIDTH, bias=False)
        self.down = nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def forward(self, x_BTD: torch.Tensor) -> torch.Tensor:
        """The stream after this layer."""
        qkv_BTX = self.qkv(self.norm1(x_BTD))
        q, k, v = (part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in qkv_BTX.chunk(3, dim=-1))
        o_BHTQ = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x_BTD = x_BTD + self.out(o_BHTQ.transpose(1, 2).flatten(2))
        return x_BTD + self.down(functional.gelu(self.up(self.norm2(x_BTD))))


if __name__ == "__main__":
    main()
