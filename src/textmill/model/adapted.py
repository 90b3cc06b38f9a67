"""Products with low-rank adapters: ``x W^T + scale * drop(x) A^T B^T``, W frozen (LoRA, arXiv:2106.09685 §4.1).

What is learned are A and B alone, so no gradient of W is computed: a step takes two thirds of the products of one that
learns all weights. Backward needs what goes in, and ``drop(x) A^T``, which is thin.
N rows, I inputs, O outputs, R rank.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from textmill.model import kernels
from textmill.model.linear import Linear, joined, product
from textmill.model.norm import RMSNorm, norm_backward, norm_rows
from textmill.model.swiglu import plain_swiglu, plain_swiglu_backward


class KeyedDropout:
    """Which inputs of adapters are dropped: a pure function of seed, step, pass and adapter, so that resumes are exact.

    Nothing is dropped where no gradient is asked for.

    Args:
        rate: the share that is dropped, 0 for none.
        seed: of the run.
    """

    def __init__(self, rate: float, seed: int) -> None:
        self.rate, self._seed = rate, seed
        self._step = self._pass = 0
        self._is_on = False

    def begin_step(self, step: int) -> None:
        """The micro-batches that come are those of a step."""
        self._step, self._pass = step, 0

    def watch(self, decoder: nn.Module) -> None:
        """Count the passes through a model, which ``decoder`` begins."""
        decoder.register_forward_pre_hook(self._enter)

    def mask(self, name: str, x: torch.Tensor) -> torch.Tensor | None:
        """Which values of ``x`` are kept, bool of its shape, or None where all are."""
        if not self.rate or not self._is_on:
            return None
        digest = hashlib.sha256(f"{self._seed}/{self._step}/{self._pass}/{name}".encode()).digest()
        generator = torch.Generator(x.device).manual_seed(int.from_bytes(digest[:8], "little") >> 1)
        return torch.empty(x.shape, dtype=torch.bool, device=x.device).bernoulli_(1 - self.rate, generator=generator)

    def _enter(self, module: nn.Module, arguments: Any) -> None:
        self._is_on = torch.is_grad_enabled()
        self._pass += 1


class Adapter(nn.Module):
    """The two factors that a ``Linear`` learns; they are left empty.

    Args:
        num_in, num_out: of the layer.
        rank: of the product of both.
        scale: what it is multiplied by.
        dropout: of what goes in.
        name: the layer's, which its random numbers are keyed by.
    """

    def __init__(self, num_in: int, num_out: int, *, rank: int, scale: float, dropout: KeyedDropout, name: str) -> None:
        super().__init__()
        self.lora_A = Linear(num_in, rank)
        self.lora_B = Linear(rank, num_out)
        self.scale, self.dropout, self.name = scale, dropout, name


class _Path(NamedTuple):
    """Where an adapter's outputs are, and what becomes of them."""

    outputs: slice
    scale: float
    keep: float
    mask: torch.Tensor | None

    def dropped(self, x_NI: torch.Tensor) -> torch.Tensor:
        return x_NI if self.mask is None else (x_NI * self.mask).div_(self.keep)

    def add(self, out_NO: torch.Tensor, x_NI: torch.Tensor, a_RI: torch.Tensor, b_OR: torch.Tensor) -> torch.Tensor:
        """Add the adapter's outputs; returns the thin product [N, R], for backward."""
        thin_NR = self.dropped(x_NI) @ a_RI.to(x_NI.dtype).t()
        out_NO[:, self.outputs].addmm_(thin_NR, b_OR.to(x_NI.dtype).t(), alpha=self.scale)
        return thin_NR

    def add_back(  # noqa: PLR0917  each is another thing
        self,
        d_x_NI: torch.Tensor,
        gradient_NO: torch.Tensor,
        x_NI: torch.Tensor,
        thin_NR: torch.Tensor,
        a_RI: torch.Tensor,
        b_OR: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add what comes through the adapter to the gradient of ``x``; returns the gradients of A and B."""
        gradient = gradient_NO[:, self.outputs]
        d_thin_NR = (gradient @ b_OR.to(gradient.dtype)).mul_(self.scale)
        d_b_OR = (gradient.t() @ thin_NR).mul_(self.scale)
        d_a_RI = d_thin_NR.t() @ self.dropped(x_NI)
        cast_RI = a_RI.to(gradient.dtype)
        if self.mask is None:
            d_x_NI.addmm_(d_thin_NR, cast_RI)
        else:
            d_x_NI += self.dropped(d_thin_NR @ cast_RI)
        return d_a_RI.to(a_RI.dtype), d_b_OR.to(b_OR.dtype)


def adapted_norm_linear(
    x_BTD: torch.Tensor,
    norm: RMSNorm,
    layers: Sequence[Linear],
    *,
    added_BTD: torch.Tensor | None = None,
    keeps_all: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """As ``norm_linear``, of frozen layers of which some have adapters."""
    paths, factors = _paths(layers, x_BTD)
    frozen = [parameter for layer in layers for parameter in (layer.weight, layer.bias)]
    results: tuple[torch.Tensor, torch.Tensor] = _AdaptedNormLinear.apply(
        x_BTD, added_BTD, norm.weight, norm.eps, keeps_all, paths, len(frozen), *frozen, *factors
    )
    return results


def adapted_linear(x: torch.Tensor, layer: Linear) -> torch.Tensor:
    """As ``linear``, of a frozen layer with an adapter; saves ``x``."""
    paths, factors = _paths([layer], x)
    result: torch.Tensor = _AdaptedLinear.apply(x, layer.weight, layer.bias, paths, *factors)
    return result


def adapted_swiglu_down(gate_up_BTF: torch.Tensor, down: Linear) -> torch.Tensor:
    """As ``swiglu_down``, of a frozen layer with an adapter; saves gate, up and their product."""
    gated_BTF: torch.Tensor = _Swiglu.apply(gate_up_BTF)
    return adapted_linear(gated_BTF, down)


def _paths(layers: Sequence[Linear], x: torch.Tensor) -> tuple[list[_Path], list[torch.Tensor]]:
    paths, factors, begin = [], [], 0
    for layer in layers:
        end, adapter = begin + len(layer.weight), layer.adapter
        if adapter is not None:
            assert isinstance(adapter, Adapter)
            mask = adapter.dropout.mask(adapter.name, x.reshape(-1, x.shape[-1]))
            paths.append(_Path(slice(begin, end), adapter.scale, 1 - adapter.dropout.rate, mask))
            factors += [adapter.lora_A.weight, adapter.lora_B.weight]
        begin = end
    return paths, factors


class _AdaptedNormLinear(torch.autograd.Function):
    """Saves x, a number for each row, thin products, and with ``keeps_all`` the normed rows."""

    @staticmethod
    def forward(  # noqa: PLR0917  autograd takes no keywords
        ctx: Any,
        x: torch.Tensor,
        added: torch.Tensor | None,
        norm_weight: torch.Tensor,
        eps: float,
        keeps_all: bool,
        paths: list[_Path],
        num_frozen: int,
        *parameters: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        frozen, factors = parameters[:num_frozen], parameters[num_frozen:]
        rows, inverse, total = norm_rows(x, norm_weight, eps, added)
        rows_ND = rows.reshape(-1, rows.shape[-1])
        bias_O = None if frozen[1] is None else joined(frozen[1::2], x.dtype)
        out_NO = product(rows_ND, joined(frozen[::2], x.dtype), bias_O)
        thin = [path.add(out_NO, rows_ND, a, b) for path, a, b in zip(paths, factors[::2], factors[1::2], strict=True)]
        ctx.eps, ctx.has_added, ctx.paths, ctx.num_frozen = eps, added is not None, paths, num_frozen
        ctx.save_for_backward(total, inverse, norm_weight, rows if keeps_all else None, *parameters, *thin)
        return total, out_NO.view(*x.shape[:-1], -1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(  # type: ignore[bad-override]
        ctx: Any, d_total: torch.Tensor, gradient: torch.Tensor
    ) -> tuple[torch.Tensor | None, ...]:
        x, inverse, norm_weight, rows, *rest = ctx.saved_tensors
        frozen, rest = rest[: ctx.num_frozen], rest[ctx.num_frozen :]
        factors, thin = rest[: 2 * len(ctx.paths)], rest[2 * len(ctx.paths) :]
        rows = norm_rows(x, norm_weight, ctx.eps)[0] if rows is None else rows
        rows_ND = rows.reshape(-1, x.shape[-1])
        gradient_NO = gradient.reshape(-1, gradient.shape[-1])
        d_rows_ND = gradient_NO @ joined(frozen[::2], x.dtype)
        d_factors = _add_back(ctx.paths, d_rows_ND, gradient_NO, rows_ND, thin, factors)
        d_x = None
        if any(ctx.needs_input_grad[:2]):
            d_x, _ = norm_backward(d_rows_ND.view(x.shape), x, inverse, norm_weight, d_total)
        return d_x, d_x if ctx.has_added else None, *(None,) * (5 + ctx.num_frozen), *d_factors


class _AdaptedLinear(torch.autograd.Function):
    """Saves x and the thin product."""

    @staticmethod
    def forward(  # noqa: PLR0917  autograd takes no keywords
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        paths: list[_Path],
        a_RI: torch.Tensor,
        b_OR: torch.Tensor,
    ) -> torch.Tensor:
        x_NI = x.reshape(-1, x.shape[-1])
        out_NO = product(x_NI, weight.to(x.dtype), bias)
        thin = paths[0].add(out_NO, x_NI, a_RI, b_OR)
        ctx.paths = paths
        ctx.save_for_backward(x, weight, a_RI, b_OR, thin)
        return out_NO.view(*x.shape[:-1], -1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[bad-override]
        x, weight, a_RI, b_OR, thin = ctx.saved_tensors
        gradient_NO = gradient.reshape(-1, gradient.shape[-1])
        d_x_NI = gradient_NO @ weight.to(x.dtype)
        x_NI = x.reshape(-1, x.shape[-1])
        d_factors = _add_back(ctx.paths, d_x_NI, gradient_NO, x_NI, [thin], [a_RI, b_OR])
        return d_x_NI.view(x.shape), None, None, None, *d_factors


def _add_back(  # noqa: PLR0917  each is another thing
    paths: Sequence[_Path],
    d_x_NI: torch.Tensor,
    gradient_NO: torch.Tensor,
    x_NI: torch.Tensor,
    thin: Sequence[torch.Tensor],
    factors: Sequence[torch.Tensor],
) -> list[torch.Tensor]:
    """Gradients of A and B of each path in turn; what comes through them is added to ``d_x_NI``."""
    return [
        gradient
        for path, thin_NR, a, b in zip(paths, thin, factors[::2], factors[1::2], strict=True)
        for gradient in path.add_back(d_x_NI, gradient_NO, x_NI, thin_NR, a, b)
    ]


class _Swiglu(torch.autograd.Function):
    """``silu(gate) * up``; saves both."""

    @staticmethod
    def forward(ctx: Any, gate_up: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(gate_up)
        return (kernels.swiglu if kernels.fit(gate_up) else plain_swiglu)(*gate_up.chunk(2, dim=-1))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:  # type: ignore[bad-override]
        (gate_up,) = ctx.saved_tensors
        run = kernels.swiglu_backward if kernels.fit(gate_up) else plain_swiglu_backward
        return run(gradient.contiguous(), *gate_up.chunk(2, dim=-1), again=False)[0]
