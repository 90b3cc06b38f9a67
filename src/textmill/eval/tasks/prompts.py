"""What the model reads for an item: description, examples, the prompt itself, and the answers behind it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from textmill.base.errors import DataError
from textmill.eval.prefix_tree import ScoredText
from textmill.eval.tasks.task import Item, Task
from textmill.infer.engine import LanguageModel


class Prompts:
    """Lays out a task's items for one model. Examples are the same for every item, so they are computed once."""

    def __init__(self, lm: LanguageModel, task: Task, path: Path) -> None:
        self._lm, self._task, self._path = lm, task, path
        settings = task.settings
        shots = [f"{shot.prompt}{settings.delimiter}{shot.answer_text}" for shot in task.shots]
        self._before = settings.separator.join([*filter(None, [settings.description]), *shots, ""])

    def text(self, item: Item) -> str:
        """All that stands before the answer, where no chat template lays it out."""
        return self._before + item.prompt

    def ids(self, item: Item) -> list[int]:
        """All that stands before the answer, as the model's tokens."""
        if self._task.settings.chat:
            return self._lm.chat_ids(self._messages(item))
        return [*self._lm.rules.prefix_ids, *self._lm.tokenizer.encode(self.text(item))]

    def scored(self, item: Item, answers: tuple[str, ...]) -> Iterator[ScoredText]:
        """The item with each answer after it, to be scored.

        Where a prompt ends in spaces they are counted with the answer, and both are encoded as one text, of which the
        answer has what the prompt alone does not: as lm-evaluation-harness does it.

        Raises:
            DataError: an item that does not fit into the context.
        """
        chat_ids = self.ids(item) if self._task.settings.chat else None
        for answer in answers:
            if chat_ids is not None:
                ids, num_context = [*chat_ids, *self._lm.tokenizer.encode(answer)], len(chat_ids)
            else:
                ids, num_context = self._pair(self.text(item), self._task.settings.delimiter + answer)
            if num_context >= len(ids):
                raise DataError(
                    f"{self.where(item)}: the answer {answer!r} has no token of its own: it becomes one with the end "
                    "of the prompt. End the prompt before it"
                )
            if len(ids) - 1 > self._lm.context:
                raise DataError(self._too_long(item, len(ids) - 1))
            yield ScoredText(np.array(ids, np.int32), num_context)

    def generating(self, item: Item) -> list[int]:
        """The item's tokens, to go on from.

        Raises:
            DataError: an item that leaves no room for an answer.
        """
        ids = self.ids(item)
        if len(ids) >= self._lm.context:
            raise DataError(self._too_long(item, len(ids) + 1))
        return ids

    def where(self, item: Item) -> str:
        """An item's place, for messages."""
        return f"{self._path}, line {item.line}"

    def _pair(self, prompt: str, answer: str) -> tuple[list[int], int]:
        trimmed = prompt.rstrip()
        answer = prompt[len(trimmed) :] + answer
        prefix = self._lm.rules.prefix_ids
        context = [*prefix, *self._lm.tokenizer.encode(trimmed)]
        whole = [*prefix, *self._lm.tokenizer.encode(trimmed + answer)]
        return whole, len(context)

    def _messages(self, item: Item) -> list[dict[str, str]]:
        settings = self._task.settings
        messages = [{"role": "system", "content": settings.description}] if settings.description else []
        for shot in self._task.shots:
            messages.append({"role": "user", "content": shot.prompt})
            messages.append({"role": "assistant", "content": shot.answer_text})
        return [*messages, {"role": "user", "content": item.prompt}]

    def _too_long(self, item: Item, length: int) -> str:
        fewer = f" with fewer examples (shots {self._task.settings.shots})," if self._task.settings.shots else ""
        return (
            f"{self.where(item)}: the item takes {length:,} tokens, and the context is {self._lm.context:,}; put it"
            f"{fewer} shorter, or load the model with a longer --context"
        )
