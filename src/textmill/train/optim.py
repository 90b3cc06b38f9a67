"""Optimizers: AdamW for everything, or Muon for the blocks' matrices and AdamW for the rest; the weights' average.

Their state is plain named tensors, so that a checkpoint needs no pickle.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from textmill.model.config import VALUE_EMBEDDINGS
from textmill.train.adamw import AdamW
from textmill.train.layout import Layout
from textmill.train.muon import Muon
from textmill.train.recipe_tables.steps import OptimizerTable

EMA = "ema"
"""The key of a parameter's moving average in its state."""

INPUT_TABLE = "model.embed_tokens.weight"

TABLE_LR = 10.0
"""Beside Muon, how many times AdamW's rate the input table is trained with, unless it is the head as well.

Measured (docs/benchmarks/log.md). nanochat and modded-nanogpt train theirs at 50 to 75 times the head's rate.
"""


class Optimizers:
    """The optimizers of a model, stepped and saved as one, and the moving average of its weights.

    Blocks' matrices and the head decay. Norms and biases do not, and neither do tables that tokens look rows up in: a
    row that no token of a batch asks for has no gradient, and would only shrink; and what goes into the first norm
    would, whose gradient grows as that shrinks (OLMo 2, arXiv:2501.00656). A head that is tied to the input table goes
    with the table, as in SmolLM3.

    Beside Muon, an input table that is no head learns at ``TABLE_LR`` times AdamW's rate.

    Args:
        model: its parameters, by name, are what is optimized.
        table: the recipe's ``[optimizer]``.
        peak_lr: AdamW's learning rate at the schedule's peak.
        dtype: of Muon's products: the run's precision, which is measured once and written down. In bfloat16 they take
            less than half the time on a CPU that has it (docs/benchmarks/log.md).
        layout: how the model lies on ranks; this one steps what it holds.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        table: OptimizerTable,
        peak_lr: float,
        dtype: torch.dtype = torch.float32,
        *,
        layout: Layout | None = None,
    ) -> None:
        named = list((model if layout is None else layout).named_parameters())
        self._layout = layout
        self._names: dict[torch.Tensor, str] = {parameter: name for name, parameter in named}
        self._ema_decay = table.ema_decay
        matrices = [p for name, p in named if _is_block_matrix(name, p)]
        by_muon: set[torch.Tensor] = set(matrices) if table.kind == "muon" else set()
        decayed = [p for p, name in self._names.items() if p.ndim == 2 and p not in by_muon and not _is_table(name)]
        plain = [p for p, name in self._names.items() if p.ndim != 2 or _is_table(name)]
        is_tied = "lm_head.weight" not in self._names.values()
        fast = [p for p in plain if by_muon and not is_tied and self._names[p] == INPUT_TABLE]
        betas = table.betas[0], table.betas[1]
        self._all: list[tuple[AdamW | Muon, float]] = [
            (AdamW(decayed, weight_decay=table.weight_decay, betas=betas, eps=table.eps), peak_lr),
            (AdamW([p for p in plain if p not in set(fast)], weight_decay=0.0, betas=betas, eps=table.eps), peak_lr),
            (AdamW(fast, weight_decay=0.0, betas=betas, eps=table.eps), TABLE_LR * peak_lr),
        ]
        if by_muon:
            muon = Muon(
                matrices,
                weight_decay=table.weight_decay,
                whole=self._to_whole,
                part=self._to_part,
                dtype=dtype,
            )
            self._all.append((muon, table.muon_lr))

    def step(self, factor: float) -> None:
        """Update the parameters at ``factor`` times the peak learning rates, and drop the gradients."""
        for optimizer, peak_lr in self._all:
            optimizer.step(peak_lr * factor)
        for parameter in self._names:
            parameter.grad = None
        if self._ema_decay:
            self._add_to_average()

    @torch.no_grad()
    def _add_to_average(self) -> None:
        """Step t's weights count ``decay ** (T - t)`` after step T, of all that they sum to: the first weights never.

        AdamW keeps the number of steps; no model is without a parameter of its.
        """
        num_steps = next(int(state["step"]) for _, state in self._states() if "step" in state)
        share = (1 - self._ema_decay) / (1 - self._ema_decay**num_steps)
        for parameter, state in self._states():
            if EMA in state:
                state[EMA].lerp_(parameter, share)
            else:
                state[EMA] = parameter.detach().clone()

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Let the model hold the moving average in a ``with`` block; where none is kept, its weights stay in it.

        The values change places, bit for bit, and each tensor stays where it is.
        """
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for parameter, state in self._states():
            if EMA in state:
                weights = parameter.detach().clone()
                parameter.copy_(state[EMA])
                state[EMA].copy_(weights)

    def _states(self) -> Iterator[tuple[torch.Tensor, dict[str, torch.Tensor]]]:
        """The parameters that have a state, with it."""
        for optimizer, _ in self._all:
            for parameter in optimizer.params:
                if parameter in optimizer.state:
                    yield parameter, optimizer.state[parameter]

    def _to_whole(self, parameter: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
        return tensor if self._layout is None else self._layout.whole(self._names[parameter], tensor)

    def _to_part(self, parameter: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
        return tensor if self._layout is None else self._layout.part(self._names[parameter], tensor)

    def _shape(self, parameter: torch.Tensor) -> tuple[int, ...]:
        return tuple(parameter.shape) if self._layout is None else self._layout.shape_of(self._names[parameter])

    def state_tensors(self) -> dict[str, torch.Tensor]:
        """Name every tensor of state: ``PARAMETER/exp_avg`` and so on."""
        return {
            f"{self._names[parameter]}/{key}": value
            for parameter, state in self._states()
            for key, value in state.items()
        }

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of ``state_tensors`` once a step was taken, those of whole tensors."""
        averages = (EMA,) if self._ema_decay else ()
        return {
            f"{self._names[parameter]}/{key}": () if key == "step" else self._shape(parameter)
            for optimizer, _ in self._all
            for parameter in optimizer.params
            for key in (*optimizer.keys, *averages)
        }

    def load_state_tensors(self, tensors: dict[str, torch.Tensor]) -> None:
        """Take over tensors as ``state_tensors`` names them, on any device; what was there is forgotten."""
        for optimizer, _ in self._all:
            optimizer.state.clear()
        by_name = {name: parameter for parameter, name in self._names.items()}
        home = {parameter: optimizer for optimizer, _ in self._all for parameter in optimizer.params}
        for name, tensor in tensors.items():
            parameter = by_name[name.rpartition("/")[0]]
            home[parameter].state.setdefault(parameter, {})[name.rpartition("/")[2]] = tensor.to(parameter.device)


def _is_block_matrix(name: str, parameter: torch.Tensor) -> bool:
    return parameter.ndim == 2 and ".layers." in name and not _is_table(name)


def _is_table(name: str) -> bool:
    """Whether tokens look up rows of it."""
    return name == INPUT_TABLE or name.endswith(VALUE_EMBEDDINGS)
