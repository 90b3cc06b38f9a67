"""Log-probabilities of given tokens, by the engine's own passes: what texts share is computed once.

The texts become a tree (``prefix_tree``), walked in passes of as many tokens as fill the matrix products. Where texts
part within a block of the KV cache, each goes on from a copy of it. On the CPU every figure is the same bits whatever
else is scored with it; other devices keep their runner's tolerance.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from textmill.base.errors import ConfigError
from textmill.eval.prefix_tree import Node, ScoredText, prefix_tree
from textmill.infer.answer import not_finite
from textmill.infer.engine import LanguageModel
from textmill.infer.runners.runner import Chunk, Runner

TOKENS_PER_PASS = 512
# Logits of a vocabulary of 49k tokens for 256 rows are 50 MB.
_ROWS_PER_PASS = 256
_ROWS_AT_ONCE = 8  # what their exponentials take stays in the cache
_TEXTS_AT_ONCE = 256
_TOKENS_AT_ONCE = 1 << 16


@dataclass(frozen=True, slots=True)
class Score:
    """What a model says of a text's scored tokens.

    Attributes:
        logprobs: natural logarithms of each token's probability, float64 [N].
        is_greedy: whether each was the most probable one.
    """

    logprobs: np.ndarray
    is_greedy: bool

    @property
    def total(self) -> float:
        """The sum of the log-probabilities."""
        return float(self.logprobs.sum())


@contextlib.contextmanager
def open_scorer(
    lm: LanguageModel, *, tokens_per_pass: int = TOKENS_PER_PASS, rows_per_pass: int = _ROWS_PER_PASS
) -> Iterator[Scorer]:
    """Score with a model that is loaded, and its adapter; while the block runs, it makes no answers."""
    with lm.batcher.lend_runner() as runner:
        yield Scorer(
            runner,
            context=lm.context,
            adapter=lm.adapter_number,
            tokens_per_pass=tokens_per_pass,
            rows_per_pass=rows_per_pass,
        )


class Scorer:
    """Has a runner and all of its blocks; ``open_scorer`` makes one."""

    def __init__(
        self,
        runner: Runner,
        *,
        context: int,
        adapter: int | None = None,
        tokens_per_pass: int = TOKENS_PER_PASS,
        rows_per_pass: int = _ROWS_PER_PASS,
    ) -> None:
        self.context = min(context, runner.num_blocks * runner.block_size)
        self._runner = runner
        self._adapter = adapter
        self._blocks = _Blocks(runner)
        self._tokens_per_pass = tokens_per_pass
        self._rows_per_pass = rows_per_pass
        self._kept: _Place | None = None

    def score(self, texts: Iterable[ScoredText], *, at_once: int = _TEXTS_AT_ONCE) -> Iterator[Score]:
        """Score texts in their order; up to ``at_once`` are taken before the first result comes.

        Raises:
            ConfigError: a text is longer than the context.
            DataError: where the model's logits are not finite.
        """
        rest = iter(texts)
        while window := _window(rest, at_once):
            for text in window:
                if len(text.inputs) > self.context:
                    raise ConfigError(
                        f"a text of {len(text.inputs):,} tokens is to be scored, and the context is {self.context:,}; "
                        "cut it, or load the model with a longer context"
                    )
            yield from self._score(window)

    def _score(self, texts: Sequence[ScoredText]) -> list[Score]:
        logprobs = [np.empty(len(text.ids) - text.num_context, np.float64) for text in texts]
        is_greedy = [True] * len(texts)
        roots = prefix_tree(texts)
        walk = _Walk(self._runner, self._blocks, self._adapter, self._tokens_per_pass, self._rows_per_pass)
        for one in walk.run(roots, self._kept):
            lse_N, most_N = _summarise(one.logits_NV)
            if not np.isfinite(lse_N).all():
                raise not_finite(one.first_row + int(np.isfinite(lse_N).argmin()) + 1)
            for number in one.node.texts:
                text = texts[number]
                low = max(one.first_row, text.num_context - 1)
                high = one.first_row + len(lse_N)
                if low < high:
                    targets_N = text.ids[low + 1 : high + 1]
                    rows_N = np.arange(low, high) - one.first_row
                    chosen_N = one.logits_NV[rows_N, targets_N].astype(np.float64)
                    at = slice(low + 1 - text.num_context, high + 1 - text.num_context)
                    logprobs[number][at] = chosen_N - lse_N[rows_N]
                    is_greedy[number] &= bool((most_N[rows_N] == targets_N).all())
        if self._kept is not None:
            self._blocks.close(self._kept)
        self._kept = walk.root_place  # what all of these began with: the next ones may, too
        return [Score(*parts) for parts in zip(logprobs, is_greedy, strict=True)]


@dataclass(slots=True, eq=False)
class _Place:
    """Tokens whose keys and values are there, and the blocks that hold them."""

    ids: np.ndarray
    blocks: list[int]


class _Blocks:
    """Which blocks are free, and how many texts hold each of the others."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._size = runner.block_size
        self._free = list(range(runner.num_blocks - 1, -1, -1))
        self._num_holders = [0] * runner.num_blocks

    def open(self, path: np.ndarray, source: _Place | None, num_shared: int) -> _Place | None:
        """Blocks for a path that goes on after ``num_shared`` tokens of a place; None where there are too few."""
        whole, part = divmod(num_shared, self._size)
        num_new = -(-len(path) // self._size) - whole
        if num_new > len(self._free):
            return None
        blocks = list(source.blocks[:whole]) if source is not None else []
        for block in blocks:
            self._num_holders[block] += 1
        for _ in range(num_new):
            blocks.append(self._free.pop())
            self._num_holders[blocks[-1]] = 1
        if part and source is not None:
            self._runner.copy_block(source.blocks[whole], blocks[whole])
        return _Place(path, blocks)

    def close(self, place: _Place) -> None:
        """Give a place's blocks back."""
        for block in place.blocks:
            self._num_holders[block] -= 1
            if self._num_holders[block] == 0:
                self._free.append(block)
        place.blocks = []


@dataclass(frozen=True, slots=True)
class _Rows:
    """Logits [N, V] after the tokens of a node from place ``first_row`` on."""

    node: Node
    first_row: int
    logits_NV: np.ndarray  # noqa: N815  capital letters are shape suffixes


@dataclass(slots=True, eq=False)
class _Task:
    """A node to compute; ``done`` is where its next token stands, and ``source`` what it goes on from."""

    node: Node
    source: _Task | _Place | None
    done: int
    num_unopened: int = 0  # children that still have to take what they go on from
    place: _Place | None = None


class _Walk:
    """Computes all nodes of some trees, the latest reached first, so that few stand open at once.

    Attributes:
        root_place: where there is one tree, what its root holds after the walk; whoever walked gives it back.
    """

    def __init__(
        self, runner: Runner, blocks: _Blocks, adapter: int | None, tokens_per_pass: int, rows_per_pass: int
    ) -> None:
        self._runner, self._blocks, self._adapter = runner, blocks, adapter
        self._tokens_per_pass, self._rows_per_pass = tokens_per_pass, rows_per_pass
        self._ready: list[_Task] = []
        self.root_place: _Place | None = None
        self._root: Node | None = None
        self._kept: _Place | None = None

    def run(self, roots: Sequence[Node], kept: _Place | None) -> Iterator[_Rows]:
        """Yield the rows of logits that the nodes want, pass by pass."""
        self._root = roots[0] if len(roots) == 1 else None
        self._kept = kept
        for root in reversed(roots):
            self._ready.append(_Task(root, kept, min(_num_equal(root.path, kept), root.first_row)))
        while self._ready:
            yield from self._pass()

    def _pass(self) -> Iterator[_Rows]:
        works, chunks = self._fill()
        if not chunks:
            return
        logits = self._runner.forward(chunks)
        row = 0
        for task, chunk in zip(works, chunks, strict=True):
            if chunk.num_logits:
                first_row = task.done - chunk.num_logits
                yield _Rows(task.node, first_row, logits[row : row + chunk.num_logits])
                row += chunk.num_logits

    def _fill(self) -> tuple[list[_Task], list[Chunk]]:
        """Take from what is ready until the pass is full; a stretch that does not fit goes on in the next one."""
        works: list[_Task] = []
        chunks: list[Chunk] = []
        tokens, rows = self._tokens_per_pass, self._rows_per_pass
        unfinished: list[_Task] = []
        while self._ready and tokens > 0 and rows > 0:
            task = self._ready.pop()
            if task.place is None and not self._open(task):
                self._ready.append(task)
                if chunks:
                    break
                if not self._put_begun_first():
                    self._make_room()
                continue
            node = task.node
            end = min(node.end, task.done + tokens, max(node.first_row, task.done) + rows)
            if end > task.done:
                assert task.place is not None
                num_logits = end - max(task.done, min(node.first_row, end))
                chunks.append(
                    Chunk(
                        ids=node.path[task.done : end].tolist(),
                        start=task.done,
                        blocks=tuple(task.place.blocks),
                        num_logits=num_logits,
                        adapter=self._adapter,
                    )
                )
                works.append(task)
                tokens -= end - task.done
                rows -= num_logits
                task.done = end
            if end < node.end:
                unfinished.append(task)
        self._ready += unfinished
        reached = [task for task in works if task.done == task.node.end]
        for task in reversed(reached):
            self._reach(task)
        return works, chunks

    def _open(self, task: _Task) -> bool:
        source = task.source.place if isinstance(task.source, _Task) else task.source
        place = self._blocks.open(task.node.path, source, task.done)
        if place is None:
            return False
        task.place = place
        self._leave(task.source)
        task.source = None
        if task.done == task.node.end:  # all of it was there
            self._reach(task)
        return True

    def _leave(self, source: _Task | _Place | None) -> None:
        """One of those that go on from a place has taken what it needs."""
        if isinstance(source, _Task):
            source.num_unopened -= 1
            if source.num_unopened == 0:
                self._close(source)

    def _reach(self, task: _Task) -> None:
        """A node is done with this pass: what goes on from it is ready for the next."""
        task.num_unopened = len(task.node.children)
        for child in reversed(task.node.children):
            self._ready.append(_Task(child, task, child.start))
        if not task.node.children:
            self._close(task)

    def _close(self, task: _Task) -> None:
        assert task.place is not None
        if task.node is self._root:  # the next window may begin with it
            self.root_place = task.place
        else:
            self._blocks.close(task.place)

    def _put_begun_first(self) -> bool:
        """One that has its blocks goes on, and gives them back the sooner; False where none has."""
        for number in range(len(self._ready) - 1, -1, -1):
            if self._ready[number].place is not None:
                self._ready.append(self._ready.pop(number))
                return True
        return False

    def _make_room(self) -> None:
        """Nothing fits or is begun: a node that waits for its turn longest is computed from its beginning later."""
        for task in self._ready:
            if task.place is None and isinstance(task.source, _Task):
                self._leave(task.source)
                task.source, task.done = None, 0
                return
        held = self.root_place or self._kept
        assert held is not None, "a text that fits into the cache has no room in it"
        assert held.blocks, "a text that fits into the cache has no room in it"
        for task in self._ready:
            if task.source is held:
                task.source, task.done = None, 0
        self._blocks.close(held)
        self.root_place = None


def _window(texts: Iterator[ScoredText], at_once: int) -> list[ScoredText]:
    """The next texts, as many as one walk takes."""
    window: list[ScoredText] = []
    tokens = 0
    for text in islice(texts, at_once):
        window.append(text)
        tokens += len(text.ids)
        if tokens >= _TOKENS_AT_ONCE:
            break
    return window


def _num_equal(path: np.ndarray, kept: _Place | None) -> int:
    if kept is None:
        return 0
    length = min(len(path), len(kept.ids))
    different = np.flatnonzero(path[:length] != kept.ids[:length])
    return int(different[0]) if len(different) else length


def _summarise(logits_NV: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The logarithm of each row's sum of exponentials, float64 [N], and its largest entry's id, int64 [N]."""
    lse_N = np.empty(len(logits_NV), np.float64)
    most_N = logits_NV.argmax(axis=1)
    room = np.empty((_ROWS_AT_ONCE, logits_NV.shape[1]), np.float32)
    for begin in range(0, len(logits_NV), _ROWS_AT_ONCE):
        rows = logits_NV[begin : begin + _ROWS_AT_ONCE]
        exp = room[: len(rows)]
        top = rows[np.arange(len(rows)), most_N[begin : begin + len(rows)]]
        with np.errstate(invalid="ignore"):
            np.exp(np.subtract(rows, top[:, None], out=exp), out=exp)
            lse_N[begin : begin + len(rows)] = np.log(exp.sum(axis=1).astype(np.float64)) + top
    return lse_N, most_N
