"""Tools: how they are told to a model, what its answer may be, and which calls it makes.

``offer`` turns the tools of a request and its ``tool_choice`` into messages, tools for the chat template, and a
grammar. ``CallReader`` reads an answer as its text comes: what is said, and the calls, whose arguments are JSON of the
tool's schema, for the grammar lets nothing else follow the beginning of a call.

Templates that take ``tools`` get them; two ways of calling are known, and the template says which is its own:

- Hermes's, of Qwen's and Nous's models: ``<tool_call>`` and ``</tool_call>`` around lines of
  ``{"name": ..., "arguments": ...}``, after any text;
- Llama 3's: the whole answer is ``{"name": ..., "parameters": ...}``, one call.

Other templates were not made for tools, or for a way that is not known here. They get them as a system message that
asks for Hermes's way, earlier calls as it writes them, and results as a user's message.
"""

from __future__ import annotations

import dataclasses
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

from textmill.base.errors import ConfigError
from textmill.infer.constrain import Grammar

Choice: TypeAlias = Literal["none", "auto", "required"] | Mapping[str, Any]

_TOOLS_MAX = 128
_CALLS_MAX = 16  # that one answer makes side by side
_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,256}")  # what can stand in JSON as it is
_TAKES_TOOLS = re.compile(r"\{[{%][^{}]*\btools\b")
_BEGIN, _END = "<tool_call>", "</tool_call>"
_ARGUMENTS = re.compile(r'\\?"arguments\\?"')
_LLAMA_ROLE = "ipython"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """How a model writes a call.

    Attributes:
        begin: the text that a call begins with, after which nothing else can come.
        before_name, before_arguments, end: the rest of a call, around its name and its arguments.
        after_text: whether text may come before the first call.
        between: what separates calls; None where there can be one only.
    """

    begin: str
    before_name: str
    before_arguments: str
    end: str
    after_text: bool
    between: str | None


HERMES = Way(
    begin=_BEGIN,
    before_name='\n{"name": "',
    before_arguments='", "arguments": ',
    end="}\n" + _END,
    after_text=True,
    between="\n",
)
LLAMA_3 = Way(
    begin='{"name": "', before_name="", before_arguments='", "parameters": ', end="}", after_text=False, between=None
)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """A call that an answer makes; ``arguments`` are JSON, cut where the answer was cut."""

    id: str
    name: str
    arguments: str


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """A piece of text that is not part of a call."""

    text: str


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class CallBegun:
    """A call begins, the ``index``-th of its answer."""

    index: int
    id: str
    name: str


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ArgumentsPart:
    """A piece of the arguments of a call."""

    index: int
    text: str


Event: TypeAlias = Said | CallBegun | ArgumentsPart


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """What a request with tools asks of a model.

    Attributes:
        messages: for the chat template.
        tools: for the chat template, where it takes some.
        grammar: what the answer must be; None where it may be anything.
        way: how calls are read from the answer; None where it makes none.
    """

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None
    grammar: Grammar | None
    way: Way | None

    def reader(self) -> CallReader:
        """Read a new answer."""
        return CallReader(self.way)


def offer(
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]],
    choice: Choice | None,
    template: str,
    *,
    parallel: bool = True,
) -> Offer:
    """Put tools to a model.

    Args:
        messages: as OpenAI's clients write them: those of the assistant may have ``tool_calls``, and may be of the
            role ``tool``.
        tools: ``{"type": "function", "function": {"name", "description", "parameters"}}`` each; none is allowed.
        choice: ``auto`` lets the model choose, and is the default where there are tools; ``required`` makes it call at
            least one; a named function, ``{"type": "function", "function": {"name"}}``, makes it call that one;
            ``none`` tells it of no tools.
        template: the model's chat template.
        parallel: whether it may make several calls at once.

    Raises:
        ConfigError: a tool or the choice is wrong, or a tool's schema cannot be kept to.
        MissingExtraError: without llguidance.
    """
    functions = [_function(place, tool) for place, tool in enumerate(tools)]
    _check_names(functions)
    named = _named(choice)
    if named is not None and named not in [function["name"] for function in functions]:
        raise ConfigError(f'tool_choice names the function "{named}", and tools has {_listed(functions)}')
    if choice == "required" and not functions:
        raise ConfigError('tool_choice is "required", and there are no tools; give some, or leave it out')
    own_way = way_of(template)
    way = own_way or HERMES
    plain = [_with_objects(message) for message in messages]
    told = functions if choice != "none" else []
    if own_way is None:
        plain = _without_tools(plain, told)
    if not told:
        return Offer(messages=plain, tools=None, grammar=None, way=None)
    callable_now = [function for function in functions if named in (None, function["name"])]
    rules = _rules(
        callable_now, way, may_say=named is None and choice != "required", several=parallel and named is None
    )
    return Offer(
        messages=plain,
        tools=[{"type": "function", "function": function} for function in told] if own_way else None,
        grammar=Grammar.lark(rules),
        way=way,
    )


