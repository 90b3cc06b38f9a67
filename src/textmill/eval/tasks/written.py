"""Items whose answers a model writes: compared with the right one, or run with tests."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from textmill.eval.tasks.likelihood import Record
from textmill.eval.tasks.matching import extract, judge
from textmill.eval.tasks.prompts import Prompts
from textmill.eval.tasks.sandbox import Sandbox
from textmill.eval.tasks.task import Item, Settings
from textmill.infer.answer import Answer, whole
from textmill.infer.engine import LanguageModel
from textmill.infer.request import SEED_MAX, Completion, Request
from textmill.model.machine import num_cores

_ANSWERS_AHEAD = 128
_ITEMS_AT_ONCE = 16


def write_items(
    items: Sequence[Item], prompts: Prompts, lm: LanguageModel, settings: Settings, *, first: int, sandbox: Sandbox
) -> Iterator[list[Record]]:
    """Answer and judge items of the kinds ``generate`` and ``code``; records in the items' order.

    Args:
        first: the number of the first item in its task: draws depend on it, and not on where a run was interrupted.
        sandbox: where programs are run.
    """
    batch: list[tuple[Item, list[Completion]]] = []
    with ThreadPoolExecutor(num_cores()) as pool:
        for pair in _answered(items, prompts, lm, settings, first):
            batch.append(pair)
            if len(batch) == _ITEMS_AT_ONCE:
                yield _records(batch, settings, sandbox, pool)
                batch = []
        if batch:
            yield _records(batch, settings, sandbox, pool)


def _answered(
    items: Sequence[Item], prompts: Prompts, lm: LanguageModel, settings: Settings, first: int
) -> Iterator[tuple[Item, list[Completion]]]:
    """Items with their answers, in order; those of later items are in the making meanwhile."""
    ahead: deque[tuple[Item, list[Answer]]] = deque()
    rest = iter(enumerate(items, start=first))
    num_ahead = 0
    try:
        while True:
            while num_ahead < _ANSWERS_AHEAD and (following := next(rest, None)) is not None:
                number, item = following
                request = _request(settings, number)
                answers = lm.answers(prompts.generating(item), request)
                for answer in answers:
                    lm.batcher.submit(answer)
                ahead.append((item, answers))
                num_ahead += len(answers)
            if not ahead:
                return
            item, answers = ahead[0]
            completions = [whole(answer, list(lm.batcher.deltas(answer))) for answer in answers]
            ahead.popleft()
            num_ahead -= len(answers)
            yield item, completions
    finally:
        for _, answers in ahead:
            for answer in answers:
                lm.batcher.abort(answer)


def _request(settings: Settings, number: int) -> Request:
    return Request.of(
        max_tokens=settings.max_tokens,
        temperature=settings.temperature,
        seed=(settings.seed + number * (SEED_MAX // 1_000_003)) & SEED_MAX,
        n=settings.samples,
        stop=list(settings.stop),
    )


def _records(
    batch: Sequence[tuple[Item, list[Completion]]], settings: Settings, sandbox: Sandbox, pool: ThreadPoolExecutor
) -> list[Record]:
    jobs = [
        [pool.submit(_judged, settings, item, completion, sandbox) for completion in completions]
        for item, completions in batch
    ]
    records = []
    for (item, _), some in zip(batch, jobs, strict=True):
        outputs = [job.result() for job in some]
        share = sum(output["correct"] for output in outputs) / len(outputs)
        records.append(
            {"id": item.id, "prompt": item.prompt, "outputs": outputs, "scores": {_METRICS[settings.kind]: share}}
        )
    return records


_METRICS = {"generate": "exact_match", "code": "pass@1"}


def _judged(settings: Settings, item: Item, completion: Completion, sandbox: Sandbox) -> dict[str, Any]:
    output: dict[str, Any] = {"text": completion.text, "finish": completion.finish_reason}
    if settings.kind == "code":
        program = _program(settings, item, completion.text)
        if program is None:
            return output | {"correct": False, "error": "there was no program in it"}
        outcome = sandbox.run(program)
        return output | {"correct": outcome.passed} | ({"error": outcome.error} if outcome.error else {})
    judgement = judge(settings, item, completion.text)
    return (
        output
        | {"answer": judgement.answer, "correct": judgement.correct}
        | ({"error": judgement.note} if judgement.note else {})
    )


def _program(settings: Settings, item: Item, written: str) -> str | None:
    """The whole program: what goes on from the prompt, or, where ``extract`` says so, what is found in the answer."""
    try:
        found = extract(settings, written)
    except TimeoutError:
        return None
    if found is None:
        return None
    return "\n".join((found if settings.extract else item.prompt + found, item.tests, ""))
