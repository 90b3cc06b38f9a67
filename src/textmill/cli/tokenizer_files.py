"""``textmill tokenizer show`` and ``convert``: what a tokenizer's file holds, and the same in another format."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from textmill.base.errors import ConfigError
from textmill.cli.arguments import program
from textmill.cli.output import Output, for_terminal
from textmill.cli.tokenizer_argument import PatternOption, SpecialTokens, TokenizerPath, load_tokenizer

if TYPE_CHECKING:
    from textmill.tokenizer.tokenizer import Tokenizer

_SHOWN_TOKENS = 12


def show(
    tokenizer: TokenizerPath,
    /,
    *,
    pattern: PatternOption = None,
    special_token: SpecialTokens = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Show what a tokenizer is: its sizes, how it splits text, its special tokens.

    For example:
        textmill tokenizer show tokenizer.json
        textmill tokenizer show model.gguf --json
        textmill tokenizer show cl100k_base.tiktoken --pattern cl100k

    Parameters
    ----------
    json
        Print everything as JSON.
    """
    out = Output()
    facts = describe(tokenizer, load_tokenizer(tokenizer, pattern, special_token))
    if json:
        out.json(facts)
        return 0
    for name, value in _lines(facts):
        out.data(for_terminal(f"{name:<18}{value}"))
    return 0


def describe(path: Path, tokenizer: Tokenizer) -> dict[str, Any]:
    """Return what there is to say of a loaded tokenizer, as JSON can hold it."""
    from textmill.tokenizer.formats.files import find, kind_of

    vocabulary = tokenizer.vocabulary
    return {
        "file": str(find(path)),
        "format": kind_of(find(path)),
        "vocab_size": tokenizer.vocab_size,
        "merges": len(vocabulary.merges),
        "holes": sum(not token for token in vocabulary.tokens),
        "pattern": tokenizer.pattern,
        "regexes": list(vocabulary.pattern.regexes),
        "normalizer": tokenizer.normalizer,
        "adds_prefix_space": vocabulary.adds_prefix_space,
        "whole_pieces": vocabulary.whole_pieces,
        "missing_bytes_hex": tokenizer.missing_bytes.hex(" "),
        "special_tokens": tokenizer.special_tokens,
        "prefix_ids": list(tokenizer.prefix_ids),
        "suffix_ids": list(tokenizer.suffix_ids),
        "stop_ids": list(tokenizer.stop_ids),
        "chat_template": tokenizer.chat_template,
        "sha256": tokenizer.sha256,
    }


def _lines(facts: dict[str, Any]) -> Iterable[tuple[str, str]]:
    """The facts that say something, a line each."""
    yield "file", f"{facts['file']} ({facts['format']})"
    yield (
        "tokens",
        f"{facts['vocab_size']:,}, {facts['merges']:,} merges"
        + (f", {facts['holes']:,} ids without a token" if facts["holes"] else ""),
    )
    yield "pattern", facts["pattern"] if len(facts["pattern"]) < 40 else f"{len(facts['regexes'])} of its own"
    for regex in facts["regexes"]:
        yield "  splits by", regex
    if facts["normalizer"]:
        yield "normalizer", facts["normalizer"].upper()
    if facts["adds_prefix_space"]:
        yield "prefix space", "a text that does not begin with a space gets one"
    if facts["whole_pieces"]:
        yield "whole pieces", "a piece that is a token is not merged"
    if facts["missing_bytes_hex"]:
        yield "missing bytes", f"{facts['missing_bytes_hex']}: left out of a text"
    tokens = [f"{text} {token_id}" for text, token_id in list(facts["special_tokens"].items())[:_SHOWN_TOKENS]]
    more = len(facts["special_tokens"]) - len(tokens)
    yield "special tokens", ", ".join(tokens) + (f", and {more:,} more" if more else "") or "none"
    for name in ("prefix_ids", "suffix_ids", "stop_ids"):
        if facts[name]:
            yield name.replace("_", " "), ", ".join(map(str, facts[name]))
    yield "chat template", f"{len(facts['chat_template']):,} characters" if facts["chat_template"] else "none"
    yield "sha256", facts["sha256"]


def convert(
    source: TokenizerPath,
    target: Path,
    /,
    *,
    pattern: PatternOption = None,
    special_token: SpecialTokens = None,
) -> int:
    """Write a tokenizer in another format, or say why that format cannot hold it exactly.

    For example:
        textmill tokenizer convert model.gguf tokenizer.json
        textmill tokenizer convert tokenizer.json mine.tiktoken
        textmill tokenizer convert cl100k.tiktoken out.json --pattern cl100k --special-token "<|endoftext|>=100257"

    Parameters
    ----------
    target
        A .json or .tiktoken file, or a folder for a tokenizer.json and its chat template.
    """
    out = Output()
    if target.suffix not in (".json", ".tiktoken", ""):
        raise ConfigError(f'the target is "{target}", and must end in .json or .tiktoken, or be a folder')
    tokenizer = load_tokenizer(source, pattern, special_token)
    tokenizer.save(target)
    out.say(f"{tokenizer.vocab_size:,} tokens, pattern {tokenizer.pattern[:60]}")
    if target.suffix == ".tiktoken":
        named = (f"{text}={number}" for text, number in tokenizer.special_tokens.items())
        options = [f"--pattern {quote(tokenizer.pattern)}", *(f"--special-token {quote(token)}" for token in named)]
        out.hint(f"it names neither its pattern nor its special tokens: {' '.join(options)[:400]}")
    else:
        out.hint(f"next: {program()} tokenizer show {quote(str(target))}")
    out.data(str(target))
    return 0
