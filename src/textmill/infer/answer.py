"""One answer in the making: its tokens, its place in the KV cache, and what whoever asked has not taken yet."""

from __future__ import annotations

import dataclasses
import secrets
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from textmill.base.errors import ConfigError, DataError
from textmill.infer.blocks import BlockTable
from textmill.infer.constrain import Constraint
from textmill.infer.detokenize import StreamDecoder, TextStream
from textmill.infer.guesses import PromptLookup
from textmill.infer.request import GUESSES_MAX, SEED_MAX, Completion, Delta, FinishReason, Request
from textmill.infer.sampler import adjust, log_softmax, most_probable, sample

_FIRST_WIDTH = 2
# Unless the request says how many. A step reads all weights however few its tokens are, so a few more cost little.
_DEFAULT_GUESSES = 4


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """Where an answer ends at the latest, and which tokens there are.

    Attributes:
        max_tokens: tokens to draw at most; 0 reads the prompt only.
        stop_ids: tokens that end it.
        num_ids: ids from here on are rows that pad the model's table, and never drawn.
    """

    max_tokens: int
    stop_ids: frozenset[int] = frozenset()
    num_ids: int


class Answer:
    """The handle of a request: ``Batcher.submit`` takes it, steps fill it, ``take_deltas`` empties it.

    Attributes:
        ids: the prompt and the tokens that were drawn.
        num_prompt: how many of them are the prompt's.
        num_cached: tokens whose keys and values were found when it was first scheduled; None until it is.
        finish_reason: why it ended, once it has.
        adapter: the number of the one that changes the model for this answer; None where it is the model itself.
        stop_id: the token that ended it, which is not among ``ids``; None where none did.
        error: what kept it from ending well.
    """

    def __init__(
        self,
        prompt: Sequence[int],
        request: Request,
        ending: Ending,
        *,
        seed: int,
        decoder: StreamDecoder | None = None,
        constraint: Constraint | None = None,
        on_prompt_rows: Callable[[int, np.ndarray], None] | None = None,
        reads_states: bool = False,
        adapter: int | None = None,
    ) -> None:
        """``constraint`` is this answer's alone, at its beginning.

        ``on_prompt_rows(start, logits)`` hears of the logits [rows, V] after the prompt's tokens from ``start`` on;
        after a preemption from 0 again. With ``reads_states`` they are the states that logits are made of
        [rows, width], and nothing is drawn."""
        self.ids = list(prompt)
        self.num_prompt = len(prompt)
        self.request = request
        self.ending = ending
        self.seed = seed
        self.adapter = adapter
        self.elder: Answer | None = None  # has the same prompt, and computes it for both
        self.on_prompt_rows = on_prompt_rows
        self.reads_states = reads_states
        assert not reads_states or ending.max_tokens == 0, "tokens are drawn from logits"
        self.prompt_logprobs: list[float | None] | None = None
        if request.prompt_logprobs:
            self.prompt_logprobs = [None] * len(prompt)
            self.on_prompt_rows = self._note_prompt_logprobs

        self.client = ""  # whose it is, where clients take turns
        self.number = -1  # in the order of arrival
        self.place: tuple[int, int] | None = None  # among those that wait and run: its client's turn, and its number
        self.table: BlockTable | None = None
        self.num_computed = 0
        self.num_cached: int | None = None
        self.finish_reason: FinishReason | None = None
        self.stop_id: int | None = None
        self.error: Exception | None = None

        self._constraint = constraint
        self._deltas: deque[Delta] = deque()
        self._shown = TextStream(decoder, request.stop) if decoder is not None else None
        penalizes_prompt = request.repetition_penalty != 1.0
        self._seen = {i for i in prompt if i < ending.num_ids} if penalizes_prompt else set()
        self._counts: Counter[int] = Counter()
        self._lookup = PromptLookup()
        self._width = _FIRST_WIDTH

    @property
    def num_pending(self) -> int:
        """Tokens whose keys and values are still to be computed; 1 while it is decoding."""
        return len(self.ids) - self.num_computed

    @property
    def num_drawn(self) -> int:
        """Tokens of the answer so far."""
        return len(self.ids) - self.num_prompt

    @property
    def num_tokens_at_most(self) -> int:
        """Tokens whose keys and values it may need: those of the last token drawn are not computed."""
        return self.num_prompt + max(self.ending.max_tokens - 1, 0)

    @property
    def is_finished(self) -> bool:
        """Whether nothing more will be drawn."""
        return self.finish_reason is not None or self.error is not None

    @property
    def has_news(self) -> bool:
        """Whether there is something to take, or nothing more to come."""
        return bool(self._deltas) or self.is_finished

    def take_deltas(self) -> Iterator[Delta]:
        """Take what has come since the last time; raises the error that ended it, at the end."""
        while self._deltas:
            yield self._deltas.popleft()
        if self.error is not None:
            raise self.error

    def forced(self, most: int) -> list[int]:
        """Up to ``most`` of the next tokens that a grammar leaves no choice in: guesses that cannot be wrong."""
        room = self.ending.max_tokens - self.num_drawn - 1
        if self._constraint is None or room <= 0:
            return []
        return self._constraint.forced()[: min(room, most)]

    def guess(self, most: int) -> list[int]:
        """Guess up to ``most`` of the next tokens."""
        wanted = _DEFAULT_GUESSES if self.request.speculate is None else self.request.speculate
        room = self.ending.max_tokens - self.num_drawn - 1
        if room <= 0:
            return []
        forced = self.forced(most if self.request.speculate is None else min(wanted, most))
        return forced or self._lookup.guess(self.ids, min(self._width, wanted, room, most))

    def extend(self, logits_TV: np.ndarray, guesses: Sequence[int]) -> int:
        """Draw from the logits after the last token and after each of the guesses that follow it.

        A draw depends on logits, seed and position alone, so the second row is good exactly where the first draw is the
        first guess, and so on. Returns how many guesses were.
        """
        num_right = 0
        for logits_V in logits_TV:
            drawn = self._draw(logits_V)
            if num_right == len(guesses) or drawn != guesses[num_right]:
                break
            num_right += 1
            if self.is_finished:
                break
        if guesses:
            self._width = min(self._width * 2, GUESSES_MAX) if num_right == len(guesses) else max(num_right, 1)
        return num_right

    def finish(self, reason: FinishReason, text: str = "") -> None:
        """End it with a last piece that has no token."""
        if self.is_finished:
            return
        told = self.request.logprobs is not None
        empty = ([], []) if told else (None, None)
        self._deltas.append(Delta(text=text, ids=[], finish_reason=reason, logprobs=empty[0], top_logprobs=empty[1]))
        self.finish_reason = reason

    def fail(self, error: Exception) -> None:
        """End it with an error for whoever asked."""
        if not self.is_finished:
            self.error = error

    def _draw(self, logits_V: np.ndarray) -> int | None:
        """Draw the next token and show it; None where the text ended without one."""
        logits_V = logits_V[: self.ending.num_ids]
        adjusted_V = adjust(logits_V, self.request, self._seen, self._counts)
        if not np.isfinite(adjusted_V).all():
            self.fail(not_finite(len(self.ids)))
            return None
        if self._constraint is not None and self._constraint.is_complete:  # before its first token
            self.finish("stop")
            return None
        token_id = sample(self._without_ruled_out(adjusted_V), self.request, self.seed, len(self.ids))
        if token_id in self.ending.stop_ids:
            self.stop_id = token_id
            self.finish("stop", self._shown.finish() if self._shown else "")
            return None
        if self._constraint is not None:
            self._constraint.take(token_id)
        self.ids.append(token_id)
        self._count(token_id)
        self._show(token_id, logits_V)
        return token_id

    def _without_ruled_out(self, logits_V: np.ndarray) -> np.ndarray:
        """Give minus infinity to what does not fit the grammar, and to what ends the text where it is too early."""
        may_end = self.num_drawn >= self.request.min_tokens
        if self._constraint is None and (may_end or not self.ending.stop_ids):
            return logits_V
        endings = [token_id for token_id in self.ending.stop_ids if token_id < len(logits_V)]
        if self._constraint is None:
            logits_V = logits_V.copy()
            logits_V[endings] = -np.inf
            return logits_V
        allowed_V = self._constraint.allowed().copy()
        allowed_V[endings] = may_end and self._constraint.accepts
        if not allowed_V.any():
            raise ConfigError(
                f"after {self.num_drawn:,} tokens of the answer none is left that {self._constraint.grammar.kind} "
                "allows: those that it needs end the text (stop_ids), or this model's vocabulary has none for them"
            )
        return np.where(allowed_V, logits_V, np.float32(-np.inf))

    def _count(self, token_id: int) -> None:
        if self.request.penalizes:
            self._counts[token_id] += 1
            self._seen.add(token_id)

    def _show(self, token_id: int, logits_V: np.ndarray) -> None:
        """Add a piece for a token that was drawn from ``logits_V``, the last piece if it is the last token."""
        text = ""
        stopped = self._constraint is not None and self._constraint.is_complete
        is_last = stopped or self.num_drawn == self.ending.max_tokens
        if self._shown is not None:
            text = self._shown.push(token_id, may_stop=self.num_drawn >= self.request.min_tokens)
            if is_last and not self._shown.stopped:
                text += self._shown.finish()
            stopped = stopped or self._shown.stopped
        reason: FinishReason | None = "stop" if stopped else "length" if is_last else None
        logprobs = top_logprobs = None
        if self.request.logprobs is not None:
            logprobs_V = log_softmax(logits_V)
            logprobs = [float(logprobs_V[token_id])]
            top_logprobs = [most_probable(logprobs_V, self.request.logprobs)]
        self._deltas.append(
            Delta(text=text, ids=[token_id], finish_reason=reason, logprobs=logprobs, top_logprobs=top_logprobs)
        )
        self.finish_reason = reason

    def _note_prompt_logprobs(self, start: int, logits_TV: np.ndarray) -> None:
        assert self.prompt_logprobs is not None
        for row, logits_V in enumerate(logits_TV, start + 1):
            if row < self.num_prompt and self.ids[row] < self.ending.num_ids:
                self.prompt_logprobs[row] = float(log_softmax(logits_V[: self.ending.num_ids])[self.ids[row]])


def seeds(request: Request) -> list[int]:
    """The seeds of the answers that a request asks for, one after another from its own or from a random one."""
    first = secrets.randbits(64) if request.seed is None else request.seed
    return [(first + i) & SEED_MAX for i in range(request.n)]


def whole(answer: Answer, deltas: Sequence[Delta]) -> Completion:
    """Put the pieces of an answer together."""
    reason = deltas[-1].finish_reason
    assert reason is not None, "the last piece of a stream says why it ended"
    told = answer.request.logprobs is not None
    return Completion(
        text="".join(piece.text for piece in deltas),
        ids=[token_id for piece in deltas for token_id in piece.ids],
        finish_reason=reason,
        logprobs=[value for piece in deltas for value in piece.logprobs or ()] if told else None,
        top_logprobs=[table for piece in deltas for table in piece.top_logprobs or ()] if told else None,
        prompt_logprobs=answer.prompt_logprobs,
    )


def not_finite(position: int) -> DataError:
    """The error of logits that nothing can be drawn from."""
    return DataError(
        f"the model gives logits that are not finite after {position:,} tokens: its weights hold NaN or infinity, or "
        'overflow. Look at the file it came from, or load it with weights="f32"'
    )
