"""``textmill tokenizer``: train one, and look at what it does."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from textmill.base import units
from textmill.base.errors import ConfigError
from textmill.cli.arguments import STANDARD_INPUT, plain, program
from textmill.cli.output import Output
from textmill.cli.tokenizer_files import convert, load_tokenizer, show
from textmill.cli.tokenizer_questions import diff, explain, why_not

tokenizer_app = App(
    name="tokenizer",
    help="""Train a tokenizer, and see what it makes of text.

For example:
    textmill tokenizer train FOLDER --vocab-size 8192
    textmill tokenizer encode tokenizer.json "some text"
    textmill tokenizer decode tokenizer.json 312 78 1044
    textmill tokenizer explain tokenizer.json "naïve 🤖 don't"
    textmill tokenizer why-not tokenizer.json " internationalization"
    textmill tokenizer diff mine.json theirs.json corpus/
    textmill tokenizer show model.gguf
    textmill tokenizer convert model.gguf tokenizer.json
""",
    help_format="plaintext",
)
for command in (show, convert, explain, why_not, diff):
    tokenizer_app.command(command)


@tokenizer_app.command
def train(
    source: list[Path],
    /,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = Path("tokenizer.json"),
    vocab_size: int = 32_000,
    pattern: str = "cl100k",
    special: Annotated[list[str] | None, Parameter(negative="")] = None,
    threads: int | None = None,
) -> int:
    """Train a byte-level BPE tokenizer on text files, and save it where Hugging Face's tokenizers can read it.

    For example:
        textmill tokenizer train books/ --vocab-size 8192 -o tokenizer.json
        textmill tokenizer train corpus.jsonl --special "<|endoftext|>"

    Parameters
    ----------
    source
        Files and folders of text: .txt, .md, .py, .jsonl (field "text"), .parquet, each also .gz.
    output
        Where to write it: a .json file.
    vocab_size
        Tokens in all: 256 bytes, merges and special tokens together.
    pattern
        How text is split before merging: cl100k, gpt2, o200k or another name, or any regex.
    special
        A special token; may be given several times. <|endoftext|> unless one is given.
    threads
        Threads to count with; all cores unless given.
    """
    from textmill.text.readers import text_files
    from textmill.tokenizer.tokenizer import Tokenizer

    out = Output()
    if output.suffix != ".json":
        raise ConfigError(f'--output is "{plain(str(output))}", and must end in .json')
    total = sum(path.stat().st_size for root in source for path in text_files(root))
    with out.bar("training the tokenizer", total) as bar:
        tokenizer = Tokenizer.train(
            source,
            vocab_size=vocab_size,
            pattern=pattern,
            special_tokens=tuple(map(plain, special or ["<|endoftext|>"])),
            threads=threads,
            progress=bar.update,
        )
    tokenizer.save(output)
    out.say(f"{tokenizer.vocab_size:,} tokens from {units.num_bytes(total)} of text")
    if tokenizer.vocab_size < vocab_size:
        out.warning(f"the text holds no more pairs to merge: {tokenizer.vocab_size:,} tokens, not {vocab_size:,}")
    out.hint(f'next: {program()} tokenizer explain {output} "some text"')
    out.data(str(output))
    return 0


@tokenizer_app.command
def encode(
    tokenizer: Path,
    text: str,
    /,
    *,
    special: Literal["text", "parse", "forbid"] = "text",
    pattern: str | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Print the token ids of a text.

    For example:
        textmill tokenizer encode tokenizer.json "some text"
        cat README.md | textmill tokenizer encode tokenizer.json -

    Parameters
    ----------
    tokenizer
        A tokenizer.json, tekken.json, .gguf or .tiktoken file, or a folder with one of the first two.
    text
        The text; - reads standard input.
    special
        What special tokens in the text are: text (ordinary text), parse (tokens), forbid (an error).
    pattern
        How text is split; only for a .tiktoken file, which does not say.
    json
        Print a JSON list.
    """
    out = Output()
    data: str | bytes = sys.stdin.buffer.read() if text == STANDARD_INPUT else os.fsencode(text)
    ids = load_tokenizer(tokenizer, pattern).encode(data, special=special)
    if json:
        out.json(ids)
    else:
        out.data(" ".join(map(str, ids)))
    return 0


@tokenizer_app.command
def decode(tokenizer: Path, /, *ids: str, pattern: str | None = None) -> int:
    """Print the text of token ids.

    For example:
        textmill tokenizer decode tokenizer.json 312 78 1044
        echo 312 78 1044 | textmill tokenizer decode tokenizer.json -

    Parameters
    ----------
    tokenizer
        A tokenizer.json, tekken.json, .gguf or .tiktoken file, or a folder with one of the first two.
    ids
        The ids; - reads them from standard input.
    pattern
        How text is split; only for a .tiktoken file, which does not say.
    """
    words = sys.stdin.read().split() if list(ids) == [STANDARD_INPUT] else list(ids)
    try:
        numbers = [int(word) for word in words]
    except ValueError as error:
        raise ConfigError(f"token ids are whole numbers with spaces between them: {error}") from error
    sys.stdout.buffer.write(load_tokenizer(tokenizer, pattern).decode_bytes(numbers) + b"\n")
    sys.stdout.buffer.flush()
    return 0
