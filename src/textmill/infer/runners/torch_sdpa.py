"""Attention through torch's ``scaled_dot_product_attention``, on any device: pages are gathered for it.

N texts, T new tokens of all of them, t of each, S tokens that are looked at, H query heads, K key-value heads,
G = H / K query heads that share one, Q head size.
"""

from __future__ import annotations

import dataclasses

import torch
from torch.nn import functional

from textmill.infer.runners.torch_attention import Attend
from textmill.infer.runners.torch_batch import Batch
from textmill.infer.runners.torch_pages import Pages
from textmill.model.attention import attend


class SdpaAttention:
    """Pages are gathered, and ``scaled_dot_product_attention`` attends: to short texts together, to others one by one.

    The query heads that share keys and values are rows of one product, so keys are read once for all of them.
    """

    name = "sdpa"
    short_max = 16

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def begin(self, batch: Batch) -> Attend:
        """Prepare what the layers of one forward pass share: what each text sees, for each window there is."""
        seen: dict[int | None, tuple[_Seen | None, list[torch.Tensor]]] = {}
        num_new = batch.num_new[batch.num_short :]
        num_short_tokens = sum(batch.num_new[: batch.num_short])

        def attend_layer(layer: int, window: int | None, q_THQ: torch.Tensor) -> torch.Tensor:
            if window not in seen:
                seen[window] = _seen_by_short(batch, self._pages, window), _seen_by_long(batch, self._pages, window)
            by_short, by_long = seen[window]
            parts = q_THQ[num_short_tokens:].split(num_new) if num_new else ()
            gathered = [self._attend_long(layer, window, *of) for of in zip(parts, by_long, strict=True)]
            if by_short is not None:
                gathered = [self._attend_short(layer, by_short, q_THQ[:num_short_tokens]), *gathered]
            return torch.cat(gathered) if len(gathered) > 1 else gathered[0]

        return attend_layer

    def _attend_long(self, layer: int, window: int | None, q_tHQ: torch.Tensor, places_S: torch.Tensor) -> torch.Tensor:
        k_SKQ, v_SKQ = self._pages.read(layer, places_S, q_tHQ.dtype)
        q_HtQ, k_KSQ, v_KSQ = (x.transpose(0, 1) for x in (q_tHQ, k_SKQ, v_SKQ))
        return attend(q_HtQ[None], k_KSQ[None], v_KSQ[None], window)[0].transpose(0, 1)

    def _attend_short(self, layer: int, seen: _Seen, q_THQ: torch.Tensor) -> torch.Tensor:
        k_NSKQ, v_NSKQ = self._pages.read(layer, seen.places, q_THQ.dtype)
        num_heads, num_new = k_NSKQ.shape[2], seen.tokens.shape[1]
        q_NtHQ = q_THQ[seen.tokens] if num_new > 1 else q_THQ[:, None]
        q_NKGtQ = q_NtHQ.unflatten(2, (num_heads, -1)).permute(0, 2, 3, 1, 4)
        num_shared = q_NKGtQ.shape[2]
        mask_NXS = seen.mask.repeat(1, num_shared, 1) if num_new > 1 else seen.mask
        o_NKXQ = functional.scaled_dot_product_attention(
            q_NKGtQ.flatten(2, 3), k_NSKQ.transpose(1, 2), v_NSKQ.transpose(1, 2), attn_mask=mask_NXS[:, None]
        )
        o_NtHQ = o_NKXQ.unflatten(2, (num_shared, num_new)).permute(0, 3, 1, 2, 4).flatten(2, 3)
        if num_new == 1:
            return o_NtHQ[:, 0]
        # A text with fewer tokens than the others repeats its last one, and writes the same values again.
        return torch.empty_like(q_THQ).index_copy_(0, seen.tokens.flatten(), o_NtHQ.flatten(0, 1))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Seen:
    """What short texts look at in layers of one window.

    Attributes:
        tokens: int64 [N, t]: each text's new tokens; where others have more, its last one again.
        places: int64 [N, S]: where the keys of the tokens are that any of these sees.
        mask: bool [N, t, S]: which of them each sees.
    """

    tokens: torch.Tensor
    places: torch.Tensor
    mask: torch.Tensor


def _seen_by_short(batch: Batch, pages: Pages, window: int | None) -> _Seen | None:
    """Look up what the short texts see, all on the device and without waiting for it: a graph may record this."""
    if batch.num_short == 0:
        return None
    device = batch.ids.device
    num_new, num_seen = max(batch.num_new[: batch.num_short]), max(batch.num_all[: batch.num_short])
    ends = batch.ends[: batch.num_short + 1].long()
    tokens_Nt = torch.minimum(ends[:-1, None] + torch.arange(num_new, device=device), ends[1:, None] - 1)
    at_Nt = batch.positions.long()[tokens_Nt]
    first_N1 = torch.zeros_like(ends[:-1, None])
    if window is not None:
        first_N1 = (at_Nt[:, :1] - window + 1).clamp(min=0)
        num_seen = min(num_seen, window + num_new - 1)
    keys_NS = first_N1 + torch.arange(num_seen, device=device)
    mask_NtS = keys_NS[:, None] <= at_Nt[:, :, None]
    if window is not None:
        mask_NtS &= keys_NS[:, None] > at_Nt[:, :, None] - window
    is_beyond_NS = keys_NS >= batch.lengths[: batch.num_short, None]
    places_NS = _places_of(batch.table[: batch.num_short], keys_NS, pages.block_size)
    places_NS = places_NS.masked_fill(is_beyond_NS, pages.zero_place)
    return _Seen(tokens=tokens_Nt, places=places_NS, mask=mask_NtS)


def _seen_by_long(batch: Batch, pages: Pages, window: int | None) -> list[torch.Tensor]:
    """int64 [S] for each of the other texts: places of the tokens that any of its new ones sees."""
    places = []
    for text in range(batch.num_short, len(batch.num_new)):
        length = batch.num_all[text]
        first = 0 if window is None else max(0, length - batch.num_new[text] - window + 1)
        keys_1S = torch.arange(first, length, device=batch.ids.device)[None]
        places.append(_places_of(batch.table[text : text + 1], keys_1S, pages.block_size)[0])
    return places


def _places_of(table_NP: torch.Tensor, keys_NS: torch.Tensor, block_size: int) -> torch.Tensor:
    """int64 [N, S]: where tokens are that stand at these positions of their texts; beyond a table, anywhere."""
    page_NS = (keys_NS // block_size).clamp(max=table_NP.shape[1] - 1)
    return table_NP.long().gather(1, page_NS) * block_size + keys_NS % block_size
