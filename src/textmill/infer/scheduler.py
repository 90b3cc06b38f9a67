"""Which tokens of which answers the next step computes, and who has to wait.

A step has a budget of tokens. Decoding answers come first, a token each, so that a long prompt holds nobody up; then
the prompts of running answers, cut into chunks; then new answers; guesses take what is left. Answers to one prompt wait
until the first of them has read it, and share its blocks.

Clients take turns, and the answers of one client come first come, first served (start-time fair queueing: Goyal, Vin
and Cheng, SIGCOMM 1996). A turn closes when it begins: who comes later is in the next one, so nobody waits for ever.
Where blocks run out, the youngest answer of the client that has most of those that run gives its own back and is
computed again later; it also makes room for a client that has none running. The oldest answer is never preempted, and
none takes the place of another that waits for blocks and whose turn is before its own: every answer comes to its end.
"""

from __future__ import annotations

import bisect
import dataclasses
from collections import Counter
from collections.abc import Iterable
from operator import attrgetter

from textmill.infer.answer import Answer
from textmill.infer.blocks import BlockPool, OnChange
from textmill.infer.runners.runner import Chunk

# Logits of a vocabulary of 49k tokens for 64 rows are 13 MB.
_PROMPT_ROWS = 64

# Clients that are remembered though their turns are over.
_CLIENTS_MAX = 1024

_by_place = attrgetter("place")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """What a step computes for one answer.

    Attributes:
        answer: whose tokens they are.
        chunk: what the runner is asked.
        guesses: the last so many of the chunk's tokens, which may turn out wrong.
        draws: whether a token is drawn from the logits.
    """

    answer: Answer
    chunk: Chunk
    guesses: list[int]
    draws: bool


