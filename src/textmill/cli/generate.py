"""``textmill generate``: a model goes on from a prompt."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from textmill.base import units
from textmill.base.errors import ConfigError
from textmill.cli.arguments import STANDARD_INPUT, WholeNumber, plain, text_or_stdin
from textmill.cli.model_argument import find_model
from textmill.cli.model_options import DrawingOptions, LoadingOptions, load_model
from textmill.cli.output import Bar, Output

if TYPE_CHECKING:
    from textmill.infer.constrain import Grammar
    from textmill.infer.engine import LanguageModel
    from textmill.infer.request import Completion

_DRAWING = DrawingOptions()
_LOADING = LoadingOptions()
_MOST_TOKENS = 256  # of a text, where --max-tokens is not given
_SECONDS_BETWEEN_COUNTS = 0.2


def generate(
    model: str,
    prompt: list[str],
    /,
    *,
    n: Annotated[WholeNumber, Parameter(name=["--n", "-n"])] = 1,
    logprobs: WholeNumber | None = None,
    json_schema: Path | None = None,
    regex: str | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
    drawing: DrawingOptions = _DRAWING,
    loading: LoadingOptions = _LOADING,
) -> int:
    """Let a model go on from a prompt; a single text appears as it is made.

    For example:
        textmill generate runs/demo "def main("
        textmill generate smollm2-135m-instruct "The quick" --temperature 0.8 -n 3
        textmill generate model.gguf "One" "Two" "Three" --json
        echo "import os" | textmill generate runs/demo - --max-tokens 64
        textmill generate model.gguf "Founded in " --regex "[0-9]{4}"

    Parameters
    ----------
    model
        A model folder, a .gguf file, a run (its last checkpoint), or a name from `textmill model get`.
    prompt
        The text to go on from, or several, which are made together; - reads one from standard input.
    n
        Texts to make of each prompt, with seeds that follow one another.
    logprobs
        Tell each token's log-probability, and so many alternatives; needs --json.
    json_schema
        A file with a JSON schema; what is made is JSON that it describes, or a beginning of it at --max-tokens.
    regex
        A regular expression that matches what is made as a whole.
    json
        Print prompt, text, token ids and the reason it ended as JSON, once all is made; a list for several texts.
    """
    out = Output()
    if logprobs is not None and not json:
        raise ConfigError("--logprobs is told in JSON only; add --json")
    if prompt.count(STANDARD_INPUT) > 1:
        raise ConfigError("standard input is read once; give - for one prompt")
    prompts = [text_or_stdin(text) for text in prompt]
    options: dict[str, Any] = drawing.given() | {"n": n} | ({} if logprobs is None else {"logprobs": logprobs})
    if json_schema is not None or regex is not None:
        options["grammar"] = _grammar(json_schema, regex)
    lm = load_model(find_model(model, out), loading)
    if len(prompts) == 1 and n == 1 and not json:
        return _stream(lm, prompts[0], options, out)
    most = (drawing.max_tokens or _MOST_TOKENS) * len(prompts) * n
    with out.bar("generating", most) as bar, _counted(lm, bar):
        completions = lm.generate(prompts, **options)
    texts = [
        (text, completion)
        for text, found in zip(prompts, completions, strict=True)
        for completion in (found if isinstance(found, list) else [found])
    ]
    if json:
        told = [_as_table(text, completion, lm) for text, completion in texts]
        out.json(told[0] if len(told) == 1 else told)
        return 0
    for number, (text, completion) in enumerate(texts, 1):
        out.heading(f"[{number} of {len(texts)}, {units.count(len(completion.ids))} tokens]")
        out.data(text, end="")
        out.text(completion.text)
        out.data("")
    return 0


def _grammar(schema: Path | None, regex: str | None) -> Grammar:
    from textmill.checkpoint.json_files import read_json
    from textmill.infer.constrain import Grammar

    if schema is None:
        assert regex is not None
        return Grammar.regex(plain(regex))
    if regex is not None:
        raise ConfigError("--json-schema and --regex are both given; a text can be made to fit one of them")
    return Grammar.json_schema(read_json(schema))


@contextlib.contextmanager
def _counted(lm: LanguageModel, bar: Bar) -> Iterator[None]:
    """Show the tokens that are made while the block runs."""
    ended = threading.Event()

    def count() -> None:
        while not ended.wait(_SECONDS_BETWEEN_COUNTS):
            num_tokens = lm.batcher.statistics().num_drawn_tokens
            bar.update(num_tokens, f"{num_tokens:,} tokens")

    counter = threading.Thread(target=count, daemon=True)
    counter.start()
    try:
        yield
    finally:
        ended.set()
        counter.join()


def _stream(lm: LanguageModel, prompt: str, options: dict[str, Any], out: Output) -> int:
    ids = lm.prompt_ids(prompt)
    deltas = lm.stream(ids, **options)
    out.data(prompt, end="")
    num_tokens, reason, begin = 0, None, time.monotonic()
    for delta in deltas:
        out.text(delta.text)
        num_tokens += len(delta.ids)
        reason = delta.finish_reason
        begin = begin if num_tokens > len(delta.ids) else time.monotonic()
    out.data("")
    if reason == "length":
        room = lm.context - len(ids) - num_tokens
        speed = f" at {(num_tokens - 1) / (time.monotonic() - begin):.0f} a second" if num_tokens > 1 else ""
        more = "--max-tokens makes more" if room > 0 else f"the context of {lm.context:,} is full"
        out.say(f"[{units.count(num_tokens)} {'token' if num_tokens == 1 else 'tokens'}{speed}; {more}]")
    return 0


def _as_table(prompt: str, completion: Completion, lm: LanguageModel) -> dict[str, Any]:
    table: dict[str, Any] = {
        "prompt": prompt,
        "text": completion.text,
        "ids": list(completion.ids),
        "finish_reason": completion.finish_reason,
    }
    if completion.logprobs is not None:
        table["logprobs"] = completion.logprobs
        table["top_logprobs"] = [
            [{"id": i, "text": lm.tokenizer.decode([i]), "logprob": value} for i, value in place.items()]
            for place in completion.top_logprobs or ()
        ]
    return table
