"""Texts that must fit a grammar: JSON, a JSON schema, a regular expression, or rules in Lark's notation.

``Grammar`` is what a request asks for. ``GrammarCompiler`` fits it to one model's tokens, and ``Constraint`` follows
one answer: before each draw it says which tokens may come next, and whether the text may end. Grammars and masks are
llguidance's; it is imported by the first request that has a grammar, and nothing here costs the others anything.
"""

from __future__ import annotations

import dataclasses
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from textmill.base.errors import ConfigError, require_extra

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLParserLimits, LLTokenizer
    from llguidance._lib import JsonCompileOptions

# Of a grammar as it is written, in characters: a request's body is not a program.
_SOURCE_MAX = 100_000
# A model that is unsure likes to go on with spaces for ever; so many are a line's end and ten levels of indentation.
_JSON_WHITESPACE = r"[ \n\r\t]{1,21}"
# What a hostile grammar may take: some 100 ms to build, tens of milliseconds a token (half a second where rules in
# Lark's notation are as ambiguous as can be) and 100 MB of states. llguidance's own limits are several times larger.
_LIMITS = {
    "initial_lexer_fuel": 300_000,
    "step_lexer_fuel": 200_000,
    "step_max_items": 50_000,
    "max_items_in_row": 2_000,
    "max_lexer_states": 50_000,
    "max_grammar_size": 100_000,
    "verbose_errors": False,
}
_COMPILED_MAX = 32
# In front of a token's name for llguidance: it is none of the bytes of UTF-8, so no text becomes a control token.
_CONTROL = b"\xff"


@dataclasses.dataclass(frozen=True, slots=True)
class Grammar:
    """What a text must be. Made by ``json_object``, ``json_schema``, ``regex`` and ``lark``, and good for any model.

    Attributes:
        kind: what it was made of, for messages.
        source: the grammar as llguidance takes it.
    """

    kind: str
    source: str

    @classmethod
    def json_object(cls) -> Grammar:
        """Any JSON object. Raises ``MissingExtraError`` without llguidance, as all of these do."""
        return cls.json_schema({"type": "object"})

    @classmethod
    def json_schema(cls, schema: Mapping[str, Any]) -> Grammar:
        """JSON that a schema describes; objects have their properties in the schema's order.

        Raises:
            ConfigError: the schema is wrong, too large, or has a keyword that cannot be kept to.
        """
        kind = "the JSON schema"
        if not isinstance(schema, Mapping):
            raise ConfigError(f"{kind} is {schema!r:.80}, and must be an object such as {{'type': 'object'}}")
        try:
            written = json.dumps(dict(schema), allow_nan=False)
            written.encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise ConfigError(f"{kind} is no JSON: {error}") from error
        options = cls.json_options()
        return cls._made(kind, written, lambda matcher: matcher.grammar_from_json_schema(written, overrides=options))

    @staticmethod
    def json_options() -> JsonCompileOptions:
        """How schemas are read, under ``x-guidance`` of one that stands in other rules (``%json``)."""
        return {"whitespace_flexible": True, "whitespace_pattern": _JSON_WHITESPACE, "lenient": False}

    @classmethod
    def regex(cls, pattern: str) -> Grammar:
        """A text that a regular expression matches whole. It has Rust's syntax: no look-around, no back-references.

        Raises:
            ConfigError: the pattern is wrong or too large.
        """
        return cls._made("the regex", pattern, lambda matcher: matcher.grammar_from_regex(pattern))

    @classmethod
    def lark(cls, rules: str) -> Grammar:
        """A text that context-free rules in Lark's notation derive from ``start``, as llguidance documents them.

        Raises:
            ConfigError: the rules are wrong or too large.
        """
        return cls._made("the grammar", rules, lambda matcher: matcher.grammar_from_lark(rules))

    @classmethod
    def _made(cls, kind: str, written: str, translate: Callable[[type[LLMatcher]], str]) -> Grammar:
        if not isinstance(written, str):
            raise ConfigError(f"{kind} is {written!r:.80}, and must be a string")
        if len(written) > _SOURCE_MAX:
            raise ConfigError(
                f"{kind} has {len(written):,} characters, and may have {_SOURCE_MAX:,}; make it smaller, or cut it in "
                "several requests"
            )
        llguidance = require_extra("llguidance", "serve", "an answer that must fit a grammar")
        try:
            source = translate(llguidance.LLMatcher)
        except ValueError as error:
            raise _refused(kind, str(error)) from error
        problem = llguidance.LLMatcher.validate_grammar(source, None, limits=_limits())
        if problem and not problem.startswith("WARNING"):
            raise _refused(kind, problem)
        return cls(kind, source)


