"""Pairs of answers as token ids: rendered by the model's chat template, ended as the model ends a text, cut to length.

Answers are what the template writes after the prompt with its generation prompt, up to the last token that stops the
model, so what is learned is what will be generated. TRL keeps what comes after that token; where it is the same after
both answers it says nothing of which is better.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from textmill.base.errors import DataError
from textmill.tokenizer.tokenizer import Tokenizer
from textmill.tune.answer_rows import AnsweredPrompt
from textmill.tune.chat_tokens import end_of_answer
from textmill.tune.messages import Message, Tool
from textmill.tune.preference_records import Preference, Side, preference_of

TooLong = Literal["refuse", "drop", "cut"]


@dataclass(frozen=True, slots=True)
class Pair:
    """A pair of answers in tokens.

    Attributes:
        prompt: what both answers follow, at least one token.
        chosen_answer: the better answer.
        rejected_answer: the other one.
        where: ``file:line``.
    """

    prompt: tuple[int, ...]
    chosen_answer: tuple[int, ...]
    rejected_answer: tuple[int, ...]
    where: str

    def to_arrays(self) -> tuple[NDArray[np.int32], ...]:
        """The ids of the prompt, of the better answer and of the other one."""
        return tuple(np.array(ids, np.int32) for ids in (self.prompt, self.chosen_answer, self.rejected_answer))

    @classmethod
    def from_arrays(cls, arrays: Sequence[NDArray[np.int32]], where: str) -> Pair:
        """What ``to_arrays`` was of."""
        prompt, chosen, rejected = (tuple(ids.tolist()) for ids in arrays)
        return cls(prompt, chosen, rejected, where)

    @property
    def num_inputs(self) -> int:
        """Tokens that the model reads of both."""
        return self.chosen.num_inputs + self.rejected.num_inputs

    @property
    def chosen(self) -> AnsweredPrompt:
        """The better answer after the prompt."""
        return AnsweredPrompt(self.prompt, self.chosen_answer)

    @property
    def rejected(self) -> AnsweredPrompt:
        """The other one after the same."""
        return AnsweredPrompt(self.prompt, self.rejected_answer)


@dataclass(frozen=True, kw_only=True, slots=True)
class PairTokenizer:
    """Turns records into pairs in tokens.

    Attributes:
        tokenizer: the model's, with its chat template where answers are messages.
        prefix_ids: what plain texts begin with: BOS, or nothing.
        end_id: what plain answers end with.
        stop_ids: tokens that end what the model writes: what a template writes after the last one is no part of an
            answer.
        context: tokens of prompt and answer together.
        prompt_context: of the prompt alone, where texts are cut.
        too_long: what becomes of longer ones: ``refuse`` ends the run, ``drop`` leaves the pair out, ``cut`` keeps the
            end of a prompt, the same before both answers, and their beginnings.
    """

    tokenizer: Tokenizer
    prefix_ids: tuple[int, ...]
    end_id: int
    stop_ids: frozenset[int]
    context: int
    prompt_context: int
    too_long: TooLong

    kind = Pair
    name = "pair"

    def settings(self) -> dict[str, Any]:
        """What pairs depend on beside their records and the tokenizer."""
        limits = {"context": self.context, "prompt_context": self.prompt_context, "too_long": self.too_long}
        ends = {"prefix_ids": self.prefix_ids, "end_id": self.end_id, "stop_ids": sorted(self.stop_ids)}
        return limits | ends

    def __call__(self, record: Mapping[str, Any], where: str) -> tuple[Pair | None, bool]:
        """The pair of a record, None where it is left out; and whether it was cut.

        Raises:
            DataError: the record is none; the pair is too long, or its answers are the same once they are tokens (and
                cut); or the template writes another prompt before an answer than without it. Named with file and line.
        """
        preference = preference_of(record, where)
        prompt = prompt_ids(preference.prompt, self.tokenizer, self.prefix_ids, where, preference.tools)
        chosen, rejected = (
            self._answer_ids(preference, side, prompt) for side in (preference.chosen, preference.rejected)
        )
        pair, is_cut = Pair(prompt, chosen, rejected, where), False
        if len(prompt) + _longer(pair) > self.context:
            if self.too_long == "refuse":
                raise self._is_too_long(pair)
            if self.too_long == "drop":
                return None, False
            pair, is_cut = self._cut(pair), True
        if pair.chosen_answer == pair.rejected_answer:
            raise DataError(
                f"{where}: chosen and rejected are the same {len(pair.chosen_answer)} tokens once they are cut to the "
                f"context of {self.context}, so neither is preferred; leave this line out, or take a longer context"
            )
        return pair, is_cut

    def _answer_ids(self, preference: Preference, answer: Side, prompt_ids: Sequence[int]) -> tuple[int, ...]:
        prompt, where, begin = preference.prompt, preference.where, len(prompt_ids)
        if isinstance(answer, str):
            return (*self.tokenizer.encode(answer), self.end_id)
        assert not isinstance(prompt, str)
        messages = (*prompt, *answer)
        whole = _rendered(messages, self.tokenizer, where, preference.tools, add_generation_prompt=False)
        if tuple(whole[:begin]) != tuple(prompt_ids):
            raise DataError(
                f"{where}: the chat template writes the prompt otherwise where an answer follows it, so it cannot be "
                "told where the answer begins; take a template whose text of a conversation begins with that of its "
                "beginning"
            )
        return tuple(whole[begin : end_of_answer(whole, begin, len(whole), self.stop_ids)])

    def _cut(self, pair: Pair) -> Pair:
        """Keep the end of the prompt, as much of it before both answers, and of each answer what then has room.

        Were each side cut by itself, the answers would follow different prompts, and be told apart by them.
        """
        room = max(self.context - _longer(pair), min(self.prompt_context, self.context - 1))
        prompt = pair.prompt[-room:]
        left = self.context - len(prompt)
        return Pair(prompt, pair.chosen_answer[:left], pair.rejected_answer[:left], pair.where)

    def _is_too_long(self, pair: Pair) -> DataError:
        return DataError(
            f"{pair.where}: the prompt has {len(pair.prompt):,} tokens and its longer answer {_longer(pair):,}, and "
            f"the context is {self.context:,}; take a longer one (tune.context), or let such pairs be cut or left out "
            '(tune.too_long = "cut" or "drop")'
        )


def prompt_ids(
    prompt: Side, tokenizer: Tokenizer, prefix_ids: Sequence[int], where: str, tools: Sequence[Tool] = ()
) -> tuple[int, ...]:
    """The ids of a prompt that is to be answered: a text as it is after ``prefix_ids``, messages by the template.

    Raises:
        DataError: the template fails, named with ``where``; it does not write ``tools``, or there is none; or a text is
            empty and nothing stands before it.
    """
    if isinstance(prompt, str):
        if tools:
            raise DataError(
                f'{where}: "tools" are written by the chat template, and the prompt is a text; give messages'
            )
        return (*prefix_ids, *tokenizer.encode(prompt))
    ids = _rendered(prompt, tokenizer, where, tools, add_generation_prompt=True)
    if tools and ids == _rendered(prompt, tokenizer, where, (), add_generation_prompt=True):
        raise DataError(
            f"{where}: the model's chat template does not write tools, so it would not be told what to call; describe "
            'them in a system message and leave "tools" out, or leave this line out'
        )
    return tuple(ids)


def hash_of(pairs: Iterable[Pair]) -> str:
    """A hash of all tokens: 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for pair in pairs:
        for ids in (pair.prompt, pair.chosen_answer, pair.rejected_answer):
            digest.update(len(ids).to_bytes(8, "little"))
            digest.update(np.array(ids, dtype="<u4").tobytes())
    return digest.hexdigest()


def _rendered(
    messages: Sequence[Message],
    tokenizer: Tokenizer,
    where: str,
    tools: Sequence[Tool],
    *,
    add_generation_prompt: bool,
) -> list[int]:
    if tokenizer.chat_template is None:
        raise DataError(
            f"{where}: these are messages, and the model has no chat template (chat_template.jinja) to write them out; "
            "tune a model that has one, or give prompt, chosen and rejected as texts"
        )
    try:
        return tokenizer.apply_chat_template(messages, add_generation_prompt=add_generation_prompt, tools=tools or None)
    except ValueError as error:
        raise DataError(f"{where}: {error}") from error


def _longer(pair: Pair) -> int:
    return max(len(pair.chosen_answer), len(pair.rejected_answer))
