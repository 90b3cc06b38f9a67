"""The engine at work: which tokens a step takes, and what is left of a distribution to draw from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

import textmill.studio.example
from drawing import INK, SOFT, Figure
from textmill.checkpoint.gguf_model import open_gguf
from textmill.checkpoint.text_rules import TextRules
from textmill.infer.batcher import Batcher
from textmill.infer.engine import LanguageModel
from textmill.infer.reference import logits_of
from textmill.infer.request import Request
from textmill.infer.runners.runner import Chunk
from textmill.infer.sampler import distribution, most_probable
from textmill.infer.scheduler import Work
from textmill.studio.attention import StoredWeights
from textmill.train.chart import COLOURS

_BUDGET = 32
# The step before which a text comes, its prompt's tokens, and those of its answer.
_TEXTS = {"A": (0, 44, 14), "B": (3, 50, 6), "C": (5, 12, 7), "D": (6, 20, 4)}
_PALE = ("#cfe3f0", "#f6d9c4", "#c4e8dc", "#f0dbe7")
PROMPT = "else"
_SHOWN = 12
_LEFT, _COLUMN = 124, 45


def steps() -> Figure:
    """Four texts that come one after another, in steps of 32 tokens."""
    made = _steps()
    figure = Figure("Tokens of each step: answers first, then prompts", 96 + 20 * len(made))
    left, token = 84, 18.5
    figure.text(left, 26, f"tokens of the step, {_BUDGET} at most", fill=SOFT)
    for row, works in enumerate(made):
        x, y = left, 38 + row * 20
        figure.text(left - 12, y + 14, f"step {row + 1}", size=12, anchor="end", fill=SOFT)
        for name, num_tokens, is_prompt in works:
            colour = list(_TEXTS).index(name)
            width = num_tokens * token
            figure.box(x, y, width - 1.5, 17, fill=_PALE[colour] if is_prompt else COLOURS[colour])
            label = f"prompt of {name}, {num_tokens}" if num_tokens > 4 else name
            figure.text(x + width / 2, y + 13, label, size=11, anchor="middle", fill=INK if is_prompt else "#ffffff")
            x += width
    right = left + _BUDGET * token
    figure.line([(right, 34), (right, 40 + 20 * len(made))], stroke=SOFT, width=1, dash="4 3")
    y = 66 + 20 * len(made)
    for place, (text, fill) in enumerate((("part of a prompt", _PALE[0]), ("a token of an answer", COLOURS[0]))):
        figure.box(left + place * 170, y, 18, 14, fill=fill)
        figure.text(left + 26 + place * 170, y + 12, text, size=12)
    return figure


def kept_tokens() -> Figure:
    """The likeliest next tokens of the studio's small model, and what is drawn from under four settings."""
    stored = open_gguf(Path(textmill.studio.example.__file__).parent / "model.gguf")
    tokenizer = stored.load_tokenizer()
    weights = {name: values.astype(np.float64) for name, values in StoredWeights(stored).items()}
    logits_V = logits_of(stored.config, weights, tokenizer.encode(PROMPT))[-1].astype(np.float32)
    ids = list(most_probable(logits_V, _SHOWN))
    settings = {
        "all": Request(temperature=1.0),
        "top_k=5": Request(temperature=1.0, top_k=5),
        "top_p=0.6": Request(temperature=1.0, top_p=0.6),
        "min_p=0.1": Request(temperature=1.0, min_p=0.1),
        "temperature=0.5": Request(temperature=0.5),
    }
    figure = Figure("Probabilities of the next token, and what truncation leaves of them", 56 + 60 * len(settings))
    for place, token_id in enumerate(ids):
        text = tokenizer.decode([token_id]).replace(" ", "·").replace("\n", "⏎")
        figure.text(_LEFT + (place + 0.5) * _COLUMN, 26, text, size=12, anchor="middle")
    figure.text(_LEFT + (_SHOWN + 0.5) * _COLUMN, 26, "rest", size=12, anchor="middle", fill=SOFT)
    for row, (name, request) in enumerate(settings.items()):
        _shares(figure, 38 + row * 60, name, _probabilities(logits_V, request, ids))
    return figure


def _probabilities(logits_V: np.ndarray, request: Request, ids: Sequence[int]) -> list[float]:
    """The shares of these tokens, and of all others."""
    kept, weights = distribution(logits_V, request)
    share = dict(zip(kept.tolist(), (weights / weights.sum()).tolist(), strict=True))
    shown = [share.get(token_id, 0.0) for token_id in ids]
    return [*shown, max(0.0, 1.0 - sum(shown))]


def _shares(figure: Figure, y: float, name: str, shares: Sequence[float]) -> None:
    """Bars, 44 pixels high for all of the probability, and the per cent below."""
    figure.text(_LEFT - 10, y + 44, name, size=12, anchor="end")
    for place, share in enumerate(shares):
        x, height = _LEFT + place * _COLUMN, share * 44
        if share > 0.0005:
            figure.box(x + 3, y + 44 - height, _COLUMN - 6, height, fill=COLOURS[0] if place < _SHOWN else COLOURS[5])
        text = f"{share:.0%}" if share > 0.0095 else "<1%" if share > 0.0005 else "–"
        figure.text(x + _COLUMN / 2, y + 56, text, size=10, anchor="middle", fill=SOFT)


class _Nothing:
    """A runner that computes nothing; its batcher plans what it plans for any."""

    block_size, num_blocks, tolerance = 16, 64, 0.0

    def __init__(self, vocab_size: int) -> None:
        self._vocab_size = vocab_size

    def forward(self, chunks: Sequence[Chunk]) -> np.ndarray:
        """Give every token the same logit."""
        return np.zeros((sum(chunk.num_logits for chunk in chunks), self._vocab_size), np.float32)

    states = forward

    def copy_block(self, source: int, target: int) -> None:
        """There is nothing in it."""


def _steps() -> list[list[tuple[str, int, bool]]]:
    """Of each step, whose tokens it took, how many, and whether they were a prompt's."""
    stored = open_gguf(Path(textmill.studio.example.__file__).parent / "model.gguf")
    rules = TextRules(bos_token_id=None, prefix_ids=(), stop_ids=frozenset())
    batcher = Batcher(_Nothing(stored.config.vocab_size), tokens_per_step=_BUDGET)
    model = LanguageModel(stored.config, stored.load_tokenizer(), rules, batcher, context=256)
    made: list[list[tuple[str, int, bool]]] = []
    names: dict[int, str] = {}

    def note(works: Sequence[Work]) -> None:
        made.append([(names[w.answer.number], len(w.chunk.ids), w.chunk.start < w.answer.num_prompt) for w in works])

    batcher.watch(None, note)
    waiting = dict(_TEXTS)
    is_busy = True
    while waiting or is_busy:
        for name, (first, num_prompt, num_tokens) in list(waiting.items()):
            if first <= len(made):
                request = Request(max_tokens=num_tokens, ignore_eos=True, speculate=0)
                (answer,) = model.answers([1 + ord(name)] * num_prompt, request)
                batcher.submit(answer)
                names[answer.number] = name
                del waiting[name]
        is_busy = batcher.step()
    return made
