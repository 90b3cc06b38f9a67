"""Conversations as token ids, and which of them are an assistant's: what is learned.

A template with generation marks says itself what the model writes. Where it has none, an answer is what is there with
it and not without: the conversation up to it is rendered with the generation prompt, and with the answer; the one has
to begin with the other, token by token, and so has the whole conversation. What a template writes after the token that
ends an answer, ChatML's line end for one, is never generated, and not learned.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from textmill.base.errors import DataError
from textmill.text.token_stream import IGNORED
from textmill.tokenizer.tokenizer import Tokenizer
from textmill.tune.chat_records import Chat, chat_of
from textmill.tune.messages import Message, Tool

TooLong = Literal["refuse", "drop", "cut"]


@dataclass(frozen=True, slots=True, eq=False)
class ChatTokens:
    """A conversation in tokens.

    Attributes:
        ids: int32[T + 1].
        is_answer: bool[T + 1], whether a token is one to learn; the first one never is.
        where: ``file:line``.
    """

    ids: NDArray[np.int32]
    is_answer: NDArray[np.bool_]
    where: str

    def to_arrays(self) -> tuple[NDArray[np.int32]]:
        """Its ids, those of answers as ``~id``, which is below 0."""
        return (np.where(self.is_answer, ~self.ids, self.ids),)

    @classmethod
    def from_arrays(cls, arrays: Sequence[NDArray[np.int32]], where: str) -> ChatTokens:
        """What ``to_arrays`` was of."""
        (ids,) = arrays
        return cls(np.where(ids < 0, ~ids, ids), ids < 0, where)

    @property
    def prompt(self) -> tuple[int, ...]:
        """What comes before the first answer."""
        return tuple(self.ids[: int(np.argmax(self.is_answer))].tolist())

    @property
    def num_inputs(self) -> int:
        """Tokens that the model reads: all but the last."""
        return len(self.ids) - 1

    @property
    def targets(self) -> NDArray[np.int64]:
        """int64[T], the token after each, -100 where it is not one to learn."""
        return np.where(self.is_answer[1:], self.ids[1:], IGNORED).astype(np.int64)


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatTokenizer:
    """Turns records into conversations in tokens.

    Attributes:
        tokenizer: the model's, with its chat template.
        model: what messages call the model.
        stop_ids: tokens that end what the model writes.
        context: tokens that the model reads of a conversation at most.
        too_long: what becomes of longer ones: ``refuse`` ends the run, ``drop`` leaves them out, ``cut`` keeps the
            beginning, where an answer is in it.
    """

    tokenizer: Tokenizer
    model: str
    stop_ids: frozenset[int]
    context: int
    too_long: TooLong

    kind = ChatTokens
    name = "conversation"

    def settings(self) -> dict[str, Any]:
        """What conversations depend on beside their records and the tokenizer."""
        return {"stop_ids": sorted(self.stop_ids), "context": self.context, "too_long": self.too_long}

    def __call__(self, record: Mapping[str, Any], where: str) -> tuple[ChatTokens | None, bool]:
        """The conversation of a record, None where it is left out; and whether it was cut.

        Raises:
            DataError: the record is none; there is no template, it fails, it refuses the conversation, or its prefixes
                do not nest; it is too long. Named with file and line.
        """
        tokens = tokens_of(chat_of(record, where), self.tokenizer, model=self.model, stop_ids=self.stop_ids)
        if tokens.num_inputs <= self.context:
            return tokens, False
        if self.too_long == "refuse":
            raise _too_long(tokens, self.context)
        kept = slice(self.context + 1)
        if self.too_long == "drop" or not tokens.is_answer[kept].any():
            return None, False
        return ChatTokens(tokens.ids[kept], tokens.is_answer[kept], tokens.where), True


def tokens_of(chat: Chat, tokenizer: Tokenizer, *, model: str, stop_ids: Collection[int]) -> ChatTokens:
    """Turn one conversation into tokens; raises as ``ChatTokenizer``."""
    if tokenizer.chat_template is None:
        raise DataError(
            f"{chat.where}: {model} has no chat template (chat_template.jinja) to write conversations out with; tune a "
            "model that has one, or put one into its folder"
        )
    try:
        if chat.tools or any("tool_calls" in message for message in chat.messages):
            check_tools(tokenizer, chat.messages, chat.tools, model)
        if tokenizer.marks_answers:
            ids, is_answer = _marked(chat, tokenizer, model)
        else:
            ids, is_answer = _by_prefixes(chat, tokenizer, model, stop_ids)
    except DataError as error:
        if str(error).startswith(chat.where):
            raise
        raise DataError(f"{chat.where}: {error}") from error
    is_answer[:1] = False
    if not is_answer.any():
        raise DataError(f"{chat.where}: the chat template of {model} writes no token of an answer; nothing is learned")
    return ChatTokens(np.array(ids, np.int32), is_answer, chat.where)


def _marked(chat: Chat, tokenizer: Tokenizer, model: str) -> tuple[Sequence[int], NDArray[np.bool_]]:
    ids, marks = tokenizer.chat_with_answers(chat.messages, tools=chat.tools or None)
    is_answer = np.array(marks, np.bool_)
    answers = [place for place, message in enumerate(chat.messages) if message["role"] == "assistant"]
    if all(chat.learned[place] for place in answers):
        return ids, is_answer
    begins = np.flatnonzero(np.diff(np.concatenate(([0], is_answer.astype(np.int8)))) == 1)
    if len(begins) != len(answers):
        raise DataError(
            f"the chat template of {model} marks {len(begins)} stretches as generated for {len(answers)} answers, so "
            "those with the weight 0 cannot be told; leave the weights out"
        )
    for place, (begin, end) in zip(answers, pairwise([*begins.tolist(), len(ids)]), strict=True):
        is_answer[begin:end] &= chat.learned[place]
    return ids, is_answer


def _by_prefixes(
    chat: Chat, tokenizer: Tokenizer, model: str, stop_ids: Collection[int]
) -> tuple[Sequence[int], NDArray[np.bool_]]:
    messages = chat.messages

    def written(num_messages: int, *, add_generation_prompt: bool = False) -> list[int]:
        return tokenizer.apply_chat_template(
            messages[:num_messages], add_generation_prompt=add_generation_prompt, tools=chat.tools or None
        )

    whole = written(len(messages))
    is_answer = np.zeros(len(whole), np.bool_)
    for place, message in enumerate(messages):
        if message["role"] != "assistant" or not chat.learned[place]:
            continue
        asked = written(place, add_generation_prompt=True)
        answered = whole if place + 1 == len(messages) else written(place + 1)
        for prefix, before in ((asked, "the conversation before it"), (answered, "the conversation up to it")):
            if whole[: len(prefix)] != prefix:
                raise _does_not_nest(messages, place, before, model)
        is_answer[len(asked) : end_of_answer(whole, len(asked), len(answered), stop_ids)] = True
    return whole, is_answer


def end_of_answer(ids: Sequence[int], begin: int, end: int, stop_ids: Collection[int]) -> int:
    """Where an answer in ``ids[begin:end]`` ends for the model: after the last token that stops it, if there is one.

    What a template writes after that, ChatML's line end for one, is never generated.
    """
    return next((at + 1 for at in range(end - 1, begin - 1, -1) if ids[at] in stop_ids), end)


def check_tools(tokenizer: Tokenizer, messages: Sequence[Message], tools: Sequence[Tool], model: str) -> None:
    """Refuse a template that passes over tools or calls: the model would learn to call what it was not told of.

    Raises:
        DataError: the template writes the same without the tools, or without the calls of a message.
    """
    written = tokenizer.apply_chat_template(messages, add_generation_prompt=False, tools=tools or None)

    def is_same(others: Sequence[Message], other_tools: Sequence[Tool]) -> bool:
        return written == tokenizer.apply_chat_template(others, add_generation_prompt=False, tools=other_tools or None)

    if tools and is_same(messages, ()):
        raise DataError(
            f"the chat template of {model} does not write tools, so the model would learn to call what it was not told "
            'of; take a template that does, describe them in a system message and leave "tools" out, or leave this '
            "line out"
        )
    for place, message in enumerate(messages):
        if not message.get("tool_calls"):
            continue
        uncalled = {key: value for key, value in message.items() if key != "tool_calls"}
        uncalled["content"] = message["content"] or ""
        if is_same([*messages[:place], uncalled, *messages[place + 1 :]], tools):
            raise DataError(
                f"the chat template of {model} does not write tool_calls (message {place}): they cannot be learned; "
                "take a template that does, or leave this line out"
            )


def _does_not_nest(messages: Sequence[Message], place: int, before: str, model: str) -> DataError:
    return DataError(
        f"the chat template of {model} writes {before} (message {place} of {len(messages)}) otherwise where more "
        "follows: its prefixes do not nest, so it cannot be told which tokens are the answer. Mark them in the "
        "template with {% generation %} ... {% endgeneration %}, or take another template"
    )


def _too_long(tokens: ChatTokens, context: int) -> DataError:
    num_answer = int(tokens.is_answer.sum())
    return DataError(
        f"{tokens.where}: the conversation has {tokens.num_inputs:,} tokens, {num_answer:,} of them answers, and the "
        f"context is {context:,}; take a longer one (tune.context), or let such conversations be cut or left out "
        '(tune.too_long = "cut" or "drop")'
    )