class Scheduler:
    """Answers that wait and answers that run, both in the order of their turns."""

    def __init__(
        self, pool: BlockPool, *, tokens_per_step: int, max_running: int, tokens_with_guesses: int, guess_unasked: bool
    ) -> None:
        """Set the limits of a step.

        Args:
            pool: the blocks to lend.
            tokens_per_step: the budget.
            max_running: answers that hold blocks at once.
            tokens_with_guesses: guesses fill a step up to so many tokens.
            guess_unasked: whether greedy answers are guessed ahead unless they say otherwise.
        """
        self.pool = pool
        self.waiting: list[Answer] = []
        self.running: list[Answer] = []
        self.num_preempted = 0
        self._turn = 0  # the last that has begun
        self._last_turns: dict[str, int] = {}  # of each client's answers
        self._tokens_per_step = tokens_per_step
        self._max_running = max_running
        self._tokens_with_guesses = tokens_with_guesses
        self._guess_unasked = guess_unasked

    def watch(self, on_change: OnChange | None) -> None:
        """Have somebody hear what happens to blocks and answers, or nobody any more."""
        self.pool.on_change = on_change

    def add(self, answer: Answer) -> None:
        """Let an answer wait in its place, once. A new one gets its client's next turn."""
        if answer.place is None:
            turn = max(self._turn, self._last_turns.get(answer.client, 0)) + 1
            answer.place = (turn, answer.number)
            self._last_turns[answer.client] = turn
        at = bisect.bisect_left(self.waiting, answer.place, key=_by_place)
        if self.waiting[at : at + 1] != [answer]:
            self.waiting.insert(at, answer)

    def remove(self, answer: Answer) -> None:
        """Forget an answer and take its blocks back, wherever it is."""
        if answer.table is not None:
            self.pool.close(answer.table)
            answer.table = None
        for answers in (self.waiting, self.running):
            if answer in answers:
                answers.remove(answer)

    def plan(self) -> list[Work]:
        """Choose the work of the next step, and lend the blocks for it; empty where there is nothing to do."""
        counts: dict[Answer, int] = {}
        self._decode(counts)
        self._prefill(counts)
        self._admit(counts)
        self._make_room(counts)
        works = [self._work(answer, count, self._guess(answer, counts)) for answer, count in counts.items()]
        works.sort(key=_adapter_of)  # the runner multiplies neighbours that share one together
        return works

    def start_over(self) -> None:
        """Forget what blocks hold, after a step that did not end: all answers are computed again, to the same ends."""
        self.pool = BlockPool(self.pool.num_blocks, self.pool.block_size, self.pool.on_change)
        self.waiting = sorted({*self.waiting, *self.running}, key=_by_place)
        self.running = []
        for answer in self.waiting:
            answer.table, answer.num_computed = None, 0
        if self.pool.on_change is not None:
            self.pool.on_change("reset", None, None)

    def check(self) -> None:
        """Assert that no block is lost or lent twice."""
        assert all(answer.table is None for answer in self.waiting)
        self.pool.check(_tables(self.running))

    def _decode(self, counts: dict[Answer, int]) -> None:
        for answer in list(self.running):
            if len(counts) == self._tokens_per_step:
                return
            if answer.table is None or answer.num_pending > 1:
                continue
            if self._lend(answer, counts):
                counts[answer] = 1

    def _lend(self, answer: Answer, counts: dict[Answer, int]) -> bool:
        """Lend an answer the block of its next token, taking it from another; False where it has to give its own."""
        assert answer.table is not None
        while not self.pool.grow(answer.table, len(answer.ids)):
            victim = self._victim() or self.running[-1]
            self._preempt(victim, counts)
            if victim is answer:
                return False
        return True

    def _victim(self) -> Answer | None:
        """The youngest answer of the client that has most of those that run; None where none has several."""
        num_running = Counter(answer.client for answer in self.running)
        most = max(num_running.values(), default=0)
        if most < 2:
            return None
        return next(answer for answer in reversed(self.running) if num_running[answer.client] == most)

    def _preempt(self, answer: Answer, counts: dict[Answer, int]) -> None:
        assert answer.table is not None
        counts.pop(answer, None)
        self.add(answer)  # before it leaves the others: where this is interrupted, it is in one list at least
        self.running.remove(answer)
        self.pool.close(answer.table)
        answer.table, answer.num_computed = None, 0
        self.num_preempted += 1
        if self.pool.on_change is not None:
            self.pool.on_change("preempt", None, answer.number)

    def _prefill(self, counts: dict[Answer, int]) -> None:
        for answer in self.running:
            if answer.num_pending > 1:
                self._count(answer, counts)

    def _count(self, answer: Answer, counts: dict[Answer, int]) -> None:
        most = self._tokens_per_step - sum(counts.values())
        if answer.on_prompt_rows is not None and not answer.reads_states:
            most = min(most, _PROMPT_ROWS)
        if most > 0:
            counts[answer] = min(most, answer.num_pending)

    def _admit(self, counts: dict[Answer, int]) -> None:
        for answer in list(self.waiting):
            if sum(counts.values()) >= self._tokens_per_step or len(self.running) >= self._max_running:
                return
            if answer.elder is not None and _is_reading(answer.elder):
                continue
            if not self._open(answer):
                return
            self._count(answer, counts)

    def _make_room(self, counts: dict[Answer, int]) -> None:
        """Where all places are taken, let clients have one that have none, in the place of clients that have several.

        Only where the blocks are there: an answer that was preempted for nothing would come back, and again.
        """
        served = {answer.client for answer in self.running}
        for answer in list(self.waiting):
            if len(self.running) < self._max_running or sum(counts.values()) >= self._tokens_per_step:
                return
            if answer.client in served:
                continue
            served.add(answer.client)
            victim = self._victim()
            needed = self.pool.blocks_for(len(answer.ids)) + len(self.running)
            if victim is None or needed > self.pool.num_available:
                return
            self._preempt(victim, counts)
            is_open = self._open(answer)
            assert is_open, "there were blocks for it"
            self._count(answer, counts)

    def _open(self, answer: Answer) -> bool:
        """Let an answer run if its blocks are there, and one more for each that runs already: each grows soon."""
        needed_now = self.pool.blocks_for(len(answer.ids))
        if self.running and self.pool.num_available == 0:
            return False
        # The logits after the last token are wanted, so it is computed whatever is cached.
        cached = [] if answer.on_prompt_rows is not None else answer.ids[:-1]
        table = self.pool.open(cached, answer.number, answer.adapter)
        num_cached = len(table.blocks)
        if needed_now - num_cached + len(self.running) > self.pool.num_available or not self.pool.grow(
            table, len(answer.ids)
        ):
            self.pool.close(table)
            return False
        answer.table = table
        answer.num_computed = num_cached * self.pool.block_size
        if answer.num_cached is None:
            answer.num_cached = answer.num_computed
        bisect.insort(self.running, answer, key=_by_place)
        self.waiting.remove(answer)
        self._begin_turn(answer)
        return True

    def _begin_turn(self, answer: Answer) -> None:
        assert answer.place is not None
        self._turn = max(self._turn, answer.place[0])
        if len(self._last_turns) > _CLIENTS_MAX:  # a turn that has begun says nothing any more
            self._last_turns = {client: turn for client, turn in self._last_turns.items() if turn > self._turn}

    def _guess(self, answer: Answer, counts: dict[Answer, int]) -> list[int]:
        """Guess ahead for an answer that decodes, as far as the step and free blocks have room."""
        room = min(self._tokens_with_guesses, self._tokens_per_step) - sum(counts.values())
        if room <= 0 or answer.num_pending != 1 or answer.request.speculate == 0:
            return []
        guesses = answer.guess(room) if self._guesses(answer) else answer.forced(room) if self._guess_unasked else []
        table = answer.table
        assert table is not None
        if not self.pool.grow(table, len(answer.ids) + len(guesses)):
            guesses = guesses[: len(table.blocks) * self.pool.block_size - len(answer.ids)]
        counts[answer] += len(guesses)
        return guesses

    def _guesses(self, answer: Answer) -> bool:
        if answer.request.speculate is not None:
            return answer.request.speculate > 0
        return self._guess_unasked and answer.request.temperature == 0.0

    def _work(self, answer: Answer, count: int, guesses: list[int]) -> Work:
        assert answer.table is not None
        start = answer.num_computed
        ids = answer.ids[start : start + count] + guesses
        draws = start + count == len(answer.ids) and answer.ending.max_tokens > 0
        num_logits = len(guesses) + 1 if draws else 0
        if _wants_rows(answer, start):
            num_logits = len(ids)
        blocks = tuple(answer.table.blocks)
        chunk = Chunk(ids=ids, start=start, blocks=blocks, num_logits=num_logits, adapter=answer.adapter)
        return Work(answer=answer, chunk=chunk, guesses=guesses, draws=draws)


def _adapter_of(work: Work) -> int:
    return -1 if work.answer.adapter is None else work.answer.adapter


def _is_reading(answer: Answer) -> bool:
    """Whether an answer that was submitted is still on its prompt, the first time or again."""
    return answer.number >= 0 and not answer.is_finished and answer.num_computed < answer.num_prompt


def _wants_rows(answer: Answer, start: int) -> bool:
    return answer.on_prompt_rows is not None and start < answer.num_prompt


def _tables(answers: Iterable[Answer]) -> list:
    return [answer.table for answer in answers]
