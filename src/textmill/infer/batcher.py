"""Many answers from one runner, a step at a time: what ``LanguageModel`` and a server drive.

Any thread may submit, abort and wait. Whoever waits for an answer makes the steps, for all answers at once, while the
others sleep; nothing runs when nobody waits. What a caller has submitted or aborted takes effect with the next step.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import numpy as np

from textmill.base.errors import ConfigError, TextmillError
from textmill.infer.answer import Answer
from textmill.infer.blocks import BlockPool, OnChange
from textmill.infer.request import Delta
from textmill.infer.runners.runner import Runner
from textmill.infer.scheduler import Scheduler, Work
from textmill.infer.turn import Turn

# Enough tokens to fill the matrix products; a prompt that is read holds decoding answers up for so many at most.
TOKENS_PER_STEP = 512
MAX_RUNNING = 64
# The longer a step, the more of its time goes into arithmetic, of which a wrong guess takes as much as a right one.
TOKENS_WITH_GUESSES = 16
# Powers of two, the last far above any step.
_SIZES = 20


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Statistics:
    """What a batcher has now, and what it has done since it was made; numbers of answers, tokens or blocks.

    Blocks that are published and that no answer holds are kept until their place is needed; they are not in use.
    ``steps_by_size[n]`` is the number of steps of more than 2**(n - 1) tokens and at most 2**n.
    """

    num_running: int
    num_waiting: int
    num_blocks: int
    num_blocks_in_use: int
    num_blocks_published: int
    num_blocks_kept: int
    num_steps: int
    num_step_tokens: int
    steps_by_size: Sequence[int]
    num_prompt_tokens: int
    num_cached_tokens: int
    num_drawn_tokens: int
    num_guessed_tokens: int
    num_accepted_tokens: int
    num_preempted: int
    num_finished: int
    num_aborted: int
    num_failed: int


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Blocks:
    """The blocks of a KV cache at a moment.

    Attributes:
        num_blocks, block_size: how many there are, of how many tokens.
        held: those that texts hold, and how many do.
        kept: those that are published and nobody holds, the first to be evicted first.
    """

    num_blocks: int
    block_size: int
    held: dict[int, int]
    kept: list[int]


OnStep: TypeAlias = Callable[[Sequence[Work]], object]
"""Hears what a step has computed."""


class Batcher:
    """Carries answers from their prompts to their ends."""

    def __init__(
        self,
        runner: Runner,
        *,
        tokens_per_step: int = TOKENS_PER_STEP,
        max_running: int = MAX_RUNNING,
        tokens_with_guesses: int = TOKENS_WITH_GUESSES,
    ) -> None:
        """Take a runner, whose blocks are this batcher's alone; the limits are explained in ``Scheduler``."""
        self._runner = runner
        self._scheduler = Scheduler(
            BlockPool(runner.num_blocks, runner.block_size),
            tokens_per_step=tokens_per_step,
            max_running=max_running,
            tokens_with_guesses=tokens_with_guesses,
            # Rows of one pass and of several differ by the tolerance, and a text may follow the difference.
            guess_unasked=runner.tolerance == 0.0,
        )
        self._turn = Turn()
        self._is_working = False  # whoever has the turn is between two states that others may see
        self._arrived: deque[Answer] = deque()
        self._given_up: deque[Answer] = deque()
        self._numbers = itertools.count()
        self._is_lent = False  # the runner is somebody else's
        self._is_lending = False  # blocks and lists of answers are being changed; left so by an interruption
        self._taking: Answer | None = None
        self._done = _Done()
        self._on_step: OnStep | None = None

    @property
    def capacity(self) -> int:
        """Tokens that the KV cache holds."""
        return self._runner.num_blocks * self._runner.block_size

    def submit(self, answer: Answer) -> None:
        """Let an answer wait for the next step.

        Raises:
            ConfigError: where it could not be computed even with the whole KV cache.
        """
        if answer.num_tokens_at_most > self.capacity:
            raise ConfigError(
                f"prompt and answer may have {answer.num_tokens_at_most:,} tokens, and the KV cache holds "
                f"{self.capacity:,}. Ask for fewer tokens, or load the model with a larger kv_memory"
            )
        answer.number = next(self._numbers)
        self._arrived.append(answer)

    def abort(self, answer: Answer) -> None:
        """End an answer before its time. Its blocks are free at once, or when the step that is being made ends."""
        if answer.is_finished:
            return
        self._given_up.append(answer)
        self._let_go()

    def step(self) -> bool:
        """Compute one batch; False where there was nothing to do.

        Errors of single answers are kept with them; those of the runner are raised, and the answers go on after them.
        """
        self._check_not_borrowed()
        try:
            self._turn.take(unless=_never)
            did_something = self._work(self._step)
            self._end_turn()
            return did_something
        finally:  # as in _drive
            self._end_turn()

    def wait(self, answer: Answer) -> None:
        """Make steps, or sleep while another thread makes them, until the answer has news."""
        self._drive(lambda: answer.has_news)

    def deltas(self, answer: Answer) -> Iterator[Delta]:
        """The pieces of an answer as they come, to the last one; an answer that is left unread is aborted.

        Raises:
            DataError: where the model's logits are not finite.
        """
        try:
            while True:
                is_all = answer.is_finished  # asked before the pieces are taken: another thread may add the last ones
                yield from answer.take_deltas()
                if is_all:
                    return
                self.wait(answer)
        finally:
            self.abort(answer)

    def run(self, answers: Sequence[Answer]) -> None:
        """Submit answers and make steps until all are at their ends; where it breaks off, those submitted are aborted.

        Raises:
            ConfigError: where one could not be computed even with the whole KV cache.
        """
        try:
            for answer in answers:
                self.submit(answer)
            self._drive(lambda: all(answer.is_finished for answer in answers))
        finally:
            for answer in answers:
                if answer.number >= 0:
                    self.abort(answer)

    @contextlib.contextmanager
    def lend_runner(self) -> Iterator[Runner]:
        """Lend the runner with all of its blocks to this thread; answers in the making are computed again afterwards.

        Other threads' answers wait meanwhile, and this thread must not ask for any.
        """
        try:
            self._turn.take(unless=_never)
            self._is_lent = True
            yield self._runner
        finally:
            if self._turn.is_mine() and self._is_lent:
                self._is_lending = True
                self._scheduler.start_over()
                self._is_lending = self._is_lent = False
            self._end_turn()

    def watch(self, on_change: OnChange | None, on_step: OnStep | None) -> Blocks:
        """Have somebody hear of each change of the blocks and of each step, or nobody any more.

        Both are called by the thread that makes the step, and must neither fail nor take long. Returns how the blocks
        are as the first change comes.
        """
        try:
            self._turn.take(unless=_never)
            pool = self._scheduler.pool
            self._scheduler.watch(on_change)
            self._on_step = on_step
            return Blocks(num_blocks=pool.num_blocks, block_size=pool.block_size, held=pool.held(), kept=pool.kept())
        finally:
            self._end_turn()

    def statistics(self) -> Statistics:
        """Count what there is; while another thread makes a step, numbers may be from before or after it."""
        scheduler = self._scheduler
        return Statistics(
            num_running=len(scheduler.running),
            num_waiting=len(scheduler.waiting) + len(self._arrived),
            num_blocks=scheduler.pool.num_blocks,
            num_blocks_in_use=scheduler.pool.num_blocks - scheduler.pool.num_available,
            num_blocks_published=scheduler.pool.num_published,
            num_blocks_kept=scheduler.pool.num_kept,
            num_preempted=scheduler.num_preempted,
            **dataclasses.asdict(self._done),
        )

    def check(self) -> None:
        """Assert that no block is lost or lent twice; for tests, while no step is being made."""
        self._scheduler.check()

    def _check_not_borrowed(self) -> None:
        borrowed = self._is_lent and self._turn.is_mine()
        assert not borrowed, "an answer was asked for by the thread that has borrowed the runner"

    def _drive(self, until: Callable[[], bool]) -> None:
        self._check_not_borrowed()
        try:
            while self._turn.take(unless=until):
                did_something = self._work(self._step)
                self._end_turn()
                assert did_something or until(), "what was waited for had not been submitted"
        finally:  # an interruption may fall between any two lines
            self._end_turn()

    def _end_turn(self) -> None:
        """Give the turn to others if it is this thread's, and see to what they have given up meanwhile."""
        self._give_turn()
        self._let_go()

    def _give_turn(self) -> None:
        if self._turn.is_mine():
            self._is_working = False
        self._turn.give()

    def _let_go(self) -> None:
        """Settle at once what was given up, unless a step is being made: whoever makes it comes here after it.

        The garbage collector may come here at any line of a thread that has the turn, which then keeps it.
        """
        has_turn = self._turn.is_mine()
        if has_turn and self._is_working:
            return
        try:
            while self._given_up and self._turn.try_take():
                self._work(self._settle)
                if not has_turn:
                    self._give_turn()  # and look again: others may have come while they could not take it
        finally:
            if not has_turn:
                self._give_turn()

    def _work(self, work: Callable[[], bool | None]) -> bool:
        """Do something in this thread's turn; where that breaks off, leave all as if it had not been begun."""
        try:
            self._is_working = True
            return bool(work())
        except BaseException as error:
            self._mend(error)
            raise
        finally:
            self._is_working = False

    def _step(self) -> bool:
        self._settle()
        self._is_lending = True
        works = self._scheduler.plan()
        self._is_lending = False
        if works:
            self._forward([work for work in works if not work.answer.reads_states], states=False)
            self._forward([work for work in works if work.answer.reads_states], states=True)
            self._done.count_step(sum(len(work.chunk.ids) for work in works))
            if self._on_step is not None:
                self._on_step(works)
        return bool(works)

    def _forward(self, works: Sequence[Work], *, states: bool) -> None:
        """Compute the chunks of some answers together, and go on with each."""
        if not works:
            return
        forward = self._runner.states if states else self._runner.forward
        rows = forward([work.chunk for work in works])
        first = 0
        for work in works:
            self._take(work, rows[first : first + work.chunk.num_logits])
            first += work.chunk.num_logits

    def _take(self, work: Work, logits_TV: np.ndarray) -> None:
        """Go on with an answer from what the runner gave for its chunk."""
        answer, chunk = work.answer, work.chunk
        assert answer.table is not None
        self._taking = answer
        num_drawn = answer.num_drawn
        num_right = self._draw(work, logits_TV)
        self._is_lending = True
        answer.num_computed = chunk.start + len(chunk.ids) - len(work.guesses) + num_right
        if answer.ending.max_tokens == 0 and answer.num_pending == 0:
            answer.finish("length")
        self._scheduler.pool.publish(answer.table, answer.ids, answer.num_computed)
        self._done.count(work, num_right, answer.num_drawn - num_drawn)
        if answer.is_finished:
            self._scheduler.remove(answer)
            if self._scheduler.pool.on_change is not None:
                self._scheduler.pool.on_change("finish", None, answer.number)
            self._done.num_finished += answer.error is None
            self._done.num_failed += answer.error is not None
        self._is_lending = False
        self._taking = None

    def _draw(self, work: Work, logits_TV: np.ndarray) -> int:
        """Draw an answer's tokens; how many guesses were right. What fails here is this answer, whoever drives it."""
        answer, chunk = work.answer, work.chunk
        try:
            if answer.on_prompt_rows is not None and chunk.start < answer.num_prompt:
                answer.on_prompt_rows(chunk.start, logits_TV)
            if work.draws:
                return answer.extend(logits_TV[len(logits_TV) - len(work.guesses) - 1 :], work.guesses)
        except Exception as error:  # noqa: BLE001  whoever asked for the answer is told, and nobody else
            answer.fail(error if isinstance(error, TextmillError) else _broke_off(error))
        return 0

    def _settle(self) -> None:
        """Take in who has arrived, and let those go who have been given up."""
        if self._is_lending or self._taking is not None:  # an interruption of what mends interruptions
            self._mend(KeyboardInterrupt())
        self._is_lending = True
        while self._arrived:  # taken out of the queue last, so that one cannot be lost where it is interrupted
            if not self._arrived[0].is_finished:
                self._scheduler.add(self._arrived[0])
            self._arrived.popleft()
        while self._given_up:
            answer = self._given_up[0]
            self._done.num_aborted += not answer.is_finished
            self._scheduler.remove(answer)
            answer.finish("abort")
            self._given_up.popleft()
        self._is_lending = False

    def _mend(self, error: BaseException) -> None:
        """After work that broke off, make blocks and lists of answers whole; the answer it broke off in is lost.

        What blocks hold is believed unless they were being lent: they were published after they were written, and
        what the runner left half written is written again, for no answer has counted it as computed.
        """
        if self._is_lending:
            self._scheduler.start_over()
        if self._taking is not None:
            self._is_lending = True
            self._taking.fail(_broke_off(error))
            self._scheduler.remove(self._taking)
            self._taking = None
        self._is_lending = False