def way_of(template: str) -> Way | None:
    """How a chat template has its model call tools; None where it has no way, or one that is not known here."""
    if _TAKES_TOOLS.search(template) is None:
        return None
    if _BEGIN in template and _ARGUMENTS.search(template) and "<function=" not in template:
        return HERMES
    return LLAMA_3 if '"parameters"' in template and _LLAMA_ROLE in template else None


class CallReader:
    """Reads an answer, cut in any way: what is certain comes out at once, and never again.

    White space around calls is left out. What begins like a call and ends before the call's name is whole is text.
    """

    def __init__(self, way: Way | None) -> None:
        """``way`` is how calls are written; None reads everything as text."""
        self._way = way
        self._held = ""
        self._is_at_start = True
        self._num_calls = 0
        self._arguments: _JsonEnd | None = None  # of the call that is being read
        self._is_after_call = False
        if way is not None:
            rest = re.escape(way.before_name) + f"({_NAME.pattern})" + re.escape(way.before_arguments)
            self._head = re.compile(r"\s*" + re.escape(way.begin) + rest)

    @property
    def has_calls(self) -> bool:
        """Whether a call has begun: the answer ends with the reason ``tool_calls``."""
        return self._num_calls > 0

    def push(self, text: str) -> list[Event]:
        """Take a piece of the answer's text."""
        if self._way is None:
            return [Said(text=text)] if text else []
        self._held += text
        events: list[Event] = []
        while self._read(self._way, events):
            pass
        return events

    def finish(self) -> list[Event]:
        """Take what was held back and turned out to be text."""
        held, self._held = self._held, ""
        if self._arguments is not None:  # the end of a call, or a beginning of it
            held = ""
        elif self._is_after_call:
            held = held.strip()
        return [Said(text=held)] if held else []

    def _read(self, way: Way, events: list[Event]) -> bool:
        """Go one step further in what is held; False where more has to come first."""
        if self._arguments is not None:
            return self._read_arguments(way, self._arguments, events)
        begins = self._held.find(way.begin)
        if begins >= 0 and (way.after_text or (self._is_at_start and not self._held[:begins].strip())):
            text = self._held[:begins].rstrip()
            self._say(text, events)
            self._held = self._held[len(text) :]
            return self._read_head(events)
        certain = len(self._held) - _num_held(self._held, way.begin)
        certain = len(self._held[:certain].rstrip())
        if not way.after_text and self._held.strip() and not way.begin.startswith(self._held.strip()):
            certain = len(self._held)  # it began as no call does
        self._say(self._held[:certain], events)
        self._held = self._held[certain:]
        return False

    def _say(self, text: str, events: list[Event]) -> None:
        if self._is_after_call:
            text = text.lstrip()
        if text:
            self._is_at_start = self._is_after_call = False
            events.append(Said(text=text))

    def _read_head(self, events: list[Event]) -> bool:
        """Read a call to the beginning of its arguments."""
        head = self._head.match(self._held)
        if head is None:
            return False
        events.append(CallBegun(index=self._num_calls, id=f"call_{secrets.token_hex(12)}", name=head[1]))
        self._num_calls += 1
        self._arguments = _JsonEnd()
        self._held = self._held[head.end() :]
        return True

    def _read_arguments(self, way: Way, arguments: _JsonEnd, events: list[Event]) -> bool:
        if not arguments.is_over:
            size = arguments.read(self._held)
            if size:
                events.append(ArgumentsPart(index=self._num_calls - 1, text=self._held[:size]))
            self._held = self._held[size:]
        if not arguments.is_over or len(self._held) < len(way.end):
            return False
        self._held = self._held.removeprefix(way.end)
        self._arguments, self._is_after_call, self._is_at_start = None, True, False
        return True


