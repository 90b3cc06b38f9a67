"""AdamW (arXiv:1711.05101) by torch's fused kernel, with a state of plain tensors.

torch's class of it imports torch's compiler when the first is made, which is as long as importing torch is; its
function does not.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch.optim.adamw import adamw


class AdamW:
    """Adam with decoupled weight decay.

    Args:
        params: parameters, all of one device.
        weight_decay: the share of itself that a parameter loses in a step, times the learning rate.
        betas: of the gradient's moving average, and of its square's.
        eps: added to the root of the latter.

    Attributes:
        state: of each parameter that was stepped, by ``keys``.
    """

    keys = ("step", "exp_avg", "exp_avg_sq")

    def __init__(
        self, params: Iterable[torch.Tensor], *, weight_decay: float, betas: tuple[float, float], eps: float
    ) -> None:
        self.params = list(params)
        self.state: dict[torch.Tensor, dict[str, torch.Tensor]] = {}
        self._weight_decay, self._betas, self._eps = weight_decay, betas, eps

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Update every parameter that has a gradient."""
        stepped = {parameter: parameter.grad for parameter in self.params if parameter.grad is not None}
        if not stepped:
            return
        states = [self._state_of(parameter) for parameter in stepped]
        steps, averages, squares = ([state[key] for state in states] for key in self.keys)
        adamw(
            list(stepped),
            list(stepped.values()),
            averages,
            squares,
            [],
            steps,
            fused=True,
            amsgrad=False,
            maximize=False,
            lr=lr,
            beta1=self._betas[0],
            beta2=self._betas[1],
            weight_decay=self._weight_decay,
            eps=self._eps,
        )

    def _state_of(self, parameter: torch.Tensor) -> dict[str, torch.Tensor]:
        state = self.state.setdefault(parameter, {})
        if "step" not in state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        return state
