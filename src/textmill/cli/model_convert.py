"""``textmill model convert``: a model in another format, type, or with fewer key-value heads."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated, Literal

from cyclopts import Parameter

from textmill.cli.arguments import program
from textmill.cli.model_argument import find_model
from textmill.cli.output import Output

TypeName = Literal["f32", "f16", "bf16", "q8_0", "q4_0"]


def convert(
    model: str,
    target: Path,
    /,
    *,
    type_: Annotated[TypeName | None, Parameter(name="--type")] = None,
    kv_heads: int | None = None,
) -> int:
    """Write a model as a GGUF file or as a Hugging Face folder.

    For example:
        textmill model convert runs/demo demo.gguf --type q8_0
        textmill model convert smollm2-135m-instruct smollm2/ --type bf16
        textmill model convert mha/ mqa/ --kv-heads 1

    Parameters
    ----------
    model
        A model folder, a .gguf file, a run (its last checkpoint), or a name from `textmill model get`.
    target
        NAME.gguf, or a folder for config.json, model.safetensors and tokenizer.json.
    type_
        What weights are stored in; as they are unless given. q8_0 and q4_0 are for GGUF.
    kv_heads
        Mean-pool the key-value heads into so many (arXiv:2305.13245), to train it further from there.
    """
    from textmill.checkpoint.convert import convert as write

    out = Output()
    source = find_model(model, out)
    with out.bar("converting", None) as bar:
        remarks = write(source, target, type=type_, num_key_value_heads=kv_heads, progress=bar.update)
    for remark in remarks:
        out.say(remark)
    out.hint(f"next: {program()} model show {quote(str(target))}")
    out.data(str(target))
    return 0
