"""Items of four choices: a question of about 60 tokens, choices of 8, and examples of the same shape before them."""

from __future__ import annotations

import random

from textmill.text.stdlib import read_stdlib
from textmill.tokenizer.tokenizer import Tokenizer

QUESTION_TOKENS, CHOICE_TOKENS, CHOICES = 60, 8, 4


def requests(tokenizer: Tokenizer, count: int, shots: int) -> list[list[tuple[str, str]]]:
    """For each item its four pairs of context and continuation; the same examples stand before all of them."""
    words = _words()
    draw = random.Random(1)
    before = ""
    for _ in range(shots):
        question, choices = _item(tokenizer, draw, words)
        before += f"{question}{choices[0]}\n\n"
    items = [_item(tokenizer, draw, words) for _ in range(count)]
    return [[(before + question, choice) for choice in choices] for question, choices in items]


def _item(tokenizer: Tokenizer, draw: random.Random, words: list[str]) -> tuple[str, list[str]]:
    question = tokenizer.truncate("Question: " + " ".join(draw.choices(words, k=QUESTION_TOKENS)), QUESTION_TOKENS - 3)
    choices = [
        tokenizer.truncate(" " + " ".join(draw.choices(words, k=CHOICE_TOKENS)), CHOICE_TOKENS) for _ in range(CHOICES)
    ]
    return f"{question}?\nAnswer:", choices


def _words() -> list[str]:
    found: dict[str, None] = {}
    for document in read_stdlib("stdlib:prose", "words"):
        found.update(dict.fromkeys(word for word in document.text.split() if word.isalpha() and word.isascii()))
        if len(found) > 20_000:
            break
    return list(found)
