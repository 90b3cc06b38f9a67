"""The native kernels of a training step (``cpp/training``), and when they run.

They take tensors of a CPU in f32 or bf16, and run on as many threads as torch has; arithmetic is in f32, and what comes
out does not depend on the threads. Each stands beside its twin in torch, which does the same in f64, on other devices,
and where torch.compile or fake tensors look on: ``fit`` decides, and nothing else does.

They are called from inside autograd functions of ours, and so are no operators of torch: what an operator's dispatch
would add is told in docs/decisions/training-kernels.md.

N rows, D width, F feed-forward, H heads, Q head size, V vocabulary.
"""

from __future__ import annotations

import torch

from textmill import _core

_PLAIN = (torch.Tensor, torch.nn.Parameter)
_DTYPES = (torch.float32, torch.bfloat16)


def fit(x: torch.Tensor, weight: torch.Tensor | None = None) -> bool:
    """Whether the kernels take activations ``x``, and a norm's or a matrix's ``weight`` in f32 beside them."""
    if torch.compiler.is_compiling() or type(x) not in _PLAIN or x.device.type != "cpu" or x.dtype not in _DTYPES:
        return False
    return weight is None or (type(weight) in _PLAIN and weight.dtype == torch.float32)


def norm(
    x: torch.Tensor, weight_D: torch.Tensor, eps: float, added: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """RMSNorm of rows [..., D], or of their sum with ``added``; twin: ``norm.plain_norm``.

    Returns:
        the normed rows; ``1 / rms`` of each, f32 [..., 1]; what was normed.
    """
    x, weight_D = x.contiguous(), weight_D.detach().contiguous()
    added = None if added is None else added.contiguous()
    total = x if added is None else torch.empty_like(x)
    rows = torch.empty_like(x)
    inverse = x.new_empty((*x.shape[:-1], 1), dtype=torch.float32)
    _core.training_norm(
        x.data_ptr(),
        0 if added is None else added.data_ptr(),
        total.data_ptr(),
        weight_D.data_ptr(),
        eps,
        rows.data_ptr(),
        inverse.data_ptr(),
        inverse.numel(),
        x.shape[-1],
        x.dtype == torch.bfloat16,
        torch.get_num_threads(),
    )
    return rows, inverse, total


def norm_backward(
    gradient: torch.Tensor,
    x: torch.Tensor,
    inverse: torch.Tensor,
    weight_D: torch.Tensor,
    added: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients with respect to ``x``, ``added`` to it, and to the weight; twin: ``norm.plain_norm_backward``."""
    gradient, x, weight_D = gradient.contiguous(), x.contiguous(), weight_D.detach().contiguous()
    added = None if added is None else added.contiguous()
    d_x, d_weight_D = torch.empty_like(x), torch.empty_like(weight_D)
    _core.training_norm_backward(
        gradient.data_ptr(),
        x.data_ptr(),
        inverse.data_ptr(),
        weight_D.data_ptr(),
        0 if added is None else added.data_ptr(),
        d_x.data_ptr(),
        d_weight_D.data_ptr(),
        inverse.numel(),
        x.shape[-1],
        x.dtype == torch.bfloat16,
        torch.get_num_threads(),
    )
    return d_x, d_weight_D


def heads(
    x_BTHQ: torch.Tensor,
    weight_Q: torch.Tensor | None,
    eps: float,
    by: tuple[torch.Tensor, torch.Tensor] | None,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Norm heads, where there is a weight, and turn them, where there are cosines and sines; one is there.

    Twin: ``self_attention.plain_heads``.

    Args:
        x_BTHQ: heads side by side; tokens may be apart, as those of a product with other outputs beside these.
        weight_Q: of the norm.
        eps: of the norm.
        by: cosines and sines, [T, 1, Q] or [B, T, 1, Q], as ``Rotation`` has them.

    Returns:
        the heads, contiguous; ``1 / rms`` of each, f32 [B, T, H, 1].
    """
    assert weight_Q is not None or by is not None, "heads are normed, or turned, or both"
    num_heads, dim = x_BTHQ.shape[2:]
    rows_NX = _rows(x_BTHQ.flatten(2))
    out = torch.empty_like(x_BTHQ, memory_format=torch.contiguous_format)
    inverse = None if weight_Q is None else x_BTHQ.new_empty((*x_BTHQ.shape[:3], 1), dtype=torch.float32)
    weight_Q = None if weight_Q is None else weight_Q.detach().contiguous()
    _core.training_heads(
        rows_NX.data_ptr(),
        rows_NX.stride(0),
        out.data_ptr(),
        num_heads * dim,
        len(rows_NX),
        num_heads,
        dim,
        0 if weight_Q is None else weight_Q.data_ptr(),
        eps,
        0 if inverse is None else inverse.data_ptr(),
        *_angles(by, dim),
        x_BTHQ.dtype == torch.bfloat16,
        torch.get_num_threads(),
    )
    return out, inverse


def heads_backward(
    gradient_BTHQ: torch.Tensor,
    x_BTHQ: torch.Tensor | None,
    inverse: torch.Tensor | None,
    weight_Q: torch.Tensor | None,
    *,
    by: tuple[torch.Tensor, torch.Tensor] | None,
    out_BTHQ: torch.Tensor,
) -> torch.Tensor | None:
    """Gradients of ``heads`` into ``out_BTHQ``, whose tokens may be apart; returns that of the weight.

    Twin: ``self_attention.plain_heads_backward``.
    """
    assert weight_Q is not None or by is not None, "heads are normed, or turned, or both"
    num_heads, dim = gradient_BTHQ.shape[2:]
    gradient_NX, out_NX = _rows(gradient_BTHQ.flatten(2)), out_BTHQ.flatten(2).flatten(0, 1)
    assert out_NX.data_ptr() == out_BTHQ.data_ptr(), "the heads of a token lie side by side"
    x_NX = None if x_BTHQ is None else _rows(x_BTHQ.flatten(2))
    weight_Q = None if weight_Q is None else weight_Q.detach().contiguous()
    d_weight_Q = None if weight_Q is None else torch.empty_like(weight_Q)
    _core.training_heads_backward(
        gradient_NX.data_ptr(),
        gradient_NX.stride(0),
        0 if x_NX is None else x_NX.data_ptr(),
        0 if x_NX is None else x_NX.stride(0),
        out_NX.data_ptr(),
        out_NX.stride(0),
        len(gradient_NX),
        num_heads,
        dim,
        0 if weight_Q is None else weight_Q.data_ptr(),
        0 if inverse is None else inverse.data_ptr(),
        *_angles(by, dim),
        0 if d_weight_Q is None else d_weight_Q.data_ptr(),
        gradient_BTHQ.dtype == torch.bfloat16,
        torch.get_num_threads(),
    )
    return d_weight_Q


def swiglu(gate_BTF: torch.Tensor, up_BTF: torch.Tensor) -> torch.Tensor:
    """``silu(gate) * up``, contiguous; both may be parts of one product. Twin: ``swiglu.plain_swiglu``."""
    gate_NF, up_NF = _rows(gate_BTF), _rows(up_BTF)
    gated = torch.empty_like(gate_BTF, memory_format=torch.contiguous_format)
    _core.training_swiglu(
        gate_NF.data_ptr(),
        gate_NF.stride(0),
        up_NF.data_ptr(),
        up_NF.stride(0),
        gated.data_ptr(),
        len(gate_NF),
        gate_NF.shape[1],
        gated.dtype == torch.bfloat16,
        torch.get_num_threads(),
    )
    return gated


def swiglu_backward(
    gradient_BTF: torch.Tensor, gate_BTF: torch.Tensor, up_BTF: torch.Tensor, *, again: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients of gate and up side by side, [..., 2 F]; with ``again`` the gradient becomes ``silu(gate) * up``.

    Twin: ``swiglu.plain_swiglu_backward``.
    """
    assert gradient_BTF.is_contiguous()
    gate_NF, up_NF = _rows(gate_BTF), _rows(up_BTF)
    inner = gradient_BTF.shape[-1]
    d_both = gradient_BTF.new_empty((*gradient_BTF.shape[:-1], 2 * inner))
    _core.training_swiglu_backward(
        gradient_BTF.data_ptr(),
        gate_NF.data_ptr(),
        gate_NF.stride(0),
        up_NF.data_ptr(),
        up_NF.stride(0),
        d_both.data_ptr(),
        d_both.data_ptr() + inner * d_both.element_size(),
        2 * inner,
        gradient_BTF.data_ptr() if again else 0,
        len(gate_NF),
        gate_NF.shape[1],
        gradient_BTF.dtype == torch.bfloat16,
        torch.get_num_threads(),
    )
    return d_both, gradient_BTF


def cross_entropy(logits_NV: torch.Tensor, targets_N: torch.Tensor, *, makes_gradient: bool) -> float:
    """Sum of ``-log softmax(logits)[target]`` over targets that are not -100, summed in f64.

    With ``makes_gradient`` the gradient takes the place of the logits, which are spoilt. Twin:
    ``loss.plain_cross_entropy``.

    Raises:
        IndexError: a target is neither below V nor -100.
    """
    assert logits_NV.is_contiguous()
    targets_N = targets_N.to(torch.int64).contiguous()
    nats: float = _core.training_cross_entropy(
        logits_NV.data_ptr(),
        targets_N.data_ptr(),
        makes_gradient,
        len(logits_NV),
        logits_NV.shape[1],
        logits_NV.dtype == torch.bfloat16,
        torch.get_num_threads(),
    )
    return nats


def add(x: torch.Tensor, total: torch.Tensor) -> None:
    """Add bf16 to contiguous f32, in place; torch's own ``add_`` makes a copy in f32 first. Twin: ``add_``."""
    assert total.is_contiguous()
    assert (x.dtype, total.dtype) == (torch.bfloat16, torch.float32)
    x = x.contiguous()
    _core.training_add(x.data_ptr(), total.data_ptr(), x.numel(), torch.get_num_threads())


def _rows(x: torch.Tensor) -> torch.Tensor:
    """Rows [..., D] as [N, D], the values of each side by side: a view where there is one, or a copy."""
    rows_ND = x.flatten(0, -2)
    return rows_ND if rows_ND.stride(1) == 1 else rows_ND.contiguous()


def _angles(by: tuple[torch.Tensor, torch.Tensor] | None, dim: int) -> tuple[int, int, int]:
    if by is None:
        return 0, 0, 1
    cosines, sines = by
    assert cosines.is_contiguous()
    assert sines.is_contiguous()
    return cosines.data_ptr(), sines.data_ptr(), cosines.numel() // dim
