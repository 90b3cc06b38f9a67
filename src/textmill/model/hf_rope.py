"""RoPE in a config.json: transformers 4 writes ``rope_theta`` and ``rope_scaling``, transformers 5 ``rope_parameters``.

What the two say differently in one file is refused; transformers 5 would take ``rope_scaling``, and 4 knows no other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from textmill.base.errors import DataError
from textmill.model.ranges import check_size, shown
from textmill.model.rope_scaling import (
    LinearScaling,
    Llama3Scaling,
    RopeScaling,
    YarnScaling,
    check_original_context,
)

_KINDS: dict[str, type[RopeScaling]] = {"linear": LinearScaling, "llama3": Llama3Scaling, "yarn": YarnScaling}
# "finetuned" is a word of the authors of YaRN about their training, which transformers passes over.
_ANY_KIND = {"rope_type", "type", "rope_theta", "partial_rotary_factor", "finetuned"}


def read_rope(table: Mapping[str, Any], default_theta: float, context: Any) -> tuple[Any, RopeScaling | None]:
    """Read the base and the scaling.

    Args:
        table: the whole config.json.
        default_theta: the base, where no key says one.
        context: the model's max_position_embeddings.

    Raises:
        DataError: for a kind of scaling, or a key of one, that cannot be reproduced exactly.
        ConfigError: for a number out of its range.
    """
    theta = table.get("rope_theta")
    theta = default_theta if theta is None else theta
    found = [_read(name, table, theta, context) for name in ("rope_scaling", "rope_parameters") if table.get(name)]
    if len(found) > 1 and found[0] != found[1]:
        raise DataError(
            f"rope_scaling ({shown(table['rope_scaling'])}) and rope_parameters ({shown(table['rope_parameters'])}) "
            "do not say the same, and versions of transformers differ in which they follow. "
            "Remove the wrong one from config.json"
        )
    return found[0] if found else (theta, None)


def write_rope(theta: float, scaling: RopeScaling | None) -> dict[str, Any]:
    """Write the keys of both versions."""
    if scaling is None:
        kind: dict[str, Any] = {"rope_type": "default"}
    else:
        names = {cls: name for name, cls in _KINDS.items()}
        given = {key: value for key, value in dataclasses.asdict(scaling).items() if value is not None}
        kind = {"rope_type": names[type(scaling)], **given}
    return {
        "rope_theta": theta,
        "rope_scaling": None if scaling is None else kind,
        "rope_parameters": {**kind, "rope_theta": theta},
    }


def _read(name: str, table: Mapping[str, Any], theta: Any, context: Any) -> tuple[Any, RopeScaling | None]:
    rope = table[name]
    if not isinstance(rope, Mapping):
        raise DataError(f"{name} is {shown(rope)}, and must be a table")
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind not in ("default", *_KINDS):
        raise DataError(
            f"the model asks for RoPE scaling ({name}.rope_type = {shown(kind)}), "
            f"which this release cannot reproduce exactly ({', '.join(_KINDS)} it can)"
        )
    known = () if kind == "default" else tuple(field.name for field in dataclasses.fields(_KINDS[kind]))
    if not set(rope) <= {*known, *_ANY_KIND} or rope.get("partial_rotary_factor", 1.0) != 1.0:
        raise DataError(
            f"the model asks for {name} = {shown(dict(rope))}, which this release cannot reproduce exactly "
            f"({', '.join(['rope_theta', *known])} it can)"
        )
    theta = theta if rope.get("rope_theta") is None else rope["rope_theta"]
    if kind == "default":
        return theta, None
    values = {key: rope[key] for key in known if rope.get(key) is not None}
    if "original_max_position_embeddings" in known:
        values["original_max_position_embeddings"] = _original_context(name, table, context)
    if kind == "yarn":
        _complete_yarn(values, rope, context)
    return theta, _scaling(name, kind, values)


def _scaling(name: str, kind: str, values: Mapping[str, Any]) -> RopeScaling:
    fields = dataclasses.fields(_KINDS[kind])
    missing = [field.name for field in fields if field.default is dataclasses.MISSING and field.name not in values]
    if missing:
        raise DataError(f"{name} lacks {', '.join(missing)}, which RoPE scaling of the kind {shown(kind)} needs")
    return _KINDS[kind](**values)


def _original_context(name: str, table: Mapping[str, Any], context: Any) -> Any:
    """The context before scaling: absent it is the model's own; transformers 5 lets a key beside the table win."""
    inside = table[name].get("original_max_position_embeddings")
    beside = table.get("original_max_position_embeddings")
    if inside is not None and beside is not None and inside != beside:
        raise DataError(
            f"original_max_position_embeddings is {shown(beside)}, and {shown(inside)} in {name}; versions of "
            "transformers differ in which they follow. Remove the wrong one from config.json"
        )
    return next((value for value in (inside, beside) if value is not None), context)


def _complete_yarn(values: dict[str, Any], rope: Mapping[str, Any], context: Any) -> None:
    """Fill in what some values stand for: a beta of 0 the default, a factor of null the ratio of the contexts.

    A ``truncate`` of null is false, and absent it is true.
    """
    if "truncate" in rope and rope["truncate"] is None:
        values["truncate"] = False
    for name in ("beta_fast", "beta_slow"):
        if values.get(name) == 0:
            del values[name]
    if "factor" in rope and rope["factor"] is None:
        original = values["original_max_position_embeddings"]
        check_original_context(original)
        check_size("max_position_embeddings", context)
        values["factor"] = context / original