def read_calls(text: str, way: Way | None) -> tuple[str | None, list[Call]]:
    """Read a whole answer: what it says, None where it only calls, and its calls."""
    reader = CallReader(way)
    said = ""
    calls: list[Call] = []
    for event in [*reader.push(text), *reader.finish()]:
        match event:
            case Said(text=part):
                said += part
            case CallBegun(id=call_id, name=name):
                calls.append(Call(id=call_id, name=name, arguments=""))
            case ArgumentsPart(index=index, text=part):
                calls[index] = dataclasses.replace(calls[index], arguments=calls[index].arguments + part)
    return (said if said or not calls else None), calls


class _JsonEnd:
    """Finds where a JSON object ends, piece by piece."""

    def __init__(self) -> None:
        self.is_over = False
        self._depth = 0
        self._is_in_string = self._is_escaped = False

    def read(self, text: str) -> int:
        """How many characters of ``text`` belong to the object."""
        for place, character in enumerate(text):
            if self._is_in_string:
                if self._is_escaped:
                    self._is_escaped = False
                elif character == "\\":
                    self._is_escaped = True
                elif character == '"':
                    self._is_in_string = False
            elif character == '"':
                self._is_in_string = True
            elif character in "{[":
                self._depth += 1
            elif character in "}]":
                self._depth -= 1
                if self._depth <= 0:
                    self.is_over = True
                    return place + 1
        return len(text)


def _num_held(text: str, begin: str) -> int:
    """How many characters at the end of a text may be the beginning of a call."""
    return next((size for size in range(min(len(begin) - 1, len(text)), 0, -1) if text.endswith(begin[:size])), 0)


def _rules(functions: Sequence[Mapping[str, Any]], way: Way, *, may_say: bool, several: bool) -> str:
    """The grammar of an answer, in Lark's notation as llguidance has it."""
    rules = []
    call = f"{_quoted(way.before_name)} name {_quoted(way.end)}" if way.before_name else f"name {_quoted(way.end)}"
    more = ""
    if several and way.between is not None:
        more = f" ({_quoted(way.between + way.begin)} call){{0,{_CALLS_MAX - 1}}}"
    if not may_say:
        rules += [f"start: {_quoted(way.begin)} call{more}"]
    elif way.after_text:
        # Lazy: the first beginning of a call is one, and cannot be text.
        rules += [f"start: TEXT | begin call{more}", f"begin[lazy]: TEXT {_quoted(way.begin)}", r"TEXT: /(.|\n)*/"]
    else:
        rules += [f"start: TEXT | {_quoted(way.begin)} call", r"TEXT: /([^{](.|\n)*)?/"]
    rules += [f"call: {call}", "name: " + " | ".join(f"call_{place}" for place in range(len(functions)))]
    for place, function in enumerate(functions):
        head = _quoted(function["name"] + way.before_arguments)
        rules.append(f"call_{place}: {head} %json {json.dumps(_schema(function))}")
    return "\n".join(rules)


