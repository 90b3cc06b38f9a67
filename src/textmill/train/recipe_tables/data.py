"""What is read, and how it becomes rows: ``[data]``, ``[data.sources.NAME]``, ``[[stages]]``."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Literal

from textmill.base.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceTable:
    """``[data.sources.NAME]``: a folder of shards, text files, or ``stdlib``, ``stdlib:code``, ``stdlib:prose``.

    Attributes:
        path: where it is; a source without one can be planned with, and not trained on.
        tokens: how many unique ones it has, for planning; a folder of shards says that itself.
        part: from and to, as shares of 1: of text files, the documents whose names hash into it. Sources with the
            same path and parts that do not overlap share no document.
        max_epochs: how often the whole run may read it before a plan is refused.
    """

    path: str | None = None
    tokens: int | None = None
    part: tuple[float, ...] = (0.0, 1.0)
    max_epochs: float = 5.0

    def __post_init__(self) -> None:
        if self.tokens is not None and self.tokens < 1:
            raise ConfigError(f"a source's tokens are {self.tokens}, and must be 1 or more")
        if len(self.part) != 2 or not 0 <= self.part[0] < self.part[1] <= 1:
            raise ConfigError(f"a source's part is {list(self.part)}, and must be two shares of 1 as in [0.25, 0.5]")
        if not 0 < self.max_epochs < math.inf:
            raise ConfigError(f"a source's max_epochs is {self.max_epochs:g}, and must be above 0 and finite")


@dataclass(frozen=True, kw_only=True, slots=True)
class DataTable:
    """``[data]``: the sources by name, and how their documents become rows.

    Attributes:
        sources: by name.
        packing: ``concat`` cuts the stream of documents into rows; ``best-fit`` cuts no document that a row holds.
        document_masks: documents of a row do not see one another, and each counts its positions from 0.
        fim_rate: the share of documents told out of order, for filling in the middle; needs ``best-fit`` and a
            tokenizer with ``<|fim_prefix|>``, ``<|fim_suffix|>`` and ``<|fim_middle|>``.
        skip_steps: batches that are passed over, as ``FIRST:END``, counted from 0, the end not in it.
    """

    sources: dict[str, SourceTable]
    packing: Literal["concat", "best-fit"] = "concat"
    document_masks: bool = False
    fim_rate: float = 0.0
    skip_steps: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.fim_rate <= 1:
            raise ConfigError(f"data.fim_rate is {self.fim_rate:g}, and must be 0 to 1")
        if self.fim_rate and self.packing != "best-fit":
            raise ConfigError(
                f'data.fim_rate is {self.fim_rate:g}, which needs packing = "best-fit": documents told out of order '
                "are longer, and only there is room for that"
            )
        for text in self.skip_steps:
            parse_range(text)
        for name in self.sources:
            if name == "all" or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
                raise ConfigError(
                    f'"{name}" cannot be the name of a source: it names folders too, so take letters, digits, '
                    '"_", "-" and "."; "all" is what they are together'
                )


def parse_range(text: str) -> tuple[int, int]:
    """Read ``FIRST:END``, the end not in it.

    Raises:
        ConfigError: it is no range, or an empty one.
    """
    match = re.fullmatch(r"(\d{1,15}):(\d{1,15})", text)
    if not match or int(match[1]) >= int(match[2]):
        raise ConfigError(f'"{text}" is no range of steps; write FIRST:END, the end not in it, as in 1000:1020')
    return int(match[1]), int(match[2])


@dataclass(frozen=True, kw_only=True, slots=True)
class StageTable:
    """``[[stages]]``: a stretch of the run with its own mixture and context.

    Attributes:
        name: what it is called.
        tokens: how long it is; one stage may leave it out, and takes what the others leave of the budget.
        context: tokens in a row.
        rope_theta: RoPE's base; 10,000 where nothing says otherwise.
        mixture: a weight for each source; all of them weigh the same where it is left out.
        note: what a plan says of it.
    """

    name: str = "stable"
    tokens: int | None = None
    context: int = 512
    rope_theta: float | None = None
    mixture: dict[str, float] = field(default_factory=dict)
    note: str | None = None

    def __post_init__(self) -> None:
        if self.context < 1:
            raise ConfigError(f"a stage's context is {self.context}, and must be 1 or more")
        if self.tokens is not None and self.tokens < 1:
            raise ConfigError(f"a stage's tokens are {self.tokens}, and must be 1 or more")
