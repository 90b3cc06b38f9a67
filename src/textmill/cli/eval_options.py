"""How a model is loaded to be measured, and how lm-evaluation-harness is run on it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter

from textmill.cli.arguments import WholeNumber
from textmill.cli.model_options import LOADING


@Parameter(name="*", group=LOADING)
@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ScoringOptions:
    """Those of the commands that generate, but for keys and values: a score is the model's, and not its cache's."""

    weights: Literal["auto", "f32", "bf16", "int8", "int4", "file"] = "auto"
    """What weights are kept in; auto is as they are stored, file the blocks of a GGUF as they are."""
    kv: Literal["bf16", "f32", "int8"] = "f32"
    """What keys and values are kept in."""
    context: WholeNumber | None = None
    """Tokens of a text at once; as many as the model was made for unless given."""
    threads: WholeNumber | None = None
    """Threads of the CPU; all cores unless given."""
    device: str = "cpu"
    """cpu, or another device as torch names it."""

    def given(self) -> dict[str, Any]:
        """The options, as the library takes them."""
        return dataclasses.asdict(self)


_OF_THE_HARNESS = Group("With --harness", sort_key=8)


@Parameter(name="*", group=_OF_THE_HARNESS)
@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class HarnessCommandOptions:
    """How tasks of lm-evaluation-harness are put; the names are its own, where it has one."""

    include: Path | None = None
    """A folder with more tasks."""
    chat: Annotated[bool, Parameter(negative="")] = False
    """Lay texts out by the model's chat template."""
    system: str | None = None
    """What the system message says."""
    fewshot_as_multiturn: bool = True
    """In a chat examples are turns before, and not part of one message."""
    log_samples: Annotated[bool, Parameter(negative="")] = False
    """Keep what the model was asked and said, item by item."""

    def given(self) -> dict[str, Any]:
        """The options, as the library takes them."""
        return dataclasses.asdict(self)
