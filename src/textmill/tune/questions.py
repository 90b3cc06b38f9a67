"""Prompts that the model is to answer, read from JSON Lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textmill.base.errors import DataError
from textmill.tokenizer.tokenizer import Tokenizer
from textmill.tune.messages import tools_of
from textmill.tune.preference_records import Side, prompt_of, read_json_lines
from textmill.tune.preference_tokens import prompt_ids


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt, and what a reward may want to know of it.

    Attributes:
        prompt: as the record has it, a text or messages, parts of text put together.
        record: the record's other keys.
        ids: the prompt in tokens.
        where: ``file:line``.
    """

    prompt: Side
    record: Mapping[str, Any]
    ids: tuple[int, ...]
    where: str

    @property
    def num_inputs(self) -> int:
        """Tokens of the prompt."""
        return len(self.ids)


def read_questions(
    paths: Sequence[Path], tokenizer: Tokenizer, *, prefix_ids: Sequence[int], context: int, max_tokens: int
) -> list[Question]:
    """Read prompts in the order of the files and their lines.

    Args:
        paths: JSON Lines, each an object with ``prompt``: a text, or messages for the model's chat template.
        tokenizer: the model's.
        prefix_ids: what a plain text begins with: BOS, or nothing.
        context: tokens of prompt and answer.
        max_tokens: tokens of an answer.

    Raises:
        DataError: a line is no prompt, or leaves no room for an answer, named with file and line; or there is none.
        ConfigError: a file cannot be read.
    """
    questions = []
    for where, record in read_json_lines(paths):
        prompt = prompt_of(record, where)
        ids = prompt_ids(prompt, tokenizer, prefix_ids, where, tools_of(record, where))
        if len(ids) + max_tokens > context:
            raise DataError(
                f"{where}: the prompt has {len(ids):,} tokens, an answer may have {max_tokens:,}, and the context is "
                f"{context:,}; shorten it, allow shorter answers (tune.max_tokens), or take a longer context "
                "(tune.context)"
            )
        questions.append(Question(prompt, {k: v for k, v in record.items() if k != "prompt"}, ids, where))
    if not questions:
        raise DataError(f"{', '.join(map(str, paths))}: there is no prompt; give one JSON object a line")
    return questions
