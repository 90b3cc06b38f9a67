"""Layers that differ, in a config.json: which are not rotated, and which see a sliding window."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from textmill.base.errors import DataError
from textmill.model.family import Family
from textmill.model.ranges import check_bool, check_whole, shown

if TYPE_CHECKING:
    from textmill.model.config import ModelConfig

# What absent keys mean in transformers.
_MAX_WINDOW_LAYERS = 28
_NO_ROPE_LAYER_INTERVAL = 4


def read_layers(table: Mapping[str, Any], family: Family) -> dict[str, Any]:
    """Read ``nope_layers``, ``sliding_layers`` and ``sliding_window``; ``num_hidden_layers`` has been checked.

    Raises:
        DataError: for kinds of layers that cannot be reproduced exactly, or keys that contradict each other.
        ConfigError: for a value out of its range.
    """
    num_layers = table["num_hidden_layers"]
    nope = _nope_layers(table, num_layers) if family.nope else ()
    window = _window(table, family)
    kinds = table.get("layer_types")
    if kinds is None:
        sliding = () if window is None else _sliding_by_default(table, family, nope)
    else:
        sliding = _sliding_by_types(kinds, num_layers)
        if family.windows != "some" and len(sliding) != (0 if window is None else num_layers):
            raise DataError(_says_two_things(table))
        if sliding and window is None:
            raise DataError(_says_two_things(table))
    return {"nope_layers": nope, "sliding_layers": sliding, "sliding_window": window if sliding else None}


def write_layers(config: ModelConfig, family: Family) -> dict[str, Any]:
    """Write the keys that ``read_layers`` reads, those that the family has."""
    num_layers, sliding = config.num_hidden_layers, config.sliding_layers
    table: dict[str, Any] = {}
    if family.windows != "none":
        table["sliding_window"] = config.sliding_window
    if family.windows == "some":
        table["use_sliding_window"] = bool(sliding)
        table["layer_types"] = [
            "full_attention" if config.window_of(layer) is None else "sliding_attention" for layer in range(num_layers)
        ]
    if family.windows == "some" and not family.nope:  # older versions know a first layer that slides, and no list
        table["max_window_layers"] = sliding[0] if sliding else num_layers
    if family.nope:
        table["no_rope_layers"] = [int(config.rotates(layer)) for layer in range(num_layers)]
    return table


def _says_two_things(table: Mapping[str, Any]) -> str:
    return (
        f"the model asks for layer_types = {shown(table['layer_types'])} with sliding_window = "
        f"{shown(table.get('sliding_window'))} and use_sliding_window = {shown(table.get('use_sliding_window'))}, "
        f'which do not go together in a model of model_type "{table["model_type"]}"'
    )


def _window(table: Mapping[str, Any], family: Family) -> Any:
    """The window, if layers use one: null is none, and absent what the family says."""
    window = table.get("sliding_window", family.sliding_window)
    is_used = table.get("use_sliding_window")
    if is_used is not None:
        check_bool("use_sliding_window", is_used)
    if family.windows == "all":
        if is_used is not None and is_used != (window is not None):
            raise DataError(
                f"the model asks for sliding_window = {shown(window)} and use_sliding_window = {shown(is_used)}; a "
                f'model of model_type "{table["model_type"]}" goes by the first alone. Remove the second'
            )
        return window
    return window if is_used else None


def _sliding_by_default(table: Mapping[str, Any], family: Family, nope: tuple[int, ...]) -> tuple[int, ...]:
    """SmolLM3's window is in the layers without RoPE, Qwen's in those from ``max_window_layers`` on."""
    if family.windows == "all":
        return tuple(range(table["num_hidden_layers"]))
    if family.nope:
        return nope
    first = table.get("max_window_layers", _MAX_WINDOW_LAYERS)
    check_whole("max_window_layers", first, 0, 1 << 20)
    return tuple(range(first, table["num_hidden_layers"]))


def _sliding_by_types(kinds: Any, num_layers: int) -> tuple[int, ...]:
    known = ("full_attention", "sliding_attention")
    if not isinstance(kinds, list) or any(kind not in known for kind in kinds):
        raise DataError(
            f"the model asks for layer_types = {shown(kinds)}, which this release cannot reproduce exactly "
            f"({' and '.join(known)} it can)"
        )
    if len(kinds) != num_layers:
        raise DataError(f"layer_types names {len(kinds)} layers, and num_hidden_layers is {num_layers}")
    return tuple(layer for layer, kind in enumerate(kinds) if kind == "sliding_attention")


def _nope_layers(table: Mapping[str, Any], num_layers: int) -> tuple[int, ...]:
    """Layers marked 0; without marks every ``no_rope_layer_interval``-th."""
    marks = table.get("no_rope_layers")
    if marks is None:
        interval = table.get("no_rope_layer_interval", _NO_ROPE_LAYER_INTERVAL)
        check_whole("no_rope_layer_interval", interval, 1, 1 << 20)
        return tuple(range(interval - 1, num_layers, interval))
    if not isinstance(marks, list) or any(mark not in (0, 1) for mark in marks):
        raise DataError(f"no_rope_layers is {shown(marks)}, and must be a list of 1 (with RoPE) and 0 (without)")
    if len(marks) < num_layers:
        raise DataError(f"no_rope_layers names {len(marks)} layers, and num_hidden_layers is {num_layers}")
    return tuple(layer for layer in range(num_layers) if not marks[layer])
