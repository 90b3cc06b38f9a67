"""Products with low-rank adapters: ``x W^T + scale * drop(x) A^T B^T``, W frozen (LoRA, arXiv:2106.09685 §4.1).

With magnitudes m the rows of ``W + scale * B A`` are scaled to those norms (DoRA, arXiv:2402.09353 §4.1): an output is
multiplied by ``m / norm`` before its bias is added. The norm counts as a constant in backward (§4.3).

What is learned are A, B and m alone, so no gradient of W is computed: a step takes two thirds of the products of one
that learns all weights. Backward needs what goes in, ``drop(x) A^T``, which is thin, and which inputs were dropped; for
m also what is scaled.
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

    def mask(self, name: str, shape: tuple[int, int], device: torch.device) -> torch.Tensor | None:
        """Which values of an adapter's inputs [N, I] are kept, bool, or None where all are."""
        if not self.rate or not self._is_on:
            return None
        digest = hashlib.sha256(f"{self._seed}/{self._step}/{self._pass}/{name}".encode()).digest()
        generator = torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "little") >> 1)
        return torch.empty(shape, dtype=torch.bool, device=device).bernoulli_(1 - self.rate, generator=generator)

    def _enter(self, module: nn.Module, arguments: Any) -> None:
        self._is_on = torch.is_grad_enabled()
        self._pass += 1


class Adapter(nn.Module):
    """The two factors that a ``Linear`` learns, and with ``dora`` its rows' magnitudes; they are left empty.

    Args:
        num_in, num_out: of the layer.
        rank: of the product of both.
        scale: what it is multiplied by.
        dropout: of what goes in.
        name: the layer's, which its random numbers are keyed by.
        dora: whether it has magnitudes.
    """

    def __init__(
        self,
        num_in: int,
        num_out: int,
        *,
        rank: int,
        scale: float,
        dropout: KeyedDropout,
        name: str,
        dora: bool = False,
    ) -> None:
        super().__init__()
        self.lora_A = Linear(num_in, rank)
        self.lora_B = Linear(rank, num_out)
        self.lora_magnitude_vector = nn.Parameter(torch.empty(num_out)) if dora else None
        self.scale, self.dropout, self.name = scale, dropout, name

    def row_scale(self, weight_OI: torch.Tensor) -> torch.Tensor:
        """What the rows of ``W + scale * B A`` are multiplied by, [O]; ones where it has no magnitudes."""
        b_OR, a_RI = self.lora_B.weight, self.lora_A.weight
        if self.lora_magnitude_vector is None:
            return b_OR.new_ones(len(b_OR))
        with torch.no_grad():
            norm_O = torch.addmm(weight_OI.to(b_OR.dtype), b_OR, a_RI, alpha=self.scale).norm(dim=1)
            norm_O.masked_fill_(norm_O == 0, 1)  # a row of zeros has no direction, and stays one
        return self.lora_magnitude_vector / norm_O


class _Path(NamedTuple):
    """Where an adapter's outputs are, and what becomes of them."""

    outputs: slice
    scale: float
    keep: float
    mask: torch.Tensor | None

    def dropped(self, x_NI: torch.Tensor) -> torch.Tensor:
        return x_NI if self.mask is None else (x_NI * self.mask).div_(self.keep)

    def add(self, out_NO: torch.Tensor, x_NI: torch.Tensor, a_RI: torch.Tensor, b_OR: torch.Tensor) -> _Added:
        """Add the adapter's outputs."""
        thin_NR = self.dropped(x_NI) @ a_RI.to(x_NI.dtype).t()
        out_NO[:, self.outputs].addmm_(thin_NR, b_OR.to(x_NI.dtype).t(), alpha=self.scale)
        return _Added(self, a_RI, b_OR, thin_NR)


