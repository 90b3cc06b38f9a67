"""The options of commands that run a model: how it is loaded, and how tokens are drawn."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter

from textmill.base.errors import ConfigError
from textmill.cli.arguments import WholeNumber, WholeNumbers, plain

if TYPE_CHECKING:
    from textmill.infer.engine import LanguageModel

_DRAWING = Group("Drawing tokens", sort_key=1)
LOADING = Group("Loading the model", sort_key=2)


@Parameter(name="*", group=_DRAWING)
@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DrawingOptions:
    """How tokens are drawn; what is not given is left to the engine, or to the model's own files."""

    max_tokens: WholeNumber | None = None
    """Tokens to make at most; 256 unless given, 1,024 in a chat."""
    min_tokens: WholeNumber | None = None
    """Go on at least so long, whatever would end the text."""
    temperature: float | None = None
    """0, unless given, takes the most probable token every time; 1 draws as the model itself says. Chats: 0.2."""
    top_k: WholeNumber | None = None
    """Draw from the k most probable tokens only; 0 draws from all."""
    top_p: float | None = None
    """Draw from the fewest tokens that hold this much of the probability; 1 from all. Chats: 0.9."""
    min_p: float | None = None
    """Draw from tokens at least this probable, as a part of the most probable one."""
    repetition_penalty: float | None = None
    """Above 1, tokens that stand in the text already are less probable; 1 changes nothing. Chats: 1.1."""
    presence_penalty: float | None = None
    """Take this off the logits of tokens that were made already."""
    frequency_penalty: float | None = None
    """The same, as often as they were made."""
    logit_bias: Annotated[list[str] | None, Parameter(negative="")] = None
    """ID=NUMBER: add to the logit of a token, -100 to 100; may be given several times."""
    seed: WholeNumber | None = None
    """The same seed gives the same text."""
    stop: Annotated[list[str] | None, Parameter(negative="")] = None
    """End before this text; may be given several times."""
    stop_id: WholeNumbers | None = None
    """End before this token; may be given several times."""
    ignore_eos: Annotated[bool, Parameter(negative="")] = False
    """Go on after the token that ends a text."""
    speculate: WholeNumber | None = None
    """Tokens at most to guess ahead where the text repeats itself; 0 guesses none. The text stays the same."""

    def given(self) -> dict[str, Any]:
        """The options that were given, as ``generate`` and ``stream`` of the library take them."""
        options = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        options["stop"] = [plain(text) for text in self.stop] if self.stop else None
        options["stop_ids"] = options.pop("stop_id")
        options["ignore_eos"] = self.ignore_eos or None
        options["logit_bias"] = dict(map(_bias, self.logit_bias)) if self.logit_bias else None
        return {name: value for name, value in options.items() if value is not None}


@Parameter(name="*", group=LOADING)
@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class LoadingOptions:
    """How a model is loaded."""

    weights: Literal["auto", "f32", "bf16", "int8", "int4", "file"] = "auto"
    """What weights are kept in; auto is as they are stored, file the blocks of a GGUF as they are."""
    kv: Literal["bf16", "f32", "int8"] = "bf16"
    """What keys and values are kept in."""
    context: WholeNumber | None = None
    """Tokens of prompt and answer together; as many as the model was made for unless given."""
    threads: WholeNumber | None = None
    """Threads of the CPU; all cores unless given."""
    device: str = "cpu"
    """cpu, or another device as torch names it."""


def load_model(path: Path, options: LoadingOptions) -> LanguageModel:
    """Load the model that ``find_model`` found."""
    import textmill

    return textmill.load(path, **dataclasses.asdict(options))


def _bias(argument: str) -> tuple[int, float]:
    token_id, equals, number = plain(argument).partition("=")
    try:
        if equals:
            return int(token_id), float(number)
    except ValueError:
        pass
    raise ConfigError(f'--logit-bias is "{argument}", and must be ID=NUMBER, as in 42=-100')