class GrammarCompiler:
    """Fits grammars to the tokens of one model. Threads may share it."""

    def __init__(
        self, tokens: Sequence[bytes], control_ids: frozenset[int], encode: Callable[[bytes], list[int]]
    ) -> None:
        """Take what a model draws from.

        Args:
            tokens: the bytes of each id that can be drawn; empty for one that has no text.
            control_ids: those that are not text, whatever they are called: BOS, the ends of texts and turns.
            encode: from a text to ids.
        """
        self._tokens = tokens
        self._control_ids = control_ids
        self._encode = encode
        self._lock = threading.Lock()
        self._tokenizer: LLTokenizer | None = None
        self._compiled: OrderedDict[Grammar, LLMatcher] = OrderedDict()

    def begin(self, grammar: Grammar) -> Constraint:
        """Follow a new text.

        Raises:
            ConfigError: the grammar does not fit this model's tokens, or is too large.
        """
        with self._lock:
            matcher = self._compiled.pop(grammar, None) or self._compile(grammar)
            self._compiled[grammar] = matcher  # the one last used, at the end
            if len(self._compiled) > _COMPILED_MAX:
                self._compiled.popitem(last=False)
            return Constraint(grammar, matcher.deep_copy(), self._is_text())

    def _compile(self, grammar: Grammar) -> LLMatcher:
        llguidance = require_extra("llguidance", "serve", "an answer that must fit a grammar")
        if self._tokenizer is None:
            self._tokenizer = llguidance.LLTokenizer(llguidance.TokenizerWrapper(self._words()))
        matcher = llguidance.LLMatcher(self._tokenizer, grammar.source, log_level=0, limits=_limits())
        if matcher.is_error():
            raise _refused(grammar.kind, matcher.get_error())
        return matcher

    def _is_text(self) -> np.ndarray:
        """Which ids are text, bool [num_ids]: rules in Lark's notation can name others."""
        is_text = np.ones(len(self._tokens), bool)
        is_text[list(self._control_ids)] = False
        return is_text

    def _words(self) -> _Words:
        """All tokens, and one more that stands for the end, whichever tokens end a text."""
        tokens = [
            _CONTROL + f"<{token_id}>".encode() if token_id in self._control_ids else token
            for token_id, token in enumerate(self._tokens)
        ]
        end = len(tokens)
        tokens.append(_CONTROL + b"<end>")
        return _Words(tokens, end, [*sorted(self._control_ids), end], self._encode)


class Constraint:
    """Where one answer stands in its grammar. It is a function of the tokens taken: draws follow from nothing else.

    A text that the grammar leaves no choice in is taken in the tokens that it is encoded to, as the model knows it.
    """

    def __init__(self, grammar: Grammar, matcher: LLMatcher, is_text: np.ndarray) -> None:
        """Take a matcher at its beginning, and which ids are text, bool [num_ids]."""
        self.grammar = grammar
        self._matcher = matcher
        self._is_text = is_text
        self._allowed: np.ndarray | None = None

    def allowed(self) -> np.ndarray:
        """Which tokens may come next, bool [num_ids], control tokens never; not to be changed.

        Raises:
            ConfigError: the grammar is too complex to go on with.
        """
        if self._allowed is None:
            bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
            if self._matcher.is_error():
                raise self._broke_off()
            self._allowed = np.unpackbits(bits, count=len(self._is_text), bitorder="little").view(bool)
            self._allowed &= self._is_text
        return self._allowed

    @property
    def accepts(self) -> bool:
        """Whether the text may end here."""
        return self._matcher.is_accepting()

    @property
    def is_complete(self) -> bool:
        """Whether the text may end here, and nothing can follow."""
        return not self.allowed().any() and self.accepts

    def forced(self) -> list[int]:
        """Tokens that must come next, whatever the model says; often none."""
        return self._matcher.compute_ff_tokens()

    def take(self, token_id: int) -> None:
        """Go on with a token that was allowed."""
        self._allowed = None
        if not self._matcher.consume_token(token_id):
            raise self._broke_off()

    def _broke_off(self) -> ConfigError:
        return ConfigError(
            f"{self.grammar.kind} cannot be followed further: {_words_of(self._matcher.get_error())}. Make it simpler, "
            "with fewer alternatives that begin alike; or this model has no tokens that spell what it asks for"
        )


@dataclasses.dataclass(slots=True)
class _Words:
    """A vocabulary as llguidance asks for it."""

    tokens: list[bytes]
    eos_token_id: int
    special_token_ids: list[int]
    encode: Callable[[bytes], list[int]]
    bos_token_id: int | None = None

    def __call__(self, text: bytes | str) -> list[int]:
        return self.encode(text.encode() if isinstance(text, str) else text)


def _limits() -> LLParserLimits:
    return require_extra("llguidance", "serve", "a grammar").LLParserLimits(**_LIMITS)


def _refused(kind: str, problem: str) -> ConfigError:
    if problem.startswith("oneOf"):  # what it says to do is an option of its own
        problem = "oneOf cannot be kept to; write anyOf, where alternatives may overlap"
    return ConfigError(f"{kind} cannot be used: {_words_of(problem)}")


def _words_of(problem: str) -> str:
    """The compiler's words, without its own call stack and at a length that can be read."""
    text = " ".join(problem.split())
    return text if len(text) <= 500 else text[:500] + " ..."
