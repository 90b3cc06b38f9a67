"""``textmill tokenizer explain``, ``why-not`` and ``diff``: what a tokenizer does, and why."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Annotated, Literal

from cyclopts import Parameter

from textmill.base.errors import ConfigError, DataError
from textmill.cli.arguments import STANDARD_INPUT, WholeNumber, plain
from textmill.cli.output import Output
from textmill.cli.tokenizer_argument import (
    PatternOption,
    SpecialTokens,
    TokenizerPath,
    load_tokenizer,
    tokenizer_and_text,
)

_MAX_DRAWN = 2_000
_MAX_JSON_BYTES = 100_000


def explain(
    tokenizer_or_text: str,
    text: str | None = None,
    /,
    *,
    special: Literal["text", "parse", "forbid"] = "text",
    runner_up: Annotated[bool, Parameter(negative="")] = False,
    pattern: PatternOption = None,
    special_token: SpecialTokens = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Show how a text becomes tokens: characters, bytes, pieces, merges, ids.

    For example:
        textmill tokenizer explain "naïve 🤖 don't"
        textmill tokenizer explain tokenizer.json "naïve 🤖 don't"
        head -c 500 README.md | textmill tokenizer explain tokenizer.json -
        textmill tokenizer explain model.gguf "<|im_start|>user" --special parse

    Parameters
    ----------
    tokenizer_or_text
        A file as for show, or a folder with one; unless named, that of this folder, of the newest run, or a small one.
    text
        The text, up to 2,000 characters, with --json 100 kB; - reads standard input.
    special
        What special tokens in the text are: text (ordinary text), parse (tokens), forbid (an error).
    runner_up
        Show with each merge which pair would have been next.
    json
        Print everything as JSON.
    """
    from textmill.cli.token_picture import draw_explanation

    out = Output()
    tokenizer, data = tokenizer_and_text((tokenizer_or_text, text), pattern, special_token, out)
    num_characters = len(data.decode("utf-8", "replace"))
    if json and len(data) > _MAX_JSON_BYTES:
        raise DataError(f"the text has {len(data):,} bytes, and at most {_MAX_JSON_BYTES:,} are explained; cut it")
    if not json and num_characters > _MAX_DRAWN:
        raise DataError(
            f"the text has {num_characters:,} characters, and a picture holds {_MAX_DRAWN:,}; "
            "show a part of it (head -c 500), or use --json"
        )
    explanation = tokenizer.explain(data, special)
    if json:
        out.json(explanation.to_dict())
        return 0
    for line in draw_explanation(explanation, out.data_width, with_runners_up=runner_up):
        out.styled(line)
    return 0


def why_not(
    tokenizer_or_text: str,
    text: str | None = None,
    /,
    *,
    pattern: PatternOption = None,
    special_token: SpecialTokens = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Say why a text is not one token: cut by the pattern, never merged, or merged otherwise.

    For example:
        textmill tokenizer why-not tokenizer.json " internationalization"
        textmill tokenizer why-not tokenizer.json "don't" --json

    Parameters
    ----------
    tokenizer_or_text
        A file as for show, or a folder with one; unless named, that of this folder, of the newest run, or a small one.
    text
        The text, with the space before it where it has one; - reads standard input.
    json
        Print everything as JSON.
    """
    out = Output()
    tokenizer, data = tokenizer_and_text((tokenizer_or_text, text), pattern, special_token, out)
    answer = tokenizer.why_not(data)
    if json:
        out.json(answer.to_dict())
    else:
        for sentence in answer.sentences():
            out.data(sentence)
    return 0


def diff(
    a: TokenizerPath,
    b: TokenizerPath,
    files: Annotated[list[str] | None, Parameter(negative="")] = None,
    /,
    *,
    top: WholeNumber = 10,
    pattern_a: PatternOption = None,
    special_token_a: Annotated[SpecialTokens, Parameter(name="--special-token-a")] = None,
    pattern_b: PatternOption = None,
    special_token_b: Annotated[SpecialTokens, Parameter(name="--special-token-b")] = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Show what two tokenizers do differently: settings, bytes per token, tokens, and where they cut elsewhere.

    For example:
        textmill tokenizer diff mine.json theirs.json corpus/
        textmill tokenizer diff mine.json model.gguf books/ code.jsonl --top 30
        textmill tokenizer diff a.json b.json      settings and sizes only

    Parameters
    ----------
    files
        Files, folders and globs of text to compare them on; - reads standard input.
    top
        How many tokens, stretches and files to show of each kind.
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
    first = load_tokenizer(a, pattern_a, special_token_a)
    second = load_tokenizer(b, pattern_b, special_token_b)

    def texts() -> Iterator[TextPart]:
        yield from parts_of_files(first, second, paths)
        if STANDARD_INPUT in (files or ()):
            data = sys.stdin.buffer.read()
            yield TextPart(data, "standard input", True, total + len(data))

    with out.bar("comparing", total or None) as bar:
        difference = compare(first, second, texts(), top=top, progress=bar.update)
    if files and not difference.total.num_bytes:
        raise DataError(f"there is no text to compare them on: {', '.join(map(plain, files))[:200]} is empty")
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
