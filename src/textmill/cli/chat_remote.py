"""A model behind an address: the server's own, asked as OpenAI's API says, its answers streamed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from textmill.base.errors import ConfigError
from textmill.cli.chat_answer import Answered, ContextFullError
from textmill.cli.server_address import ServerAddress
from textmill.cli.server_exchange import Exchange, ServerError

if TYPE_CHECKING:
    from textmill.cli.chat_conversation import Message

_NAMED_MAX = 10
# Options by their names in the API. Those that are not OpenAI's are vLLM's, which other servers know, too.
_NAMES = {"stop_ids": "stop_token_ids"}
_LOCAL_ONLY = ("speculate",)


class RemoteModel:
    """A model of a server.

    Attributes:
        name: what the server calls it.
        context: tokens that conversation and answer may have, or None where the server does not say.
    """

    def __init__(self, address: ServerAddress, name: str | None, *, silence_s: float) -> None:
        """Ask the server for its models; ``name`` is one of them, or None where there is only one.

        Raises:
            ServerError, ConfigError: it cannot be asked, or leaves a choice to be made.
        """
        self._address = address
        self._silence_s = silence_s
        cards = self._cards(is_needed=name is None)
        if name is None:
            name = _only(address, list(cards))
        self.name = name
        self.context = _context(cards.get(name, {}))

    def __str__(self) -> str:
        return f"{self.name} at {self._address.root}"

    def answer(self, messages: Sequence[Message], options: dict[str, Any], show: Callable[[str], None]) -> Answered:
        """Answer a conversation, handing each piece of text to ``show``; Ctrl-C ends the answer and nothing else.

        Raises:
            ContextFullError: the conversation leaves no room for an answer.
            ServerError: the server fails, or ends the answer without a reason.
        """
        body = self._body(messages, options)
        pieces: list[str] = []
        reason, usage = "", {}
        begin = first = last = time.monotonic()
        try:
            with Exchange(self._address, "/chat/completions", body, silence_s=self._silence_s) as exchange:
                for chunk in _chunks(exchange):
                    text, ended = _said(chunk)
                    usage = chunk.get("usage") or usage
                    if text:
                        last = time.monotonic()
                        first = last if not pieces else first
                        pieces.append(text)
                        show(text)
                    reason = ended or reason
        except KeyboardInterrupt:
            reason = reason or "interrupted"
        except ServerError as error:
            raise _full(error) from error
        if not reason:
            raise ServerError(f"{self._address.root} cut the answer off. Try again, or look at its log")
        return Answered(
            text="".join(pieces),
            finish_reason=reason,
            **_counts(usage, len(pieces)),
            first_s=first - begin,
            rest_s=last - first,
            context=self.context,
        )

    def _cards(self, *, is_needed: bool) -> dict[str, dict[str, Any]]:
        """What the server says of its models, by name; nothing where it lists none and none is needed."""
        try:
            with Exchange(self._address, "/models", silence_s=self._silence_s) as exchange:
                listed = exchange.whole().get("data")
        except ServerError as error:
            if is_needed or not error.status or error.status >= 500:
                raise
            return {}
        cards = [card for card in listed if isinstance(card, dict)] if isinstance(listed, list) else []
        return {card["id"]: card for card in cards if isinstance(card.get("id"), str)}

    def _body(self, messages: Sequence[Message], options: dict[str, Any]) -> dict[str, Any]:
        asked = {_NAMES.get(name, name): value for name, value in options.items()}
        if "logit_bias" in asked:
            asked["logit_bias"] = {str(token_id): number for token_id, number in asked["logit_bias"].items()}
        streamed = {"stream": True, "stream_options": {"include_usage": True}}
        return {"model": self.name, "messages": list(messages), **asked, **streamed}


def check_options(options: dict[str, Any]) -> None:
    """Raise ``ConfigError`` for an option that no server takes, or that is out of its range."""
    from textmill.infer.request import Request

    for name in _LOCAL_ONLY:
        if name in options:
            raise ConfigError(
                f"--{name} is for a model that is loaded here; a server decides that itself. Leave it out"
            )
    Request.of(**options)


def _only(address: ServerAddress, names: list[str]) -> str:
    if not names:
        raise ServerError(f"{address.root} lists no models: name one with --model")
    if len(names) > 1:
        shown = ", ".join(names[:_NAMED_MAX]) + (", ..." if len(names) > _NAMED_MAX else "")
        raise ConfigError(f"{address.root} has {len(names)} models: choose one with --model, of {shown}")
    return names[0]


def _context(card: dict[str, Any]) -> int | None:
    """The context of a model, which vLLM and llama.cpp tell, each in its own place."""
    meta = card.get("meta")
    places = (card.get("max_model_len"), meta.get("n_ctx") if isinstance(meta, dict) else None)
    return next((place for place in places if isinstance(place, int) and place > 0), None)


def _chunks(exchange: Exchange) -> Iterator[dict[str, Any]]:
    """The events of an answer; one from a server that does not stream is the whole of it."""
    if exchange.is_stream:
        yield from exchange.events()
    else:
        yield exchange.whole()


def _said(chunk: dict[str, Any]) -> tuple[str, str]:
    """The text of an event, and why the answer ended, or ""."""
    choices = chunk.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return "", ""
    delta = choices[0].get("delta") or choices[0].get("message")
    delta = delta if isinstance(delta, dict) else {}
    text = delta.get("content") or delta.get("refusal")
    reason = choices[0].get("finish_reason")
    return text if isinstance(text, str) else "", reason if isinstance(reason, str) else ""


def _full(error: ServerError) -> Exception:
    """The error itself, or that the context is full where it says so, in OpenAI's or llama.cpp's words."""
    is_full = error.code in ("context_length_exceeded", "exceed_context_size_error")
    return ContextFullError(str(error)) if is_full else error


def _counts(usage: Any, num_pieces: int) -> dict[str, int]:
    """Tokens as the server counts them; where it does not, pieces of text stand for those of the answer."""
    usage = usage if isinstance(usage, dict) else {}
    details = usage.get("prompt_tokens_details")
    counted = usage.get("completion_tokens")
    return {
        "num_prompt": _whole(usage.get("prompt_tokens")),
        "num_cached": _whole(details.get("cached_tokens")) if isinstance(details, dict) else 0,
        "num_tokens": _whole(counted) if isinstance(counted, int) else num_pieces,
    }


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and value >= 0 else 0
