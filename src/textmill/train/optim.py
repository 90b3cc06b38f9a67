"""Optimizers: AdamW for everything, or Muon for the blocks' matrices and AdamW for the rest; the weights' average.

Their state is plain named tensors, so that a checkpoint needs no pickle.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch

from textmill.model.config import VALUE_EMBEDDINGS
from textmill.train.recipe_tables.steps import OptimizerTable

EMA = "ema"
"""The key of a parameter's moving average in its state."""

INPUT_TABLE = "model.embed_tokens.weight"

TABLE_LR = 10.0
"""Beside Muon, how many times AdamW's rate the input table is trained with, unless it is the head as well.

Measured (docs/benchmarks/log.md). nanochat and modded-nanogpt train theirs at 50 to 75 times the head's rate.
"""

# arXiv:2505.16932 (Polar Express), the quintic's coefficients for five steps, from its reference implementation.
_QUINTICS = (
    (8.28721201814563, -23.595886519098837, 17.300387312530933),
    (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
    (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
    (3.3184196573706015, -2.488488024314874, 0.51004894012372),
    (2.300652019954817, -1.6689039845747493, 0.4188073119525673),
)
# As there, all but the last step take values for this much larger than they are: in bf16 rounding may lift a value over
# 1, from where it runs away. Without, the largest of random matrices came out at 2.0, and so at 1.13.
_SAFETY = 1.01
POLAR_EXPRESS = (*((a / _SAFETY, b / _SAFETY**3, c / _SAFETY**5) for a, b, c in _QUINTICS[:-1]), _QUINTICS[-1])


def orthogonalize(matrices_NRC: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Bring each matrix's singular values near 1 and keep its singular vectors (five Polar Express steps).

    Args:
        matrices_NRC: [matrices, rows, columns], float32.
        dtype: of the products. With bfloat16, values below a hundredth of the largest are lost in rounding.

    Returns:
        the same shape and dtype as ``matrices_NRC``: about U V^T of each matrix's singular value decomposition.
    """
    tall = matrices_NRC.size(-2) > matrices_NRC.size(-1)
    x = matrices_NRC.mT if tall else matrices_NRC
    # The steps converge for singular values up to 1; 1.02 leaves room for rounding.
    x = (x / (x.norm(dim=(-2, -1), keepdim=True) * 1.02 + 1e-7)).to(dtype)
    for a, b, c in POLAR_EXPRESS:
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(matrices_NRC.dtype)


class Muon(torch.optim.Optimizer):
    """Momentum whose update is orthogonalized, for matrices (https://kellerjordan.github.io/posts/muon/).

    Matrices of one shape are taken together: one batched product instead of a small one for each.

    Args:
        params: two-dimensional parameters.
        lr: the change of a matrix of ones' size; scaled by sqrt(max(1, rows / columns)).
        momentum: Nesterov momentum.
        weight_decay: decoupled, as in AdamW.
        dtype: of the products that orthogonalize.
    """

    def __init__(
        self,
        params: Iterable[torch.nn.Parameter],
        *,
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self._dtype = dtype

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        assert closure is None
        for group in self.param_groups:
            shapes: dict[torch.Size, list[torch.nn.Parameter]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    shapes.setdefault(parameter.shape, []).append(parameter)
            for (rows, columns), parameters in shapes.items():
                directions = torch.stack([self._momentum(p, group["momentum"]) for p in parameters])
                updates = orthogonalize(directions, self._dtype)
                scale = group["lr"] * max(1.0, rows / columns) ** 0.5
                for parameter, update in zip(parameters, updates, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(update, alpha=-scale)

    def _momentum(self, parameter: torch.nn.Parameter, momentum: float) -> torch.Tensor:
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        gradient = parameter.grad
        assert gradient is not None
        state["momentum"].lerp_(gradient, 1 - momentum)
        return gradient.lerp(state["momentum"], momentum)


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
    """

    def __init__(
        self, model: torch.nn.Module, table: OptimizerTable, peak_lr: float, dtype: torch.dtype = torch.float32
    ) -> None:
        self._names: dict[torch.Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
        self._ema_decay = table.ema_decay
        matrices = [p for name, p in model.named_parameters() if _is_block_matrix(name, p)]
        by_muon: set[torch.Tensor] = set(matrices) if table.kind == "muon" else set()
        decayed = [p for p, name in self._names.items() if p.ndim == 2 and p not in by_muon and not _is_table(name)]
        plain = [p for p, name in self._names.items() if p.ndim != 2 or _is_table(name)]
        is_tied = "lm_head.weight" not in self._names.values()
        fast = [p for p in plain if by_muon and not is_tied and self._names[p] == INPUT_TABLE]
        adamw = torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": table.weight_decay},
                {"params": [p for p in plain if p not in set(fast)], "weight_decay": 0.0},
                {"params": fast, "weight_decay": 0.0, "lr": TABLE_LR * peak_lr},
            ],
            lr=peak_lr,
            betas=(table.beta1, table.beta2),
            eps=table.eps,
            fused=True,  # the CPU default is a Python loop over tensors
        )
        self._all: list[torch.optim.Optimizer] = [adamw]
        if by_muon:
            self._all.append(Muon(matrices, lr=table.muon_lr, weight_decay=table.weight_decay, dtype=dtype))
        self._peaks = [[group["lr"] for group in optimizer.param_groups] for optimizer in self._all]

    def step(self, factor: float) -> None:
        """Update the parameters at ``factor`` times the peak learning rates, and drop the gradients."""
        for optimizer, peaks in zip(self._all, self._peaks, strict=True):
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * factor
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if self._ema_decay:
            self._add_to_average()

    @torch.no_grad()
    def _add_to_average(self) -> None:
        """Step t's weights count ``decay ** (T - t)`` after step T, of all that they sum to: the first weights never.

        AdamW keeps the number of steps; no model is without a parameter of its.
        """
        num_steps = next(int(state["step"]) for state in self._all[0].state.values())
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
        for optimizer in self._all:
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    if parameter in optimizer.state:
                        yield parameter, optimizer.state[parameter]

    def state_tensors(self) -> dict[str, torch.Tensor]:
        """Name every tensor of state: ``PARAMETER/exp_avg`` and so on."""
        return {
            f"{self._names[parameter]}/{key}": value
            for parameter, state in self._states()
            for key, value in state.items()
        }

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of ``state_tensors`` once a step was taken."""
        averages = (EMA,) if self._ema_decay else ()
        return {
            f"{self._names[parameter]}/{key}": () if key == "step" else tuple(parameter.shape)
            for optimizer in self._all
            for group in optimizer.param_groups
            for parameter in group["params"]
            for key in (
                *(("momentum",) if isinstance(optimizer, Muon) else ("step", "exp_avg", "exp_avg_sq")),
                *averages,
            )
        }

    def load_state_tensors(self, tensors: dict[str, torch.Tensor]) -> None:
        """Take over tensors as ``state_tensors`` names them; what was there is forgotten."""
        for optimizer in self._all:
            optimizer.state.clear()
        by_name = {name: parameter for parameter, name in self._names.items()}
        home = {p: optimizer for optimizer in self._all for group in optimizer.param_groups for p in group["params"]}
        for name, tensor in tensors.items():
            parameter = by_name[name.rpartition("/")[0]]
            home[parameter].state[parameter][name.rpartition("/")[2]] = tensor


def _is_block_matrix(name: str, parameter: torch.Tensor) -> bool:
    return parameter.ndim == 2 and ".layers." in name and not _is_table(name)


def _is_table(name: str) -> bool:
    """Whether tokens look up rows of it."""
    return name == INPUT_TABLE or name.endswith(VALUE_EMBEDDINGS)
