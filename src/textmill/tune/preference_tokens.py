"""Pairs of answers as token ids: rendered by the model's chat template, ended as the model ends a text, cut to length.

Answers are what the template writes after the prompt with its generation prompt, so what is learned is what will be
generated.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from textmill.base.errors import DataError
from textmill.tokenizer.tokenizer import Tokenizer
from textmill.tune.answer_rows import AnsweredPrompt
from textmill.tune.messages import Message
from textmill.tune.preference_records import Preference, Side

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

    @property
    def chosen(self) -> AnsweredPrompt:
        """The better answer after the prompt."""
        return AnsweredPrompt(self.prompt, self.chosen_answer)

    @property
    def rejected(self) -> AnsweredPrompt:
        """The other one after the same."""
        return AnsweredPrompt(self.prompt, self.rejected_answer)


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How long texts may be, in tokens.

    Attributes:
        context: prompt and answer together.
        prompt: the prompt alone, where texts are cut.
        too_long: what becomes of longer ones: ``refuse`` ends the run, ``drop`` leaves the pair out, ``cut`` keeps the
            end of a prompt, the same before both answers, and their beginnings.
    """

    context: int
    prompt: int
    too_long: TooLong


def tokenize(
    preferences: Iterable[Preference],
    tokenizer: Tokenizer,
    *,
    prefix_ids: Sequence[int],
    end_id: int,
    limits: Limits,
    say: Callable[[str], None],
) -> list[Pair]:
    """Turn pairs into tokens, in their order.

    Args:
        preferences: as ``read_preferences`` gives them.
        tokenizer: the model's, with its chat template where answers are messages.
        prefix_ids: what plain texts begin with: BOS, or nothing.
        end_id: what plain answers end with.
        limits: how long they may be.
        say: told how many were cut or left out.

    Raises:
        DataError: a pair is too long, or its answers are the same once they are tokens (and cut); or the template
            writes another prompt before an answer than without it. Named with file and line.
    """
    pairs: list[Pair] = []
    num_cut = num_dropped = 0
    for preference in preferences:
        where = preference.where
        prompt = prompt_ids(preference.prompt, tokenizer, prefix_ids, where)
        chosen, rejected = (
            _answer_ids(preference.prompt, side, prompt, tokenizer, end_id, where)
            for side in (preference.chosen, preference.rejected)
        )
        pair = Pair(prompt, chosen, rejected, where)
        if len(prompt) + _longer(pair) > limits.context:
            if limits.too_long == "refuse":
                raise _too_long(pair, limits)
            if limits.too_long == "drop":
                num_dropped += 1
                continue
            num_cut += 1
            pair = _cut(pair, limits)
        if pair.chosen_answer == pair.rejected_answer:
            raise DataError(
                f"{where}: chosen and rejected are the same {len(pair.chosen_answer)} tokens once they are cut to the "
                f"context of {limits.context}, so neither is preferred; leave this line out, or take a longer context"
            )
        pairs.append(pair)
    if num_cut:
        say(f"{num_cut:,} pairs were longer than {limits.context:,} tokens, and are cut to that")
    if num_dropped:
        say(f"{num_dropped:,} pairs are longer than {limits.context:,} tokens, and left out")
    return pairs


def prompt_ids(prompt: Side, tokenizer: Tokenizer, prefix_ids: Sequence[int], where: str) -> tuple[int, ...]:
    """The ids of a prompt that is to be answered: a text as it is after ``prefix_ids``, messages by the template.

    Raises:
        DataError: the template fails, named with ``where``; or a text is empty and nothing stands before it.
    """
    if isinstance(prompt, str):
        return (*prefix_ids, *tokenizer.encode(prompt))
    return tuple(_rendered(prompt, tokenizer, where, add_generation_prompt=True))


def hash_of(pairs: Iterable[Pair]) -> str:
    """A hash of all tokens: 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for pair in pairs:
        for ids in (pair.prompt, pair.chosen_answer, pair.rejected_answer):
            digest.update(len(ids).to_bytes(8, "little"))
            digest.update(np.array(ids, dtype="<u4").tobytes())
    return digest.hexdigest()


def _answer_ids(  # noqa: PLR0917  each is another thing
    prompt: Side, answer: Side, prompt_ids: Sequence[int], tokenizer: Tokenizer, end_id: int, where: str
) -> tuple[int, ...]:
    if isinstance(answer, str):
        return (*tokenizer.encode(answer), end_id)
    assert not isinstance(prompt, str)
    whole = _rendered((*prompt, *answer), tokenizer, where, add_generation_prompt=False)
    if tuple(whole[: len(prompt_ids)]) != tuple(prompt_ids):
        raise DataError(
            f"{where}: the chat template writes the prompt otherwise where an answer follows it, so it cannot be told "
            "where the answer begins; take a template whose text of a conversation begins with that of its beginning"
        )
    return tuple(whole[len(prompt_ids) :])


def _rendered(
    messages: Sequence[Message], tokenizer: Tokenizer, where: str, *, add_generation_prompt: bool
) -> list[int]:
    if tokenizer.chat_template is None:
        raise DataError(
            f"{where}: these are messages, and the model has no chat template (chat_template.jinja) to write them out; "
            "tune a model that has one, or give prompt, chosen and rejected as texts"
        )
    try:
        return tokenizer.apply_chat_template(messages, add_generation_prompt=add_generation_prompt)
    except ValueError as error:
        raise DataError(f"{where}: {error}") from error


def _longer(pair: Pair) -> int:
    return max(len(pair.chosen_answer), len(pair.rejected_answer))


def _cut(pair: Pair, limits: Limits) -> Pair:
    """Keep the end of the prompt, as much of it before both answers, and of each answer what then has room.

    Were each side cut by itself, the answers would follow different prompts, and be told apart by them.
    """
    room = max(limits.context - _longer(pair), min(limits.prompt, limits.context - 1))
    prompt = pair.prompt[-room:]
    left = limits.context - len(prompt)
    return Pair(prompt, pair.chosen_answer[:left], pair.rejected_answer[:left], pair.where)


def _too_long(pair: Pair, limits: Limits) -> DataError:
    return DataError(
        f"{pair.where}: the prompt has {len(pair.prompt):,} tokens and its longer answer {_longer(pair):,}, and the "
        f"context is {limits.context:,}; take a longer one (tune.context), or let such pairs be cut or left out "
        '(tune.too_long = "cut" or "drop")'
    )
