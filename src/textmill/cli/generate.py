"""``textmill generate``: a model goes on from a prompt."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from textmill.base import units
from textmill.cli.arguments import plain, text_or_stdin
from textmill.cli.output import Output


def generate(
    model: str,
    prompt: str,
    /,
    *,
    max_tokens: int | None = None,
    temperature: float = 0.0,
    top_k: int = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
    seed: int | None = None,
    stop: Annotated[list[str] | None, Parameter(negative="")] = None,
    ignore_eos: Annotated[bool, Parameter(negative="")] = False,
    threads: int | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Let a model go on from a prompt; the text appears as it is made.

    For example:
        textmill generate runs/demo "def main("
        textmill generate runs/demo "The quick" --temperature 0.8 --seed 1
        echo "import os" | textmill generate runs/demo - --max-tokens 64

    Parameters
    ----------
    model
        A model folder, or a run (its last checkpoint).
    prompt
        The text to go on from; - reads it from standard input.
    max_tokens
        Tokens to make at most; 256, or what the context leaves.
    temperature
        0 takes the most probable token every time; 1 draws from the model's own distribution.
    top_k
        Draw from the k most probable tokens only; 0 draws from all.
    top_p
        Draw from the fewest tokens that hold this much of the probability.
    min_p
        Draw from tokens at least this probable, as a part of the most probable one.
    seed
        The same seed gives the same text.
    stop
        End before this text; may be given several times.
    ignore_eos
        Go on after the token that ends a text.
    threads
        Threads of the CPU to use.
    json
        Print prompt, text, token ids and the reason it ended as JSON, once all is made.
    """
    import textmill

    output = Output()
    prompt = text_or_stdin(prompt)
    lm = textmill.load(model, threads=threads)
    options = {
        "max_tokens": max_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "seed": seed,
        "stop": [plain(text) for text in stop or ()],
        "ignore_eos": ignore_eos,
    }
    if json:
        completion = lm.generate(prompt, **options)
        output.json(
            {
                "prompt": prompt,
                "text": completion.text,
                "ids": list(completion.ids),
                "finish_reason": completion.finish_reason,
            }
        )
        return 0
    deltas = lm.stream(prompt, **options)
    output.data(prompt, end="")
    num_tokens = 0
    reason = None
    for delta in deltas:
        output.text(delta.text)
        num_tokens += len(delta.ids)
        reason = delta.finish_reason
    output.data("")
    room = lm.context - len(lm.tokenizer.encode(prompt)) - num_tokens
    if reason == "length" and room > 1:
        output.say(f"[{units.count(num_tokens)} tokens; --max-tokens makes more]")
    return 0
