"""What the engine does to its KV cache, step by step: for who watches, and for prompts in a cache of a few blocks."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from textmill.base.errors import ConfigError
from textmill.infer.answer import whole
from textmill.infer.batcher import Batcher, Blocks
from textmill.infer.blocks import Change
from textmill.infer.engine import LanguageModel
from textmill.infer.request import Request
from textmill.infer.runners.runner import Chunk, Runner
from textmill.infer.scheduler import Work
from textmill.model.flops import kv_cache_bytes_of

PROMPTS_MAX = 16
DRAWN_MAX = 64
BLOCKS_MAX = 4096
_SHOWN_TOKENS = 32
_CHANGES_MAX = 1 << 16
Event = tuple[str, dict[str, Any]]


class Watch:
    """Hears of a batcher's changes and steps in the thread that makes them, and keeps them until somebody takes them.

    Whoever takes too rarely loses what is oldest; ``wake`` is called when there is something, in that thread.
    """

    def __init__(self, lm: LanguageModel, wake: Callable[[], object] = lambda: None) -> None:
        self._lm = lm
        self._wake = wake
        self._changes: list[tuple[str, int | None, int | None]] = []
        self._events: deque[Event] = deque(maxlen=1024)
        self._lock = threading.Lock()
        self._num_steps = 0
        self._step_began = time.perf_counter()
        self.batcher: Batcher = lm.batcher

    def on_change(self, what: Change, block: int | None, answer: int | None) -> None:
        """Note what happened to a block or an answer."""
        if not self._changes:
            self._step_began = time.perf_counter()
        if len(self._changes) < _CHANGES_MAX:
            self._changes.append((what, block, answer))

    def on_step(self, works: Sequence[Work]) -> None:
        """Note what was computed; what came before it belongs to it."""
        self._num_steps += 1
        self._add([self._told(work) for work in works])

    def take(self) -> list[Event]:
        """What has come since the last time, in its order."""
        with self._lock:
            events = list(self._events)
            self._events.clear()
        return events

    def flush(self) -> None:
        """Make a step without work of changes that no step has followed for a while."""
        if self._changes and time.perf_counter() - self._step_began > 0.5:
            self._add([])

    def _add(self, work: list[dict[str, Any]]) -> None:
        changes, self._changes = self._changes, []
        now = time.perf_counter()
        statistics = self.batcher.statistics()
        event = {
            "step": self._num_steps,
            "seconds": round(now - self._step_began, 5) if changes or work else 0.0,
            "work": work,
            "changes": changes,
            "num_free": statistics.num_blocks - statistics.num_blocks_in_use - statistics.num_blocks_kept,
            "num_cached": statistics.num_blocks_kept,
            "num_running": statistics.num_running,
            "num_waiting": statistics.num_waiting,
        }
        self._step_began = now
        with self._lock:
            self._events.append(("step", event))
        self._wake()

    def _told(self, work: Work) -> dict[str, Any]:
        chunk = work.chunk
        return {
            "answer": work.answer.number,
            "start": chunk.start,
            "num_tokens": len(chunk.ids),
            "num_guessed": len(work.guesses),
            "blocks": list(chunk.blocks),
            "draws": work.draws,
            "text": self._lm.tokenizer.decode(list(chunk.ids[:_SHOWN_TOKENS])),
        }


def pool_event(lm: LanguageModel, blocks: Blocks) -> Event:
    """How the blocks are before the first step that is told."""
    return "pool", {
        "num_blocks": blocks.num_blocks,
        "block_size": blocks.block_size,
        "bytes_per_block": kv_cache_bytes_of(lm.config, blocks.block_size, "bf16"),
        "held": [[block, number] for block, number in blocks.held.items()],
        "cached": blocks.kept,
    }


def play(
    lm: LanguageModel,
    prompts: Sequence[str],
    *,
    max_tokens: int = 16,
    num_blocks: int = 12,
    at_once: int = 4,
    is_over: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Answer prompts with a cache of a few blocks, and tell what happens to them; the runner is borrowed for that.

    Args:
        lm: the model.
        prompts: up to 16.
        max_tokens: drawn for each, up to 64.
        num_blocks: of the cache.
        at_once: answers that run at the same time.
        is_over: asked between two steps, whether nobody listens any more.

    Raises:
        ConfigError: for a number out of its range, or a prompt that the cache cannot hold.
    """
    limits = {"max_tokens": (max_tokens, DRAWN_MAX), "num_blocks": (num_blocks, BLOCKS_MAX), "at_once": (at_once, 64)}
    for name, (value, most) in limits.items():
        if not 1 <= value <= most:
            raise ConfigError(f"{name} is {value:,}, and must be 1 to {most}")
    if not 1 <= len(prompts) <= PROMPTS_MAX:
        raise ConfigError(f"prompts has {len(prompts)}, and must have 1 to {PROMPTS_MAX}")
    request = Request(max_tokens=max_tokens, ignore_eos=True)
    answers = [answer for prompt in prompts for answer in lm.answers(lm.prompt_ids(prompt), request)]
    with lm.batcher.lend_runner() as runner:
        batcher = Batcher(_FewBlocks(runner, num_blocks), max_running=at_once)
        watch = Watch(lm)
        watch.batcher = batcher
        for answer in answers:
            batcher.submit(answer)
        yield pool_event(lm, batcher.watch(watch.on_change, watch.on_step))
        while not is_over() and batcher.step():
            yield from watch.take()
    yield "end", {"answers": [_told_answer(prompt, answer) for prompt, answer in zip(prompts, answers, strict=True)]}


class _FewBlocks:
    """A runner of which only the first blocks are used."""

    def __init__(self, runner: Runner, num_blocks: int) -> None:
        self._runner = runner
        self.block_size = runner.block_size
        self.num_blocks = min(num_blocks, runner.num_blocks)
        self.tolerance = runner.tolerance

    def forward(self, chunks: Sequence[Chunk]) -> np.ndarray:
        return self._runner.forward(chunks)

    def states(self, chunks: Sequence[Chunk]) -> np.ndarray:
        return self._runner.states(chunks)

    def copy_block(self, source: int, target: int) -> None:
        self._runner.copy_block(source, target)


def _told_answer(prompt: str, answer: Any) -> dict[str, Any]:
    deltas = list(answer.take_deltas())
    return {
        "answer": answer.number,
        "prompt": prompt,
        "text": whole(answer, deltas).text if answer.is_finished else "".join(delta.text for delta in deltas),
        "num_prompt": answer.num_prompt,
        "num_cached": answer.num_cached or 0,
        "num_drawn": answer.num_drawn,
    }
