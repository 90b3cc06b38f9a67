"""``textmill tokenizer explain``, ``why-not`` and ``diff``: what a tokenizer does, and why."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from textmill.base.errors import ConfigError, DataError
from textmill.cli.arguments import STANDARD_INPUT
from textmill.cli.output import Output
from textmill.cli.tokenizer_files import load_tokenizer

_MAX_DRAWN = 2_000
_MAX_JSON_BYTES = 100_000


def explain(
    tokenizer: Path,
    text: str,
    /,
    *,
    special: Literal["text", "parse", "forbid"] = "text",
    runner_up: Annotated[bool, Parameter(negative="")] = False,
    pattern: str | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Show how a text becomes tokens: characters, bytes, pieces, merges, ids.

    For example:
        textmill tokenizer explain tokenizer.json "naïve 🤖 don't"
        head -c 500 README.md | textmill tokenizer explain tokenizer.json -
        textmill tokenizer explain model.gguf "<|im_start|>user" --special parse

    Parameters
    ----------
    tokenizer
        A tokenizer.json, tekken.json, .gguf, .model or .tiktoken file, or a folder with one of the first two.
    text
        The text, up to 2,000 characters, with --json 100 kB; - reads standard input.
    special
        What special tokens in the text are: text (ordinary text), parse (tokens), forbid (an error).
    runner_up
        Show with each merge which pair would have been next.
    pattern
        How text is split; only for a .tiktoken file, which does not say.
    json
        Print everything as JSON.
    """
    from textmill.cli.token_picture import draw_explanation

    out = Output()
    data = _text(text)
    num_characters = len(data.decode("utf-8", "replace"))
    if json and len(data) > _MAX_JSON_BYTES:
        raise DataError(f"the text has {len(data):,} bytes, and at most {_MAX_JSON_BYTES:,} are explained; cut it")
    if not json and num_characters > _MAX_DRAWN:
        raise DataError(
            f"the text has {num_characters:,} characters, and a picture holds {_MAX_DRAWN:,}; "
            "show a part of it (head -c 500), or use --json"
        )
    explanation = load_tokenizer(tokenizer, pattern).explain(data, special)
    if json:
        out.json(explanation.to_dict())
        return 0
    for line in draw_explanation(explanation, out.data_width, with_runners_up=runner_up):
        out.styled(line)
    return 0


def why_not(
    tokenizer: Path,
    text: str,
    /,
    *,
    pattern: str | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Say why a text is not one token: cut by the pattern, never merged, or merged otherwise.

    For example:
        textmill tokenizer why-not tokenizer.json " internationalization"
        textmill tokenizer why-not tokenizer.json "don't" --json

    Parameters
    ----------
    tokenizer
        A tokenizer.json, tekken.json, .gguf, .model or .tiktoken file, or a folder with one of the first two.
    text
        The text, with the space before it where it has one; - reads standard input.
    pattern
        How text is split; only for a .tiktoken file, which does not say.
    json
        Print everything as JSON.
    """
    out = Output()
    answer = load_tokenizer(tokenizer, pattern).why_not(_text(text))
    if json:
        out.json(answer.to_dict())
    else:
        for sentence in answer.sentences():
            out.data(sentence)
    return 0


def diff(
    a: Path,
    b: Path,
    files: Annotated[list[str] | None, Parameter(negative="")] = None,
    /,
    *,
    top: int = 10,
    pattern_a: str | None = None,
    pattern_b: str | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Show what two tokenizers do differently: settings, bytes per token, tokens, and where they cut elsewhere.

    For example:
        textmill tokenizer diff mine.json theirs.json corpus/
        textmill tokenizer diff mine.json model.gguf books/ code.jsonl --top 30
        textmill tokenizer diff a.json b.json      settings and sizes only

    Parameters
    ----------
    a
        The first: a tokenizer.json, tekken.json, .gguf, .model or .tiktoken file, or a folder.
    b
        The second.
    files
        Files, folders and globs of text to compare them on; - reads standard input.
    top
        How many tokens, stretches and files to show of each kind.
    pattern_a
        How the first splits text; only for a .tiktoken file, which does not say.
    pattern_b
        How the second splits text; only for a .tiktoken file.
    json
        Print everything as JSON.
    """
    from textmill.cli.diff_picture import draw_diff
    from textmill.text.stream import TextPart, size_on_disk
    from textmill.tokenizer.diff import diff as compare
    from textmill.tokenizer.diff import parts_of_files

    out = Output()
    if top < 1:
        raise ConfigError(f"--top is {top}, and must be 1 or more")
    paths = [name for name in dict.fromkeys(files or ()) if name != STANDARD_INPUT]
    total = size_on_disk(paths)
    first, second = load_tokenizer(a, pattern_a), load_tokenizer(b, pattern_b)

    def texts() -> Iterator[TextPart]:
        yield from parts_of_files(first, second, paths)
        if STANDARD_INPUT in (files or ()):
            data = sys.stdin.buffer.read()
            yield TextPart(data, "standard input", True, total + len(data))

    with out.bar("comparing", total or None) as bar:
        difference = compare(first, second, texts(), top=top, progress=bar.update)
    if json:
        out.json({"a": str(a), "b": str(b), **difference.to_dict()})
        return 0
    out.data(f"a  {a}  {first.vocab_size:,} tokens")
    out.data(f"b  {b}  {second.vocab_size:,} tokens\n")
    for line in draw_diff(difference, out.data_width, top):
        out.styled(line)
    if not files:
        out.hint("give files of text to compare them on: bytes per token, and where they differ")
    return 0


def _text(argument: str) -> bytes:
    """The bytes of an argument, or of standard input where it is ``-``, less one line end at the end."""
    if argument == STANDARD_INPUT:
        return sys.stdin.buffer.read().removesuffix(b"\n")
    return os.fsencode(argument)
