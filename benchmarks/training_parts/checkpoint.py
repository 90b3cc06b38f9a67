"""What saving and resuming cost a run of SmolLM2-135M: weights and AdamW's moments in f32, 1.6 GB.

    python -m training_parts.checkpoint save FOLDER [--rounds 3]       (in benchmarks/)
    python -m training_parts.checkpoint resume FOLDER [--rounds 3] [--warm]

``save`` trains on two threads. Some steps without a save and as many that begin with one, and hold all of it, take
turns; the cost of a save is what its steps took longer than the mean of those before and after. ``resume`` reads the
checkpoint that ``save`` left: hashes checked, model and optimizer filled, in a new process each time, its imports not
counted. Unless ``--warm`` the system is asked to forget the files first.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import time
from itertools import pairwise
from pathlib import Path

import torch

from textmill.checkpoint.async_saver import CheckpointSaver
from textmill.checkpoint.restore import restore_model, restore_optimizer
from textmill.checkpoint.store import latest_checkpoint, list_checkpoints, load_checkpoint
from textmill.model.llama import Llama
from textmill.model.presets import preset

CONFIG = preset("smollm2-135m")
THREADS = 2
TOKENS = 256  # about two seconds a step
STEPS_A_HALF = 3


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["save", "resume"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warm", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    match arguments.what:
        case "save":
            result = measure_saving(arguments.folder, arguments.rounds)
        case _:
            result = measure_resuming(arguments.folder, arguments.rounds, warm=arguments.warm)
    print(json.dumps(result))


def measure_saving(folder: Path, rounds: int) -> dict[str, object]:
    """Train with and without saves, in turns."""
    trainer = Trainer()
    plain: list[list[float]] = []
    saving, results = [], []
    with CheckpointSaver(folder, keep=2, reserve_bytes=12 * trainer.num_parameters + (1 << 20)) as saver:
        trainer.step()
        for number in range(rounds):
            plain.append([trainer.step() for _ in range(STEPS_A_HALF)])
            begin = time.perf_counter()
            saver.save(number, model=trainer.model.state_dict(), optimizer=trainer.state(), state={})
            for _ in range(STEPS_A_HALF):
                trainer.step()
            saving.append(time.perf_counter() - begin)
            saver.wait()
            results += saver.finished()
        plain.append([trainer.step() for _ in range(STEPS_A_HALF)])
    around = [(sum(before) + sum(after)) / 2 for before, after in pairwise(plain)]
    costs = [with_save - without for with_save, without in zip(saving, around, strict=True)]
    return {
        "pause_s": spread([result.pause_s for result in results]),
        "cost_s": spread(costs),
        "until_whole_s": spread([result.total_s for result in results]),
        "step_s": spread([step for half in plain for step in half]),
        "num_bytes": results[0].num_bytes,
    }


def measure_resuming(folder: Path, rounds: int, *, warm: bool) -> dict[str, object]:
    """Resume in new processes."""
    seconds: dict[str, list[float]] = {}
    for _ in range(rounds):
        for path in () if warm else list_checkpoints(folder)[-1].iterdir():
            forget(path)
        with multiprocessing.get_context("spawn").Pool(1) as processes:
            for name, value in processes.apply(resume, (folder,)).items():
                seconds.setdefault(name, []).append(value)
    return {name: spread(values) for name, values in seconds.items()}


def resume(folder: Path) -> dict[str, float]:
    """Come to the start of the first step."""
    torch.set_num_threads(THREADS)
    torch.optim.AdamW(torch.nn.Linear(1, 1).parameters())  # the first optimizer imports torch's compiler
    begin = time.perf_counter()
    found = latest_checkpoint(folder)
    assert found is not None
    checked = time.perf_counter()
    checkpoint = load_checkpoint(found)
    model = Llama(CONFIG)
    restore_model(checkpoint, model)
    optimizer = adamw(model)
    names = dict(model.named_parameters())
    for key, tensor in restore_optimizer(checkpoint).items():
        name, _, part = key.rpartition("/")
        optimizer.state[names[name]][part] = tensor
    end = time.perf_counter()
    return {"resume_s": end - begin, "checking_s": checked - begin}


class Trainer:
    """A model of 135M parameters that trains on random tokens."""

    def __init__(self) -> None:
        self.model = Llama(CONFIG).init_weights(1)
        self.num_parameters = sum(parameter.numel() for parameter in self.model.parameters())
        self._optimizer = adamw(self.model)
        self._ids_BT = torch.randint(CONFIG.vocab_size, (1, TOKENS + 1), generator=torch.Generator().manual_seed(1))

    def step(self) -> float:
        """Train for a step; returns its seconds."""
        begin = time.perf_counter()
        logits_BTV = self.model(self._ids_BT[:, :-1])
        torch.nn.functional.cross_entropy(logits_BTV[0], self._ids_BT[0, 1:]).backward()
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return time.perf_counter() - begin

    def state(self) -> dict[str, torch.Tensor]:
        """Name the optimizer's tensors."""
        return {
            f"{name}/{part}": tensor
            for name, parameter in self.model.named_parameters()
            for part, tensor in self._optimizer.state[parameter].items()
        }


def adamw(model: Llama) -> torch.optim.AdamW:
    """Make the optimizer, as the trainer does."""
    return torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)


def spread(values: list[float]) -> dict[str, float]:
    """Median, least and most."""
    return {
        "median": round(statistics.median(values), 3),
        "min": round(min(values), 3),
        "max": round(max(values), 3),
    }


def forget(path: Path) -> None:
    """Ask the system to drop a file from the page cache."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


if __name__ == "__main__":
    main()
