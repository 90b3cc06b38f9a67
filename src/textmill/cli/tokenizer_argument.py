"""Which tokenizer a command means: the file that is named, or where none is, one that is at hand."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from textmill.base.errors import ConfigError, DataError
from textmill.cli.arguments import STANDARD_INPUT, bytes_or_stdin, plain
from textmill.cli.output import Output

if TYPE_CHECKING:
    from textmill.tokenizer.tokenizer import Tokenizer

TokenizerPath = Annotated[
    Path,
    Parameter(
        help="A tokenizer.json, tekken.json, .gguf, .model or .tiktoken file, a folder with one (model, run), or the "
        "name of a fetched model."
    ),
]
PatternOption = Annotated[
    str | None, Parameter(help="How text is split; only for a .tiktoken file, which does not say.")
]
SpecialTokens = Annotated[
    list[str] | None,
    Parameter(
        name="--special-token",
        negative="",
        help="A special token as TEXT=ID; only for a .tiktoken file, which does not hold them; may be given again.",
    ),
]

_RUNS = Path("runs")
_SUFFIXES = (".json", ".gguf", ".model", ".tiktoken")
_SAMPLE_VOCAB_SIZE = 4096
_SAMPLE_BYTES = 4 << 20


def load_tokenizer(path: Path, pattern: str | None, special_tokens: Iterable[str] | None = None) -> Tokenizer:
    """Load a tokenizer of any format; ``pattern`` and ``special_tokens`` (TEXT=ID) are for rank files."""
    from textmill.tokenizer.tokenizer import Tokenizer

    if str(path) == STANDARD_INPUT:
        raise ConfigError("a tokenizer is a file or a folder, and cannot be read from standard input; give its path")
    path = _fetched(path)
    named = dict(map(_special_token, special_tokens or ()))
    if (pattern is not None or special_tokens) and path.suffix != ".tiktoken":
        raise ConfigError(f"--pattern and --special-token are for .tiktoken files; {path.name} holds its own")
    return Tokenizer.load(path, pattern=pattern, special_tokens=named or None)


def _fetched(path: Path) -> Path:
    """Where nothing is there under a name, the model of that name which `textmill model get` fetched, if any."""
    from textmill.checkpoint.cache import find_cached

    try:
        return path if path.exists() else find_cached(str(path)) or path
    except OSError:  # longer than the name of a file can be
        return path


def tokenizer_and_text(
    words: tuple[str, str | None], pattern: str | None, special_tokens: list[str] | None, out: Output
) -> tuple[Tokenizer, bytes]:
    """Read "[TOKENIZER] TEXT": the tokenizer that is named or at hand, and the bytes of the text.

    Raises:
        ConfigError: a tokenizer is named and no text, or options for a rank file that is not named.
    """
    first, second = words
    if second is not None:
        return load_tokenizer(Path(first), pattern, special_tokens), bytes_or_stdin(second)
    if _is_tokenizer(first):
        raise ConfigError(f'"{first}" is a tokenizer, and the text is missing: give it behind, or - for standard input')
    if pattern is not None or special_tokens:
        raise ConfigError("--pattern and --special-token are for a .tiktoken file; name it before the text")
    return _at_hand(out), bytes_or_stdin(first)


def _special_token(argument: str) -> tuple[str, int]:
    text, equals, number = plain(argument).rpartition("=")
    if not equals or not text or not (number.isascii() and number.isdigit()):
        raise ConfigError(f'--special-token is "{argument}", and must be TEXT=ID, such as "<|endoftext|>=100257"')
    return text, int(number)


def _is_tokenizer(argument: str) -> bool:
    """Whether an argument can only be meant as a tokenizer, and not as a text."""
    from textmill.tokenizer.formats.files import find

    path = Path(argument)
    try:
        return argument != "" and find(path).is_file() and (path.is_dir() or path.suffix in _SUFFIXES)
    except (OSError, DataError):  # longer than the name of a file can be
        return False


def _at_hand(out: Output) -> Tokenizer:
    """The tokenizer of the working folder, of the newest run, or one that is trained in a second."""
    from textmill.tokenizer.formats.files import find

    runs = (find(folder) for folder in _RUNS.glob("*/"))
    newest_first = sorted((file for file in runs if file.is_file()), key=lambda file: -file.stat().st_mtime)
    here = find(Path())
    path = here if here.is_file() else next(iter(newest_first), None)
    if path is not None:
        out.say(f"no tokenizer is named: taking {path}")
        return load_tokenizer(path, None)
    begin = time.monotonic()
    tokenizer = _trained_on_stdlib()
    out.say(
        f"no tokenizer is named, and none is in this folder or in {_RUNS}/: this one, of {tokenizer.vocab_size:,} "
        f"tokens, was trained on Python's standard library in {time.monotonic() - begin:.1f} s"
    )
    return tokenizer


def _trained_on_stdlib() -> Tokenizer:
    from textmill.text.stdlib import read_stdlib
    from textmill.tokenizer.tokenizer import Tokenizer

    texts: list[str] = []
    num_characters = 0
    try:
        for document in read_stdlib("stdlib:code", "stdlib"):
            texts.append(document.text)
            num_characters += len(document.text)
            if num_characters >= _SAMPLE_BYTES:
                break
    except DataError as error:
        raise ConfigError(f"no tokenizer is named, and none can be trained: {error}. Name a tokenizer") from error
    return Tokenizer.train(iter(texts), _SAMPLE_VOCAB_SIZE, special_tokens=("<|endoftext|>",))
