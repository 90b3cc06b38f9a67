"""What an answer says and which tools it calls, as OpenAI's clients read it, whole and in pieces."""

from __future__ import annotations

from collections.abc import Sequence

from textmill.serve.events import to_json
from textmill.serve.tool_calls import ArgumentsPart, CallBegun, CallReader, Event, Way
from textmill.serve.tool_calls import Said as Text
from textmill.serve.wire_responses import CalledFunction, ChatMessage, MadeToolCall


class Said:
    """Reads one answer as its text comes."""

    def __init__(self, way: Way | None) -> None:
        """``way`` is how calls are written; None reads everything as text."""
        self._reader = None if way is None else CallReader(way)

    @property
    def has_calls(self) -> bool:
        """Whether a call has begun."""
        return self._reader is not None and self._reader.has_calls

    def push(self, text: str, *, is_end: bool) -> Sequence[Event]:
        """Take a piece of text; what is certain now."""
        if self._reader is None:
            return [Text(text=text)] if text else []
        events = self._reader.push(text)
        return [*events, *self._reader.finish()] if is_end else events


def deltas_of(events: Sequence[Event]) -> list[bytes]:
    """Events as the ``delta`` of a chunk each, in JSON."""
    return [_delta(event) for event in events]


def _delta(event: Event) -> bytes:
    match event:
        case Text(text=text):
            return b'{"content":%s}' % to_json(text)
        case CallBegun(index=index, id=call_id, name=name):
            call = {"index": index, "id": call_id, "type": "function", "function": {"name": name, "arguments": ""}}
            return to_json({"tool_calls": [call]})
        case ArgumentsPart(index=index, text=text):
            return to_json({"tool_calls": [{"index": index, "function": {"arguments": text}}]})


def message_of(events: Sequence[Event]) -> ChatMessage:
    """All events of an answer as one message."""
    texts: list[str] = []
    calls: list[MadeToolCall] = []
    for event in events:
        match event:
            case Text(text=text):
                texts.append(text)
            case CallBegun(id=call_id, name=name):
                calls.append(MadeToolCall(id=call_id, function=CalledFunction(name=name, arguments="")))
            case ArgumentsPart(index=index, text=text):
                calls[index].function.arguments += text
    said = "".join(texts)
    if not calls:
        return ChatMessage(content=said)
    return ChatMessage(content=said or None, tool_calls=calls)
