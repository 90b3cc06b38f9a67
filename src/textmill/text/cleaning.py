"""Cleaning of texts before they are judged: Unicode repair, and masks for personal addresses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from textmill.base.errors import ConfigError, require_extra
from textmill.text.personal_addresses import mask_emails, mask_ips
from textmill.text.text_batch import TextBatch

Mask = Literal["email", "ip"]


class Cleaner:
    """Cleans texts; those that have nothing to clean are not looked at one by one.

    Args:
        unicode: repair text that was decoded wrongly, by ftfy (extra ``data``), as in ``schÃ¶n``.
        mask: what is masked: ``email`` and public ``ip`` addresses, replaced by ones that are reserved for examples.

    Raises:
        ConfigError: there is no such mask.
        MissingExtraError: ftfy is asked for and not installed.
    """

    def __init__(self, unicode: bool = False, mask: Sequence[Mask] = ("email", "ip")) -> None:
        for name in mask:
            if name not in ("email", "ip"):
                raise ConfigError(f'there is no mask "{name}"; there are "email" and "ip"')
        self._mask = tuple(mask)
        self._repair: Callable[[str], str] | None = None
        if unicode:
            self._repair = require_extra("ftfy", "data", "Unicode repair").fix_text

    def apply(self, texts: TextBatch) -> tuple[TextBatch, dict[str, int]]:
        """Clean texts.

        Returns:
            The texts, and how many were ``repaired`` and how many addresses are ``masked_emails`` and ``masked_ips``.
        """
        counts: dict[str, int] = {}
        if self._repair is not None:
            texts, counts["repaired"] = self._apply_repair(self._repair, texts)
        if "email" in self._mask:
            texts, counts["masked_emails"] = _apply_mask(mask_emails, texts, _may_have_email(texts))
        if "ip" in self._mask:
            texts, counts["masked_ips"] = _apply_mask(mask_ips, texts, _may_have_ip(texts))
        return texts, counts

    def _apply_repair(self, repair: Callable[[str], str], texts: TextBatch) -> tuple[TextBatch, int]:
        repaired = {}
        for number in range(len(texts)):
            before = texts[number].decode()
            after = repair(before)
            if after != before:
                repaired[number] = after.encode()
        return _with_replaced(texts, repaired), len(repaired)


def _apply_mask(
    mask: Callable[[str], tuple[str, int]], texts: TextBatch, chosen: NDArray[np.int64]
) -> tuple[TextBatch, int]:
    replaced = {}
    num_masked = 0
    for number in chosen.tolist():
        before = texts[number].decode()
        after, count = mask(before)
        if after != before:
            replaced[number] = after.encode()
        num_masked += count
    return _with_replaced(texts, replaced), num_masked


def _may_have_email(texts: TextBatch) -> NDArray[np.int64]:
    """Numbers of the texts that have an @."""
    return _texts_with(texts, np.flatnonzero(texts.data[: texts.num_bytes] == ord("@")), 1)


def _may_have_ip(texts: TextBatch) -> NDArray[np.int64]:
    """Numbers of the texts that have three dots between digits, or two colons that look like those of an IPv6."""
    data = texts.data[: texts.num_bytes]
    dots = np.flatnonzero(data == ord("."))
    dots = dots[(dots > 0) & (dots + 1 < len(data))]
    dots = dots[_is_digit(data[dots - 1]) & _is_digit(data[dots + 1])]
    colons = np.flatnonzero(data == ord(":"))
    colons = colons[(colons > 0) & (colons + 1 < len(data))]
    colons = colons[_joins_groups(data[colons - 1]) & _joins_groups(data[colons + 1])]
    return np.union1d(_texts_with(texts, dots, 3), _texts_with(texts, colons, 2))


def _is_digit(byte: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return (byte >= ord("0")) & (byte <= ord("9"))


def _joins_groups(byte: NDArray[np.uint8]) -> NDArray[np.bool_]:
    letter = byte | 0x20
    return _is_digit(byte) | ((letter >= ord("a")) & (letter <= ord("f"))) | (byte == ord(":"))


def _texts_with(texts: TextBatch, places: NDArray[np.int64], least: int) -> NDArray[np.int64]:
    """Numbers of the texts in which at least so many of the places, in ascending order, are."""
    before = np.searchsorted(places, texts.offsets)
    return np.flatnonzero(np.diff(before) >= least)


def _with_replaced(texts: TextBatch, replaced: Mapping[int, bytes]) -> TextBatch:
    """Put other texts in place of some, whose numbers come in ascending order."""
    if not replaced:
        return texts
    parts: list[NDArray[np.uint8]] = []
    lengths = texts.lengths.copy()
    begin = 0
    for number, text in replaced.items():
        parts += [texts.data[begin : texts.offsets[number]], np.frombuffer(text, np.uint8)]
        lengths[number] = len(text)
        begin = int(texts.offsets[number + 1])
    parts.append(texts.data[begin : texts.num_bytes])
    return TextBatch(np.concatenate(parts), np.concatenate(([0], np.cumsum(lengths))))
