"""Conversations as token ids, and which of them are an assistant's: what is learned.

A template with generation marks says itself what the model writes. Where it has none, an answer is what is there with
it and not without: the conversation up to it is rendered with the generation prompt, and with the answer; the one has
to begin with the other, token by token, and so has the whole conversation. What a template writes after the token that
ends an answer, ChatML's line end for one, is never generated, and not learned.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from textmill.base import units
from textmill.base.errors import DataError
from textmill.text.token_stream import IGNORED
from textmill.tokenizer.tokenizer import Tokenizer
from textmill.tune.chat_records import Chat
from textmill.tune.messages import Message

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

    @property
    def num_inputs(self) -> int:
        """Tokens that the model reads: all but the last."""
        return len(self.ids) - 1

    @property
    def targets(self) -> NDArray[np.int64]:
        """int64[T], the token after each, -100 where it is not one to learn."""
        return np.where(self.is_answer[1:], self.ids[1:], IGNORED).astype(np.int64)


def tokenize_chats(
    chats: Iterable[Chat],
    tokenizer: Tokenizer,
    *,
    model: str,
    stop_ids: Collection[int],
    context: int,
    too_long: TooLong,
    say: Callable[[str], None],
) -> list[ChatTokens]:
    """Turn conversations into tokens, in their order.

    Args:
        chats: as ``read_chats`` gives them.
        tokenizer: the model's, with its chat template.
        model: what messages call the model.
        stop_ids: tokens that end what the model writes.
        context: tokens that the model reads of a conversation at most.
        too_long: what becomes of longer ones: ``refuse`` ends the run, ``drop`` leaves them out, ``cut`` keeps the
            beginning, where an answer is in it.
        say: told how many were left out or cut.

    Raises:
        DataError: there is no template, it fails, it refuses a conversation, or its prefixes do not nest; a
            conversation is too long. Named with file and line.
    """
    kept: list[ChatTokens] = []
    num_dropped = num_cut = 0
    for chat in chats:
        tokens = tokens_of(chat, tokenizer, model=model, stop_ids=stop_ids)
        if tokens.num_inputs > context:
            if too_long == "refuse":
                raise _too_long(tokens, context)
            if too_long == "drop" or not tokens.is_answer[: context + 1].any():
                num_dropped += 1
                continue
            num_cut += 1
            tokens = ChatTokens(tokens.ids[: context + 1], tokens.is_answer[: context + 1], tokens.where)
        kept.append(tokens)
    for count, what in ((num_dropped, "left out"), (num_cut, "cut")):
        if count:
            say(f"{count:,} {units.plural(count, 'conversation')} longer than {context:,} tokens {what}")
    return kept


def tokens_of(chat: Chat, tokenizer: Tokenizer, *, model: str, stop_ids: Collection[int]) -> ChatTokens:
    """Turn one conversation into tokens; raises as ``tokenize_chats``."""
    if tokenizer.chat_template is None:
        raise DataError(
            f"{chat.where}: {model} has no chat template (chat_template.jinja) to write conversations out with; tune a "
            "model that has one, or put one into its folder"
        )
    try:
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
    ids, marks = tokenizer.chat_with_answers(chat.messages)
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
    whole = tokenizer.apply_chat_template(messages, add_generation_prompt=False)
    is_answer = np.zeros(len(whole), np.bool_)
    for place, message in enumerate(messages):
        if message["role"] != "assistant" or not chat.learned[place]:
            continue
        asked = tokenizer.apply_chat_template(messages[:place], add_generation_prompt=True)
        last = place + 1 == len(messages)
        answered = whole if last else tokenizer.apply_chat_template(messages[: place + 1], add_generation_prompt=False)
        for prefix, before in ((asked, "the conversation before it"), (answered, "the conversation up to it")):
            if whole[: len(prefix)] != prefix:
                raise _does_not_nest(messages, place, before, model)
        begin, end = len(asked), len(answered)
        stops = [at for at in range(begin, end) if whole[at] in stop_ids]
        is_answer[begin : stops[-1] + 1 if stops else end] = True
    return whole, is_answer


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
