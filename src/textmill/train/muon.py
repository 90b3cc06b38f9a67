"""Muon: momentum whose update is orthogonalized, for matrices (https://kellerjordan.github.io/posts/muon/)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch

# A parameter, and a tensor that lies as it does.
Move = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

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


class Muon:
    """Matrices of one shape are taken together: one batched product instead of a small one for each.

    Args:
        params: two-dimensional parameters.
        momentum: Nesterov momentum.
        weight_decay: decoupled, as in AdamW.
        whole: puts a matrix together where ranks hold parts of it, and ``part`` takes it apart again: an update is of
            a whole matrix.
        dtype: of the products that orthogonalize.

    Attributes:
        state: of each parameter that was stepped, by ``keys``.
    """

    keys = ("momentum",)

    def __init__(
        self,
        params: Iterable[torch.Tensor],
        *,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        whole: Move = lambda parameter, tensor: tensor,
        part: Move = lambda parameter, tensor: tensor,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.params = list(params)
        self.state: dict[torch.Tensor, dict[str, torch.Tensor]] = {}
        self._coefficient, self._weight_decay = momentum, weight_decay
        self._whole, self._part, self._dtype = whole, part, dtype

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Update every parameter that has a gradient.

        ``lr`` is the change of a matrix of ones' size; it is scaled by sqrt(max(1, rows / columns)).
        """
        shapes: dict[torch.Size, dict[torch.Tensor, torch.Tensor]] = {}
        for parameter in self.params:
            if parameter.grad is not None:
                whole = self._whole(parameter, self._direction(parameter, parameter.grad))
                shapes.setdefault(whole.shape, {})[parameter] = whole
        for (rows, columns), wholes in shapes.items():
            updates = orthogonalize(torch.stack(list(wholes.values())), self._dtype)
            scale = lr * max(1.0, rows / columns) ** 0.5
            for parameter, update in zip(wholes, updates, strict=True):
                parameter.mul_(1 - lr * self._weight_decay)
                parameter.add_(self._part(parameter, update), alpha=-scale)

    def _direction(self, parameter: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        state = self.state.setdefault(parameter, {})
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].lerp_(gradient, 1 - self._coefficient)
        return gradient.lerp(state["momentum"], self._coefficient)
