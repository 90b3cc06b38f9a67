"""``textmill tokenizer encode`` and ``decode``: text to ids and back."""

from __future__ import annotations

import os
import sys
from json import loads
from typing import Annotated, Literal

from cyclopts import Parameter

from textmill.base.errors import ConfigError
from textmill.cli.arguments import STANDARD_INPUT
from textmill.cli.output import Output
from textmill.cli.tokenizer_argument import PatternOption, SpecialTokens, TokenizerPath, load_tokenizer


def encode(
    tokenizer: TokenizerPath,
    text: str,
    /,
    *,
    special: Literal["text", "parse", "forbid"] = "text",
    pattern: PatternOption = None,
    special_token: SpecialTokens = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Print the token ids of a text.

    For example:
        textmill tokenizer encode tokenizer.json "some text"
        cat README.md | textmill tokenizer encode tokenizer.json -

    Parameters
    ----------
    text
        The text; - reads standard input.
    special
        What special tokens in the text are: text (ordinary text), parse (tokens), forbid (an error).
    json
        Print a JSON list.
    """
    out = Output()
    data: str | bytes = sys.stdin.buffer.read() if text == STANDARD_INPUT else os.fsencode(text)
    ids = load_tokenizer(tokenizer, pattern, special_token).encode(data, special=special)
    if json:
        out.json(ids)
    else:
        out.data(" ".join(map(str, ids)))
    return 0


def decode(
    tokenizer: TokenizerPath,
    /,
    *ids: str,
    pattern: PatternOption = None,
    special_token: SpecialTokens = None,
) -> int:
    """Print the text of token ids.

    For example:
        textmill tokenizer decode tokenizer.json 312 78 1044
        textmill tokenizer encode tokenizer.json text --json | textmill tokenizer decode tokenizer.json -

    Parameters
    ----------
    ids
        The ids, or a JSON list of them; - reads them from standard input.
    """
    if not ids:
        raise ConfigError("there are no token ids to decode; give them, or - to read them from standard input")
    written = sys.stdin.read() if ids == (STANDARD_INPUT,) else " ".join(ids)
    data = load_tokenizer(tokenizer, pattern, special_token).decode_bytes(_token_ids(written))
    # Into a pipe go the very bytes of the text.
    sys.stdout.buffer.write(data + b"\n" if sys.stdout.isatty() else data)
    sys.stdout.buffer.flush()
    return 0


def _token_ids(written: str) -> list[int]:
    """Read whole numbers with spaces between them, or a JSON list, as ``encode --json`` writes it."""
    is_list = written.lstrip().startswith("[")
    try:
        numbers = loads(written) if is_list else [int(word) for word in written.split()]
    except (ValueError, RecursionError) as error:
        wrong = next(
            (f'"{word[:40]}" is no token id; ' for word in written.split() if not is_list and not _is_int(word)), ""
        )
        raise ConfigError(f"{wrong}token ids are whole numbers with spaces between them, or a JSON list") from error
    bad = next((number for number in numbers if type(number) is not int or not -(2**63) <= number < 2**63), None)
    if bad is not None:
        raise ConfigError(f"a token id is {str(bad)[:40]}, and must be a whole number below 2**63")
    return numbers


def _is_int(word: str) -> bool:
    try:
        int(word)
    except ValueError:
        return False
    return True