def _schema(function: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a call's arguments: an object, with what its schema names and nothing else unless it says so."""
    given = dict(function.get("parameters") or {})
    return {"additionalProperties": False} | given | {"type": "object", "x-guidance": Grammar.json_options()}


def _quoted(text: str) -> str:
    return json.dumps(text)


def _function(place: int, tool: Any) -> dict[str, Any]:
    """The function of a tool, checked."""
    where = f"tools[{place}]"
    function = tool.get("function") if isinstance(tool, Mapping) else None
    if not isinstance(function, Mapping) or tool.get("type", "function") != "function":
        raise ConfigError(
            f'{where} must be {{"type": "function", "function": {{"name": ...}}}}: other kinds are unknown'
        )
    name, parameters = function.get("name"), function.get("parameters")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(f"{where} has the name {name!r:.80}, and names are 1 to 256 of a-z, A-Z, 0-9 and _ . : -")
    if parameters is not None and not isinstance(parameters, Mapping):
        raise ConfigError(f"{where}, {name}: parameters must be a JSON schema, an object")
    if parameters is not None and parameters.get("type", "object") != "object":
        raise ConfigError(
            f"{where}, {name}: parameters has the type {parameters['type']!r:.80}, and must be an object's"
        )
    return {
        "name": name,
        "description": str(function.get("description") or ""),  # some templates cannot do without
        "parameters": dict(parameters or {"type": "object", "properties": {}}),
    }


def _check_names(functions: Sequence[Mapping[str, Any]]) -> None:
    if len(functions) > _TOOLS_MAX:
        raise ConfigError(f"there are {len(functions)} tools, and a request may have {_TOOLS_MAX}")
    names = [function["name"] for function in functions]
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise ConfigError(f'tools has two functions of the name "{double}"')


def _named(choice: Choice | None) -> str | None:
    """The function that has to be called, where one has."""
    if choice is None or (isinstance(choice, str) and choice in ("none", "auto", "required")):
        return None
    function = choice.get("function") if isinstance(choice, Mapping) else None
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(name, str):
        raise ConfigError(
            f"tool_choice is {choice!r:.80}, and may be none, auto, required or "
            '{"type": "function", "function": {"name": ...}}'
        )
    return name


def _listed(functions: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f'"{function["name"]}"' for function in functions) or "none"


def _with_objects(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message whose calls have their arguments as objects, which is how templates write them."""
    plain = dict(message)
    if plain.get("tool_calls"):
        plain["tool_calls"] = [_with_object(call) for call in plain["tool_calls"]]
        plain["content"] = plain.get("content") or ""
    return plain


def _with_object(call: Any) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise ConfigError(
            'one of tool_calls has no function with a name: {"function": {"name": ..., "arguments": ...}}'
        )
    arguments = function.get("arguments", {})
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}")
        except (ValueError, RecursionError) as error:
            raise ConfigError(
                f'the arguments of the call of "{function["name"]}" in messages are not JSON: {error}'
            ) from error
    return dict(call) | {"type": "function", "function": dict(function) | {"arguments": arguments}}


def _without_tools(messages: Sequence[dict[str, Any]], functions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A conversation for a template that knows of no tools."""
    plain: list[dict[str, Any]] = []
    for message in messages:
        if message.get("role") == "tool":
            result = f"<tool_response>\n{message.get('content') or ''}\n</tool_response>"
            if plain and plain[-1].get("is_result"):
                plain[-1]["content"] += "\n" + result
            else:
                plain.append({"role": "user", "content": result, "is_result": True})
        elif message.get("tool_calls"):
            calls = [_written(call["function"]) for call in message["tool_calls"]]
            plain.append(
                {"role": message["role"], "content": "\n".join([*filter(None, [message.get("content")]), *calls])}
            )
        else:
            plain.append(dict(message))
    for message in plain:
        message.pop("is_result", None)
    if functions:
        is_led = bool(plain) and plain[0].get("role") == "system" and isinstance(plain[0].get("content"), str)
        said = [plain[0]["content"]] if is_led else []
        plain[: int(is_led)] = [{"role": "system", "content": "\n\n".join([*said, _introduction(functions)])}]
    return plain


def _written(function: Mapping[str, Any]) -> str:
    """A call as a model writes it in Hermes's way."""
    arguments = json.dumps(function["arguments"], ensure_ascii=False)
    name = json.dumps(function["name"], ensure_ascii=False)
    return f'{_BEGIN}\n{{"name": {name}, "arguments": {arguments}}}\n{_END}'


def _introduction(functions: Sequence[Mapping[str, Any]]) -> str:
    listed = "\n".join(json.dumps(function, ensure_ascii=False) for function in functions)
    return (
        "You can call functions. Here they are, each with the JSON schema of its arguments:\n"
        f"<tools>\n{listed}\n</tools>\n"
        "To call one, write its name and its arguments like this:\n"
        f'{_BEGIN}\n{{"name": "the name", "arguments": {{"argument": "value"}}}}\n{_END}'
    )