class _Added(NamedTuple):
    """What backward needs of an adapter whose outputs were added: A [R, I], B [O, R], the thin product [N, R]."""

    path: _Path
    a: torch.Tensor
    b: torch.Tensor
    thin: torch.Tensor

    def d_thin(self, gradient_NO: torch.Tensor) -> torch.Tensor:
        """Gradient of the thin product [N, R]."""
        return (gradient_NO[:, self.path.outputs] @ self.b.to(gradient_NO.dtype)).mul_(self.path.scale)

    def add_d_x(self, d_x_NI: torch.Tensor, d_thin_NR: torch.Tensor) -> None:
        """Add what comes through the adapter to the gradient of ``x``."""
        cast_RI = self.a.to(d_thin_NR.dtype)
        if self.path.mask is None:
            d_x_NI.addmm_(d_thin_NR, cast_RI)
        else:
            d_x_NI += (d_thin_NR @ cast_RI).mul_(self.path.mask).div_(self.path.keep)

    def d_factors(
        self, gradient_NO: torch.Tensor, d_thin_NR: torch.Tensor, x_NI: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Gradients of A and B."""
        d_a_RI = d_thin_NR.t() @ self.path.dropped(x_NI)
        d_b_OR = (gradient_NO[:, self.path.outputs].t() @ self.thin).mul_(self.path.scale)
        return d_a_RI.to(self.a.dtype), d_b_OR.to(self.b.dtype)


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
    scales = _scales_rows(layers)
    frozen = [parameter for layer in layers for parameter in (layer.weight, None if scales else layer.bias)]
    total_BTD, out_BTO = _AdaptedNormLinear.apply(
        x_BTD, added_BTD, norm.weight, norm.eps, keeps_all, paths, len(frozen), *frozen, *factors
    )
    return total_BTD, _scaled(out_BTO, layers) if scales else out_BTO


def adapted_linear(x: torch.Tensor, layer: Linear) -> torch.Tensor:
    """As ``linear``, of a frozen layer with an adapter; saves ``x``."""
    paths, factors = _paths([layer], x)
    scales = _scales_rows([layer])
    out: torch.Tensor = _AdaptedLinear.apply(x, layer.weight, None if scales else layer.bias, paths, *factors)
    return _scaled(out, [layer]) if scales else out


def adapted_swiglu_down(gate_up_BTF: torch.Tensor, down: Linear, *, keeps_all: bool) -> torch.Tensor:
    """As ``swiglu_down``, of a frozen layer with an adapter."""
    paths, factors = _paths([down], gate_up_BTF)
    scales = _scales_rows([down])
    bias = None if scales else down.bias
    x_BTD: torch.Tensor = _AdaptedSwigluDown.apply(gate_up_BTF, down.weight, bias, keeps_all, paths, *factors)
    return _scaled(x_BTD, [down]) if scales else x_BTD


def _scales_rows(layers: Sequence[Linear]) -> bool:
    """Whether any of the layers has magnitudes."""
    adapters = (layer.adapter for layer in layers)
    return any(isinstance(one, Adapter) and one.lora_magnitude_vector is not None for one in adapters)


def _scaled(out: torch.Tensor, layers: Sequence[Linear]) -> torch.Tensor:
    """Scale outputs of layers, side by side and without biases, to their magnitudes, and add the biases; saves ``out``.

    The scale is near 1 and multiplies in f32: bfloat16 has steps of a hundredth there.
    """
    scales = [
        layer.adapter.row_scale(layer.weight)
        if isinstance(layer.adapter, Adapter)
        else torch.ones(len(layer.weight), device=out.device)
        for layer in layers
    ]
    scaled = out * torch.cat(scales)
    if layers[0].bias is not None:
        scaled = scaled + joined([layer.bias for layer in layers if layer.bias is not None], scaled.dtype)
    return scaled.to(out.dtype)


def thin_rows(x: torch.Tensor, layer: Linear) -> tuple[torch.Tensor, torch.Tensor]:
    """``scale * drop(x) A^T`` [..., R] and B [O, R], whose product the adapter of ``layer`` adds; by autograd."""
    (path,), (a_RI, b_OR) = _paths([layer], x)
    thin_NR = path.dropped(x.reshape(-1, x.shape[-1])) @ a_RI.to(x.dtype).t()
    return (thin_NR * path.scale).view(*x.shape[:-1], -1), b_OR


def _paths(layers: Sequence[Linear], x: torch.Tensor) -> tuple[list[_Path], list[torch.Tensor]]:
    """Paths and factors of those of the layers that have adapters; ``x`` has as many rows as goes into them."""
    paths, factors, begin = [], [], 0
    for layer in layers:
        num_out, num_in = layer.weight.shape
        end, adapter = begin + num_out, layer.adapter
        if adapter is not None:
            assert isinstance(adapter, Adapter)
            mask = adapter.dropout.mask(adapter.name, (x.numel() // x.shape[-1], num_in), x.device)
            paths.append(_Path(slice(begin, end), adapter.scale, 1 - adapter.dropout.rate, mask))
            factors += [adapter.lora_A.weight, adapter.lora_B.weight]
        begin = end
    return paths, factors


def _save(ctx: Any, added: Sequence[_Added], *tensors: torch.Tensor | None) -> None:
    """Save tensors for backward, and what it needs of adapters; masks, too, lie with autograd."""
    ctx.paths = [one.path._replace(mask=None) for one in added]
    ctx.save_for_backward(*tensors, *(t for path, a, b, thin in added for t in (path.mask, a, b, thin)))


def _saved(ctx: Any) -> tuple[tuple[Any, ...], list[_Added]]:
    """What ``_save`` saved: the tensors, and the adapters."""
    saved = ctx.saved_tensors
    num_tensors = len(saved) - 4 * len(ctx.paths)
    fours = zip(*(saved[num_tensors + place :: 4] for place in range(4)), strict=True)
    added = [
        _Added(path._replace(mask=mask), a, b, thin) for path, (mask, a, b, thin) in zip(ctx.paths, fours, strict=True)
    ]
    return saved[:num_tensors], added


class _AdaptedNormLinear(torch.autograd.Function):
    """Saves x, a number for each row, and with ``keeps_all`` the normed rows."""

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
        through = [
            path.add(out_NO, rows_ND, a, b) for path, a, b in zip(paths, factors[::2], factors[1::2], strict=True)
        ]
        ctx.eps, ctx.has_added, ctx.num_frozen = eps, added is not None, num_frozen
        _save(ctx, through, total, inverse, norm_weight, rows if keeps_all else None, *frozen)
        return total, out_NO.view(*x.shape[:-1], -1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(  # type: ignore[bad-override]
        ctx: Any, d_total: torch.Tensor, gradient: torch.Tensor
    ) -> tuple[torch.Tensor | None, ...]:
        (x, inverse, norm_weight, rows, *frozen), added = _saved(ctx)
        rows = norm_rows(x, norm_weight, ctx.eps)[0] if rows is None else rows
        gradient_NO = gradient.reshape(-1, gradient.shape[-1])
        thin = [one.d_thin(gradient_NO) for one in added]
        rows_ND = rows.reshape(-1, x.shape[-1])
        d_factors = [
            d_factor
            for one, d_thin_NR in zip(added, thin, strict=True)
            for d_factor in one.d_factors(gradient_NO, d_thin_NR, rows_ND)
        ]
        del rows, rows_ND
        d_x = None
        if any(ctx.needs_input_grad[:2]):
            d_rows_ND = gradient_NO @ joined(frozen[::2], x.dtype)
            for one, d_thin_NR in zip(added, thin, strict=True):
                one.add_d_x(d_rows_ND, d_thin_NR)
            d_x, _ = norm_backward(d_rows_ND.view(x.shape), x, inverse, norm_weight, d_total)
        return d_x, d_x if ctx.has_added else None, *(None,) * (5 + ctx.num_frozen), *d_factors


class _AdaptedLinear(torch.autograd.Function):
    """Saves x."""

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
        _save(ctx, [paths[0].add(out_NO, x_NI, a_RI, b_OR)], x, weight)
        return out_NO.view(*x.shape[:-1], -1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[bad-override]
        (x, weight), (added,) = _saved(ctx)
        gradient_NO = gradient.reshape(-1, gradient.shape[-1])
        d_thin_NR = added.d_thin(gradient_NO)
        d_factors = added.d_factors(gradient_NO, d_thin_NR, x.reshape(-1, x.shape[-1]))
        d_x_NI = gradient_NO @ weight.to(x.dtype)
        added.add_d_x(d_x_NI, d_thin_NR)
        return d_x_NI.view(x.shape), None, None, None, *d_factors


class _AdaptedSwigluDown(torch.autograd.Function):
    """Saves gate and up, and with ``keeps_all`` their product."""

    @staticmethod
    def forward(  # noqa: PLR0917  autograd takes no keywords
        ctx: Any,
        gate_up: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        keeps_all: bool,
        paths: list[_Path],
        a_RI: torch.Tensor,
        b_OR: torch.Tensor,
    ) -> torch.Tensor:
        gated = (kernels.swiglu if kernels.fit(gate_up) else plain_swiglu)(*gate_up.chunk(2, dim=-1))
        gated_NF = gated.reshape(-1, gated.shape[-1])
        out_ND = product(gated_NF, weight.to(gate_up.dtype), bias)
        _save(ctx, [paths[0].add(out_ND, gated_NF, a_RI, b_OR)], gate_up, weight, gated if keeps_all else None)
        return out_ND.view(*gate_up.shape[:-1], -1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[bad-override]
        (gate_up, weight, gated), (added,) = _saved(ctx)
        width, inner = weight.shape
        gradient_ND = gradient.reshape(-1, width)
        d_thin_NR = added.d_thin(gradient_ND)
        d_gated_NF = gradient_ND @ weight.to(gate_up.dtype)
        added.add_d_x(d_gated_NF, d_thin_NR)
        run = kernels.swiglu_backward if kernels.fit(gate_up) else plain_swiglu_backward
        d_gated = d_gated_NF.view(*gradient.shape[:-1], inner)
        d_gate_up, again = run(d_gated, *gate_up.chunk(2, dim=-1), again=gated is None)
        gated = again if gated is None else gated
        del d_gated, d_gated_NF, again
        d_factors = added.d_factors(gradient_ND, d_thin_NR, gated.reshape(-1, inner))
        return d_gate_up, None, None, None, None, *d_factors
