"""``textmill model convert``: a model in another format, type, or with fewer key-value heads."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated, Literal

from cyclopts import Parameter

from textmill.base import units
from textmill.base.errors import ConfigError
from textmill.cli.arguments import WholeNumber, program
from textmill.cli.model_argument import find_model
from textmill.cli.output import Output

_FILES = {".bin", ".json", ".pt", ".pth", ".safetensors"}
TypeName = Literal["f32", "f16", "bf16", "q8_0", "q4_0"]


def convert(
    model: str,
    target: Path,
    /,
    *,
    type_: Annotated[TypeName | None, Parameter(name="--type")] = None,
    kv_heads: WholeNumber | None = None,
    force: Annotated[bool, Parameter(negative="")] = False,
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
        What weights are stored in; as they are unless given, those of 4 to 8 bits as f32 in a folder. q8_0 and q4_0
        are for GGUF.
    kv_heads
        Mean-pool the key-value heads into so many (arXiv:2305.13245), to train it further from there.
    force
        Replace a GGUF that is there.
    """
    from textmill.checkpoint.convert import convert as write

    out = Output()
    source = find_model(model, out)
    _check_target(target, force=force)
    with out.bar("converting", None) as bar:
        remarks = write(source, target, type=type_, num_key_value_heads=kv_heads, progress=bar.update)
    for remark in remarks:
        out.say(remark)
    if kv_heads is not None:
        out.say("pooled heads answer badly until the model is trained further")
    out.say(f"{units.num_bytes(_weight_bytes(source))} became {units.num_bytes(_weight_bytes(target))}")
    out.hint(f"next: {program()} model show {quote(str(target))}")
    out.data(str(target))
    return 0


def _check_target(target: Path, *, force: bool) -> None:
    """Raise ``ConfigError`` where a model would be lost, or a folder would have the name of a file."""
    if target.suffix == ".gguf" and target.exists() and not force:
        raise ConfigError(f"{target} is there already; take another name, or --force to replace it")
    if target.suffix in _FILES and not target.is_dir():
        raise ConfigError(f"{target} is no .gguf, and a folder of that name would pass for a file; take another name")


def _weight_bytes(model: Path) -> int:
    """The size of a file, or of the weights in a folder."""
    return sum(path.stat().st_size for path in (model.glob("*.safetensors") if model.is_dir() else [model]))
