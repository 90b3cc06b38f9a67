"""The ``post_processor`` of a tokenizer.json: the tokens before and after a text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from textmill.base.errors import DataError
from textmill.tokenizer.formats.json_parts import list_of, type_of
from textmill.tokenizer.vocabulary import Vocabulary


def read_post_processor(processor: Any, added_ids: Mapping[str, int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Read the ids that a post_processor adds before and after a text; raises ``DataError`` for what is not known."""
    if processor is None or type_of(processor) == "ByteLevel":
        return (), ()
    if type_of(processor) == "Sequence":
        found = [read_post_processor(step, added_ids) for step in list_of(processor.get("processors"), "processors")]
        adding = [ids for ids in found if ids != ((), ())]
        if len(adding) > 1:
            raise DataError("its post_processor adds tokens in more than one step, which textmill does not know")
        return adding[0] if adding else ((), ())
    if type_of(processor) != "TemplateProcessing":
        raise DataError(f"its post_processor is {type_of(processor)}, and textmill knows TemplateProcessing")
    return _read_template(processor.get("single"), added_ids)


def _read_template(single: Any, added_ids: Mapping[str, int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    before: list[int] = []
    after: list[int] = []
    side = before
    for part in list_of(single, "the template of post_processor"):
        if isinstance(part, dict) and "Sequence" in part:
            side = after
            continue
        special = part.get("SpecialToken") if isinstance(part, dict) else None
        name = special.get("id") if isinstance(special, dict) else None
        if not isinstance(name, str) or name not in added_ids:
            raise DataError(f"its post_processor adds {str(name)[:80]!r}, which is not among the added tokens")
        side.append(added_ids[name])
    if side is before:
        raise DataError("its post_processor has no place for the text")
    return tuple(before), tuple(after)


def to_post_processor(vocabulary: Vocabulary) -> dict[str, Any] | None:
    """Write the ids that a vocabulary puts before and after a text; None where there are none."""
    if not vocabulary.prefix_ids and not vocabulary.suffix_ids:
        return None
    texts = {token.id: token.text for token in vocabulary.added}

    def special(token_id: int) -> dict[str, Any]:
        return {"SpecialToken": {"id": texts[token_id], "type_id": 0}}

    def template(*sequences: str) -> list[dict[str, Any]]:
        middle = [{"Sequence": {"id": name, "type_id": 0}} for name in sequences]
        return [*map(special, vocabulary.prefix_ids), *middle, *map(special, vocabulary.suffix_ids)]

    used = sorted({*vocabulary.prefix_ids, *vocabulary.suffix_ids})
    return {
        "type": "TemplateProcessing",
        "single": template("A"),
        "pair": template("A", "B"),
        "special_tokens": {texts[i]: {"id": texts[i], "ids": [i], "tokens": [texts[i]]} for i in used},
    }
