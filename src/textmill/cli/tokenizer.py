"""``textmill tokenizer``: train one, and look at what it does."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from textmill.base import units
from textmill.base.errors import ConfigError
from textmill.cli.arguments import STANDARD_INPUT, WholeNumber, plain, program, stdin_text
from textmill.cli.output import Output
from textmill.cli.tokenizer_argument import load_tokenizer
from textmill.cli.tokenizer_files import convert, show
from textmill.cli.tokenizer_ids import decode, encode
from textmill.cli.tokenizer_questions import diff, explain, why_not

if TYPE_CHECKING:
    from textmill.tokenizer.tokenizer import Tokenizer

tokenizer_app = App(
    name="tokenizer",
    help="""Train a tokenizer, and see what it makes of text.

For example:
    textmill tokenizer train FOLDER --vocab-size 8192
    textmill tokenizer encode tokenizer.json "some text"
    textmill tokenizer decode tokenizer.json 312 78 1044
    textmill tokenizer explain "naïve 🤖 don't"
    textmill tokenizer why-not tokenizer.json " internationalization"
    textmill tokenizer diff mine.json theirs.json corpus/
    textmill tokenizer show model.gguf
    textmill tokenizer convert model.gguf tokenizer.json
""",
    help_format="plaintext",
)
for command in (encode, decode, show, convert, diff):
    tokenizer_app.command(command)
tokenizer_app.command(explain, usage="Usage: textmill tokenizer explain [OPTIONS] [TOKENIZER] TEXT")
tokenizer_app.command(why_not, usage="Usage: textmill tokenizer why-not [OPTIONS] [TOKENIZER] TEXT")


@tokenizer_app.command
def train(
    source: list[str],
    /,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = Path("tokenizer.json"),
    vocab_size: WholeNumber = 32_000,
    pattern: str = "cl100k",
    special_token: Annotated[list[str] | None, Parameter(negative="")] = None,
    seed: Annotated[list[str] | None, Parameter(negative="")] = None,
    extend: Path | None = None,
    min_frequency: WholeNumber = 0,
    max_token_length: WholeNumber | None = None,
    threads: WholeNumber | None = None,
    memory_limit_mb: WholeNumber | None = None,
    report: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Train a byte-level BPE tokenizer on text files, and save it where Hugging Face's tokenizers can read it.

    For example:
        textmill tokenizer train books/ --vocab-size 8192 -o tokenizer.json
        textmill tokenizer train "data/*.jsonl.zst" --memory-limit-mb 500
        textmill tokenizer train corpus.jsonl --special-token "<|endoftext|>"
        textmill tokenizer train new.txt --extend tokenizer.json -o more.json

    Parameters
    ----------
    source
        Files, folders and globs of text: .txt, .md, .py, .jsonl (field "text"), .parquet, each also .gz or .zst;
        - alone reads standard input, whole.
    output
        Where to write it: a .json file. The training report goes beside it: .report.json.
    vocab_size
        Tokens in all: 256 bytes, merges and special tokens together.
    pattern
        How text is split before merging: cl100k, gpt2, o200k, qwen2, smollm, tekken, ..., char, or any regex.
    special_token
        A special token; may be given several times. <|endoftext|> unless one is given or a tokenizer is extended.
    seed
        A text that must be a token; may be given several times.
    extend
        A tokenizer whose ids, merges and pattern stay; new merges are learned on top.
    min_frequency
        Pairs that stand less often in the text are not merged.
    max_token_length
        Tokens of more than two bytes have fewer bytes than this.
    threads
        Threads to count with; all cores unless given.
    memory_limit_mb
        Millions of bytes that counting and merging may hold; over it, counts go to the temporary folder.
    report
        Print the training report as JSON instead of the file's name.
    """
    from textmill.text.stream import size_on_disk
    from textmill.tokenizer.tokenizer import Tokenizer

    out = Output()
    if output.suffix != ".json":
        raise ConfigError(f'--output is "{plain(str(output))}", and must end in .json')
    specials = special_token if special_token or extend else ["<|endoftext|>"]
    is_stdin = STANDARD_INPUT in source
    if is_stdin and len(source) > 1:
        raise ConfigError(f"- is standard input, which is read alone, and {len(source)} sources are given; leave out -")
    if memory_limit_mb is not None and memory_limit_mb < 1:
        raise ConfigError(f"--memory-limit-mb is {memory_limit_mb}, and must be 1 or more")
    total = None if is_stdin else size_on_disk(source)
    with out.bar("reading", total) as bar:
        tokenizer = Tokenizer.train(
            iter([stdin_text()]) if is_stdin else source,
            vocab_size=vocab_size,
            pattern=pattern,
            special_tokens=tuple(map(plain, specials or [])),
            threads=threads,
            memory_limit=None if memory_limit_mb is None else memory_limit_mb * 1_000_000,
            min_frequency=min_frequency,
            max_token_length=max_token_length,
            seed_tokens=tuple(map(plain, seed or [])),
            extend=_to_extend(extend) if extend else None,
            progress=bar.update,
            on_merging=lambda: bar.begin("merging"),
        )
    tokenizer.save(output)
    _tell_of_training(out, tokenizer, vocab_size)
    out.hint(f'next: {program()} tokenizer explain {quote(str(output))} "some text"')
    if report and tokenizer.training_report is not None:
        out.json(tokenizer.training_report.to_dict())
    else:
        out.data(str(output))
    return 0


def _to_extend(path: Path) -> Tokenizer:
    if path.suffix == ".tiktoken":
        raise ConfigError(
            f"{path} says neither how it splits text nor what its special tokens are, and cannot be extended so: "
            f"{program()} tokenizer convert {quote(str(path))} tokenizer.json "
            "--pattern ... --special-token ..., and extend that"
        )
    return load_tokenizer(path, None)


def _tell_of_training(out: Output, tokenizer: Tokenizer, vocab_size: int) -> None:
    report = tokenizer.training_report
    assert report is not None
    out.say(
        f"{tokenizer.vocab_size:,} tokens from {units.num_bytes(report.num_bytes)} of text, "
        f"{report.num_bytes / report.num_tokens:.2f} bytes per token"
    )
    if report.spilled_runs:
        out.say(f"{units.num_bytes(report.spilled_bytes)} of counts went to disk under the memory limit")
    if tokenizer.vocab_size < vocab_size:
        out.warning(
            f"the text holds no more pairs to merge within the limits: {tokenizer.vocab_size:,} tokens, not "
            f"{vocab_size:,}; give more text, or a smaller --vocab-size"
        )
