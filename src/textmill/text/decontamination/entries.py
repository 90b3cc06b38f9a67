"""Which texts of an item are looked for: its question, its answer, or the paragraphs of both."""

from __future__ import annotations

import numpy as np

from textmill import _core
from textmill.text.decontamination.items import EvalItem
from textmill.text.decontamination.profiles import Profile


def entries_of(item: EvalItem, profile: Profile) -> list[str]:
    """Return the texts of an item that a profile looks for; the whole item where none is long enough for an n-gram."""
    if profile.part == "question":
        return [item.question or item.answer]
    whole = "\n".join(part for part in (item.question, item.answer) if part)
    if profile.part == "paragraphs":
        candidates = whole.splitlines()
    elif item.answer:
        candidates = [item.answer, _lead_into(item.question, item.answer, profile.ngram)]
    else:
        candidates = [item.question]
    return [text for text in candidates if num_words(text) >= profile.ngram] or [whole]


def num_words(text: str) -> int:
    """Count the words of a text, as matching sees words."""
    return len(_spans(text.encode("utf-8", "replace")))


def _lead_into(question: str, answer: str, ngram: int) -> str:
    """The end of the question and the beginning of the answer, as far as an n-gram can have words of both."""
    asked, answered = question.encode("utf-8", "replace"), answer.encode("utf-8", "replace")
    ends, begins = _spans(asked), _spans(answered)
    if ngram < 2 or not len(ends) or not len(begins):
        return ""
    last = asked[ends[-min(ngram - 1, len(ends)), 0] :]
    first = answered[: begins[min(ngram - 1, len(begins)) - 1, 1]]
    return (last + b"\n" + first).decode()


def _spans(text: bytes) -> np.ndarray:
    return _core.folded_word_spans(np.frombuffer(text, np.uint8))