@dataclasses.dataclass(slots=True)
class _Done:
    """The counters of ``Statistics``."""

    num_steps: int = 0
    num_step_tokens: int = 0
    steps_by_size: list[int] = dataclasses.field(default_factory=lambda: [0] * _SIZES)
    num_prompt_tokens: int = 0
    num_cached_tokens: int = 0
    num_drawn_tokens: int = 0
    num_guessed_tokens: int = 0
    num_accepted_tokens: int = 0
    num_finished: int = 0
    num_aborted: int = 0
    num_failed: int = 0

    def count_step(self, num_tokens: int) -> None:
        """Add a step of so many tokens."""
        self.num_steps += 1
        self.num_step_tokens += num_tokens
        self.steps_by_size[min((num_tokens - 1).bit_length(), _SIZES - 1)] += 1

    def count(self, work: Work, num_right: int, num_drawn: int) -> None:
        """Add what a step did for one answer; an answer's prompt counts when its first token is drawn."""
        if num_drawn and work.answer.num_drawn == num_drawn:
            self.num_prompt_tokens += work.answer.num_prompt
            self.num_cached_tokens += work.answer.num_cached or 0
        self.num_drawn_tokens += num_drawn
        self.num_guessed_tokens += len(work.guesses)
        self.num_accepted_tokens += num_right


def _broke_off(cause: BaseException) -> TextmillError:
    error = TextmillError(f"the answer broke off: {type(cause).__name__} while a token was drawn")
    error.__cause__ = cause
    return error


def _never() -> bool:
    return False
