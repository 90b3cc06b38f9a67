"""What a run keeps in the memory of the hosts whose GPUs train it: copies of its state, and whole models for a while.

Libraries, and what a process takes before it trains, are not in it: that is gone from a host's free memory by the time
a run is planned. Nothing here needs torch.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from textmill.model.config import ModelConfig
from textmill.model.training_bytes import state_bytes
from textmill.train.recipe import Recipe
from textmill.train.spread import Spread

SNAPSHOTS = 2
"""Copies of the state to go back to; see ``snapshots``."""
GPUS_OF_A_HOST = 8
"""As the boards have it that a plan's GPUs are sold on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HostMemory:
    """What is kept, in bytes of the whole model.

    Attributes:
        state: of what is learned, weights and optimizer.
        tables: of these, what is of tables of tokens and the head.
        model: the weights in f32.
        rewinds: whether copies of the state are kept, to go back to where the loss jumps.
        samples: whether the model goes on from a prompt while it is validated.
    """

    state: int
    tables: int
    model: int
    rewinds: bool
    samples: bool

    def of_host(self, spread: Spread) -> int:
        """Bytes on the host of the first rank, which has most.

        Each rank copies its part to go back to. To save, what several ranks have is copied by the lowest of them alone.
        The finished model is gathered there, and one that goes on from a prompt, which the engine then holds in its own
        order, too.
        """
        part = self.part(spread)
        to_go_back = SNAPSHOTS * part * spread.num_here if self.rewinds else 0
        to_save = min(part * spread.num_here, self.state)
        return to_go_back + to_save + self.model * (2 if self.samples else 1)

    def part(self, spread: Spread) -> int:
        """Bytes of a rank's state."""
        return spread.part_of(self.state, self.tables)


def host_memory(recipe: Recipe, config: ModelConfig, learned: int | None = None) -> HostMemory:
    """Reckon with a run.

    Args:
        recipe: what is wanted; its optimizer, spikes and samples count here.
        config: the model's sizes.
        learned: numbers that are learned where the model is frozen: only these are copied.
    """
    table = recipe.optimizer
    averages = table.ema_decay > 0
    state = state_bytes(config, table.kind, averages=averages, learned=learned)
    of_tables = config.num_table_parameters * 4 * (4 if averages else 3)
    return HostMemory(
        state=state,
        tables=of_tables if learned is None else 0,
        model=4 * config.num_parameters,
        rewinds=recipe.spikes.action == "rewind",
        samples=recipe.tune is None and recipe.eval.sample_tokens > 0,
    )


def what_takes_less(memory: HostMemory, spread: Spread, limit: int) -> list[tuple[str, int]]:
    """Ways to fit a host: what to set, and the bytes that it takes then."""
    no_samples, no_copies = dataclasses.replace(memory, samples=False), dataclasses.replace(memory, rewinds=False)
    neither = dataclasses.replace(no_samples, rewinds=False)
    shared = dataclasses.replace(spread, num_holders=spread.num_readers)
    ways = [("--set eval.sample_tokens=0", no_samples, spread), ("--set spikes.action=off", no_copies, spread)]
    if spread.num_holders == 1 < spread.num_readers:
        ways.append(("--mesh fsdp", memory, shared))
    both = ("--set spikes.action=off --set eval.sample_tokens=0", neither, spread)
    found = [(words, of.of_host(on)) for words, of, on in (*ways, both) if of.of_host(on) <= limit]
    return found[:-1] if len(found) > 1 else found
