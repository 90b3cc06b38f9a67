"""Whether what a model wrote is the answer: found in it, cleaned, and compared.

The patterns are the user's and the texts the model's, so a search that does not end is given up.
"""

from __future__ import annotations

from dataclasses import dataclass

import regex

from textmill.eval.tasks.task import Item, Settings

_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class Judgement:
    """What came of a text.

    Attributes:
        answer: what was found in it; None where nothing was.
        correct: whether it is right.
        note: why it could not be judged; empty where it could.
    """

    answer: str | None
    correct: bool
    note: str = ""


def judge(settings: Settings, item: Item, written: str) -> Judgement:
    """Judge what was written for an item of the kind ``generate``."""
    try:
        found = extract(settings, written)
        if found is None:
            return Judgement(None, False)
        if settings.match == "regex":
            flags = regex.IGNORECASE if settings.ignore_case else 0
            matched = regex.search(str(item.answer), found, flags=flags, timeout=_TIMEOUT_S)
            return Judgement(found, matched is not None)
        return Judgement(found, _cleaned(settings, found) == _cleaned(settings, str(item.answer)))
    except TimeoutError:
        return Judgement(None, False, f"a pattern was still searching after {_TIMEOUT_S:g} s")


def extract(settings: Settings, written: str) -> str | None:
    """The answer in a text: what ``extract`` matches, or all of it where there is none; raises ``TimeoutError``."""
    if not settings.extract:
        return written
    matches = list(regex.finditer(settings.extract, written, timeout=_TIMEOUT_S))
    if not matches:
        return None
    match = matches[0 if settings.take == "first" else -1]
    groups = [group for group in match.groups() if group is not None]
    return groups[0] if groups else match[0]


def _cleaned(settings: Settings, text: str) -> str:
    for pattern in settings.ignore:
        text = regex.sub(pattern, "", text, timeout=_TIMEOUT_S)
    text = text.strip()
    return text.casefold() if settings.ignore_case else text
