"""How fast one case decodes and reads, beside the peers."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from inference_speed import models
from inference_speed.cases import LLAMA_CPP, OURS, TRANSFORMERS, Case, Sizes
from inference_speed.measure import Facts, Measured, fastest_way, in_turn
from inference_speed.processes import THREADS, Process
from textmill.model.machine import read_bandwidth

GENERATE = "textmill, LanguageModel.generate"
PARTS = ("decode", "prefill", "batch", "long")
_FLASH = ({"flash": True}, {"flash": False})
_CONTEXT = 8192


class CaseRun:
    """One model, loaded into the engines for as long as it is measured.

    Args:
        case: what is loaded.
        ids: tokens of English, of which prompts are made.
        sizes, rounds: how much is done, and how often.
        peer_python: a Python that has llama-cpp-python.
        facts: where to note what the engines say, and bandwidths.
    """

    def __init__(
        self, case: Case, ids: Sequence[int], *, sizes: Sizes, rounds: int, peer_python: Path, facts: Facts
    ) -> None:
        self._case = case
        self._ids = ids
        self._sizes = sizes
        self._rounds = rounds
        self._facts = facts
        self._stack = contextlib.ExitStack()
        self._engines = {
            OURS: self._start(sys.executable, OURS, models.gguf(case.file), weights=case.weights),
            LLAMA_CPP: self._start(peer_python, LLAMA_CPP, models.gguf(case.peer_file)),
        }

    def __enter__(self) -> CaseRun:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def measure(self, parts: set[str]) -> Iterator[Measured]:
        """Measure the parts of ``PARTS`` that are wanted."""
        if "decode" in parts:
            yield self._decode()
        if "prefill" in parts:
            yield self._prefill()
        if "batch" in parts and self._case.is_batched:
            yield from map(self._batch, self._sizes.batches)
        if "long" in parts and self._case.is_long:
            yield from self._long()

    def _decode(self) -> Measured:
        prompt, num_tokens = list(self._ids[: self._sizes.prompt]), self._sizes.decoded

        def decode(process: Process) -> float:
            process.ask("read", ids=[prompt])
            return num_tokens / process.ask("decode", num_steps=num_tokens)["seconds"]

        def generate() -> float:
            return num_tokens / self._engines[OURS].ask("generate", ids=prompt, num_tokens=num_tokens)["seconds"]

        others = {GENERATE: generate, "bandwidth": lambda: read_bandwidth(THREADS)}
        measured = self._compare("decode", 1, decode, partial(_open, 1, _CONTEXT), others=others)
        self._facts.bandwidths += measured.speeds.pop("bandwidth")
        info = self._engines[OURS].info
        kept_bytes = (self._sizes.prompt + num_tokens / 2) * info["kv_bytes"]
        self._facts.bytes_a_token[self._case.name] = info["weight_bytes"] + kept_bytes
        return measured

    def _prefill(self) -> Measured:
        compare = partial(self._compare, "prefill", self._sizes.prefill, self._read_prompt, partial(_open, 1, _CONTEXT))
        if self._case.over_transformers is None:
            return compare()
        with self._start(sys.executable, TRANSFORMERS, models.folder()) as peer:
            return compare(engines={TRANSFORMERS: peer})

    def _batch(self, num_texts: int) -> Measured:
        size, num_steps = self._sizes.prompt, self._sizes.batch_steps
        prompts = [list(self._ids[text * size : (text + 1) * size]) for text in range(num_texts)]

        def decode(process: Process) -> float:
            process.ask("read", ids=prompts)
            return num_texts * num_steps / process.ask("decode", num_steps=num_steps)["seconds"]

        ways = [{**flash, "unified": unified} for flash in _FLASH for unified in (False, True)]
        return self._compare("batch", num_texts, decode, partial(_open, num_texts, size + num_steps), ways=ways)

    def _long(self) -> Iterator[Measured]:
        """512 tokens more, and decoding, each time after the same 4,096 tokens, which are read once."""
        keep, num_tokens = self._sizes.long, self._sizes.long_decoded
        before = list(self._ids[:keep])

        def opened(process: Process, way: dict[str, Any]) -> None:
            _open(1, _CONTEXT, process, way)
            process.ask("read", ids=[before])

        def decode(process: Process) -> float:
            process.ask("read", ids=[[before[-1]]], keep=keep - 1)
            return num_tokens / process.ask("decode", num_steps=num_tokens)["seconds"]

        yield self._compare("long prefill", keep, partial(self._read_prompt, keep=keep), opened)
        yield self._compare("long decode", keep, decode, opened)

    def _read_prompt(self, process: Process, keep: int = 0) -> float:
        prompt = list(self._ids[keep : keep + self._sizes.prefill])
        return len(prompt) / process.ask("read", ids=[prompt], keep=keep)["seconds"]

    def _compare(
        self,
        kind: str,
        number: int,
        run: Callable[[Process], float],
        opened: Callable[[Process, dict[str, Any]], None],
        *,
        ways: Sequence[dict[str, Any]] = _FLASH,
        engines: dict[str, Process] | None = None,
        others: dict[str, Callable[[], float]] | None = None,
    ) -> Measured:
        """Let all engines ``run``, and what else there is beside them, in turn; ``opened`` makes them ready."""
        engines = self._engines | (engines or {})
        for name, process in engines.items():
            if name != LLAMA_CPP:
                opened(process, {})
        way = fastest_way(engines[LLAMA_CPP], run, ways, opened)
        jobs = {name: partial(run, process) for name, process in engines.items()} | (others or {})
        return Measured(kind, number, self._case.name, way, in_turn(jobs, self._rounds))

    def _start(self, python: str | Path, engine: str, model: Path, **options: Any) -> Process:
        process = self._stack.enter_context(Process(python, engine=engine, model=str(model), **options))
        self._facts.engines[engine] = process.info
        return process


def _open(num_texts: int, context: int, process: Process, way: dict[str, Any]) -> None:
    process.ask("open", num_texts=num_texts, context=context, way=way)
