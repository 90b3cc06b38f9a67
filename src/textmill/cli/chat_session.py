"""A chat under way: the model, what was said, how it draws, and what it has taken so far."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rich.text import Text

from textmill.base import units
from textmill.base.errors import ConfigError
from textmill.cli.chat_answer import Answered
from textmill.cli.chat_screen import WordWrap, figures
from textmill.cli.output import Output

if TYPE_CHECKING:
    from textmill.cli.chat_conversation import Conversation, Message

    # Answers a conversation with options, handing on each piece of text: a model here, or one behind an address.
    Answerer = Callable[[Sequence[Message], dict[str, Any], Callable[[str], None]], Answered]


@dataclasses.dataclass(kw_only=True, slots=True)
class Totals:
    """What all answers of a chat took together."""

    num_answers: int = 0
    num_prompt: int = 0
    num_cached: int = 0
    num_tokens: int = 0
    num_timed: int = 0
    first_s: float = 0.0
    rest_s: float = 0.0

    def add(self, answered: Answered) -> None:
        """Count an answer."""
        self.num_answers += 1
        self.num_prompt += answered.num_prompt
        self.num_cached += answered.num_cached
        self.num_tokens += answered.num_tokens
        self.num_timed += max(0, answered.num_tokens - 1)
        self.first_s += answered.first_s
        self.rest_s += answered.rest_s

    def lines(self) -> Iterable[str]:
        """The figures for people."""
        answers = "answer" if self.num_answers == 1 else "answers"
        yield f"{self.num_answers:,} {answers} of {self.num_tokens:,} tokens"
        read = self.num_prompt - self.num_cached
        yield (
            f"{self.num_prompt:,} tokens of conversation went before them: {self.num_cached:,} were in the cache, "
            f"{read:,} were computed in {units.seconds(self.first_s)}"
        )
        if self.rest_s > 0:
            yield f"{self.num_timed / self.rest_s:.1f} tokens a second"


class Session:
    """Puts messages to the model and shows its answers.

    Attributes:
        conversation: what was said.
        totals: what it took.
        out: where everything goes.
    """

    def __init__(
        self,
        answerer: Answerer,
        conversation: Conversation,
        options: dict[str, Any],
        out: Output,
        *,
        as_json: bool = False,
    ) -> None:
        """``options`` are those of ``generate``; ``as_json`` writes each answer as a line of JSON."""
        self.conversation = conversation
        self.totals = Totals()
        self.out = out
        self._answerer = answerer
        self._options = options
        self._as_json = as_json

    def ask(self, text: str) -> Answered:
        """Put a message; where it cannot be answered, it is as if it had not been put.

        Raises:
            ConfigError: the message before it has no answer.
        """
        if self.conversation.is_unanswered:
            raise ConfigError("the last message has no answer yet. /regenerate makes one, /reset begins anew")
        self.conversation.ask(text)
        try:
            return self.answer()
        except BaseException:
            self.conversation.take_back("user")
            raise

    def answer_again(self) -> Answered:
        """Answer the last message anew; where nothing comes of it, the answer before it stays.

        Raises:
            ConfigError: there is no message yet.
        """
        before = self.conversation.take_back("assistant")
        if not self.conversation.is_unanswered:
            raise ConfigError("there is no answer yet to make again")
        answered = None
        try:
            answered = self.answer()
        finally:
            was_stopped = answered is not None and answered.finish_reason == "interrupted" and not answered.text
            if before is not None and (answered is None or was_stopped):
                self.conversation.take_back("assistant")
                self.conversation.turns.append(before)
        return answered

    def answer(self) -> Answered:
        """Answer the last message and show the answer; what came before Ctrl-C stays said."""
        wrap = WordWrap(self.out.data_width if sys.stdout.isatty() else None)

        def show(text: str) -> None:
            if not self._as_json:
                self.out.text(wrap.push(text))

        answered = self._answerer(self.conversation.messages, self._seeded(), show)
        self.conversation.answer(answered.text)
        self.totals.add(answered)
        if self._as_json:
            self.out.data(json.dumps(answered.as_table(), ensure_ascii=False))
        else:
            self.out.text(wrap.finish())
            self.out.data(" ..." if answered.finish_reason == "interrupted" else "")
        return answered

    def show_text(self, text: str) -> None:
        """Show a text that somebody else wrote."""
        wrap = WordWrap(self.out.data_width if sys.stdout.isatty() else None)
        self.out.text(wrap.push(text) + wrap.finish())
        self.out.data("")

    def tell_loaded(self) -> None:
        """Show where a conversation that was kept stands."""
        turns = self.conversation.turns
        self.out.say(f"[{len(turns)} messages; the last of them:]" if turns else "[an empty conversation]")
        if turns:
            self.show_text(turns[-1]["content"])
        self.tell_if_unanswered()

    def tell(self, answered: Answered) -> None:
        """Write the figures of an answer, and what to do where it was cut off."""
        self.out.messages.print(Text(figures(answered, self.out.width), style="dim"))
        self.tell_if_cut_off(answered)

    def tell_if_cut_off(self, answered: Answered) -> None:
        """Say what to do where an answer was cut off."""
        if answered.context is not None and answered.num_used >= answered.context:
            self.out.say(f"[the context of {answered.context:,} tokens is full: /reset begins anew]")
        elif answered.finish_reason == "length":
            self.out.say(f"[cut off after {answered.num_tokens:,} tokens: --max-tokens allows more]")

    def tell_if_unanswered(self) -> None:
        """Say what to do where a conversation that was loaded ends with the user's message."""
        if self.conversation.is_unanswered:
            self.out.say("[the last message has no answer yet: /regenerate makes one]")

    def _seeded(self) -> dict[str, Any]:
        """With a seed, each answer has its own: the same conversation again gives the same answers."""
        seed = self._options.get("seed")
        if seed is None:
            return self._options
        return self._options | {"seed": (seed + self.totals.num_answers) % (1 << 64)}
