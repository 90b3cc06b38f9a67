"""A pipeline: how raw files become shard sets, as TOML. Every key is a field here; a key that is not is an error.

What a source does not say for itself (``[sources.NAME.filter]`` and the like) the table of the same name at the top
says for all. Relative paths start at the pipeline's own folder, ``output.dir`` at the working directory.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from textmill.base.config import apply_settings, from_table, read_toml
from textmill.base.errors import ConfigError
from textmill.text.stdlib import is_stdlib

# Every path of a table, by its place; "*" is any name.
_PATHS = (
    "tokenizer.path",
    "sources.*.path",
    *(
        f"{at}{key}"
        for at in ("", "sources.*.")
        for key in ("filter.bad_words", "filter.blocked_urls", "quality.model")
    ),
    *(f"{at}decontaminate.against" for at in ("", "sources.*.")),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputTable:
    """``[output]``: where the shard sets go, one folder for each source below ``dir``.

    What is held out goes below ``heldout``, which is ``dir`` with ``-heldout`` behind it where nothing is said.
    """

    dir: str
    heldout: str | None = None

    def __post_init__(self) -> None:
        if not self.dir:
            raise ConfigError('output.dir is empty; name a folder, as in "shards"')


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenizerTable:
    """``[tokenizer]``: a file to load, or the size and pattern of one to train on the own sources."""

    path: str | None = None
    vocab_size: int | None = None
    pattern: str | None = None

    def __post_init__(self) -> None:
        if self.path is not None and self.pattern is not None:
            raise ConfigError("[tokenizer] has a path, and pattern is for one that is trained; leave one of them out")
        neither = self.path is None and self.vocab_size is None and self.pattern != "char"
        if neither or (self.path is not None and self.vocab_size is not None):
            raise ConfigError("[tokenizer] takes either path (load one) or vocab_size (train one)")


@dataclass(frozen=True, kw_only=True, slots=True)
class CleanTable:
    """``[clean]``: Unicode repair (ftfy), and which personal data is masked."""

    unicode: bool = False
    mask: tuple[Literal["email", "ip"], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class LanguageTable:
    """``[language]``: documents in other languages, or unsure ones, are dropped."""

    keep: tuple[str, ...] = ()
    min_score: float = 0.65


@dataclass(frozen=True, kw_only=True, slots=True)
class FilterTable:
    """``[filter]``: presets of published rules, bounds that differ from theirs, and the user's own lists."""

    presets: tuple[str, ...] = ()
    bounds: dict[str, float] = field(default_factory=dict)
    bad_words: str | None = None
    blocked_urls: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class QualityTable:
    """``[quality]``: a classifier that ``textmill data quality train`` made, and the least score that stays."""

    model: str | None = None
    min_score: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class DecontaminateTable:
    """``[decontaminate]``: evaluation files (JSONL) whose items must not be in the data, and how they are found."""

    against: tuple[str, ...] = ()
    profile: str = "finemath"
    action: Literal["drop", "cut", "report"] = "drop"


@dataclass(frozen=True, kw_only=True, slots=True)
class DedupTable:
    """``[dedup]``: exact duplicates, and near ones by MinHash; of each cluster one document stays."""

    exact: bool = True
    minhash: bool = False
    bands: int = 14
    rows: int = 8
    ngram: int = 5
    min_jaccard: float = 0.75
    scope: Literal["all", "source"] = "all"
    keep: tuple[Literal["score", "longest", "first"], ...] = ("score", "longest", "first")
    recall_sample: int = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class HoldoutTable:
    """``[holdout]``: a share of the documents is kept apart, to validate on."""

    fraction: float = 0.0
    kind: Literal["auto", "documents", "tail"] = "documents"

    def __post_init__(self) -> None:
        if not 0 <= self.fraction < 1:
            raise ConfigError(f"holdout.fraction is {self.fraction:g}, and must be 0 or more and below 1, as in 0.05")


@dataclass(frozen=True, kw_only=True, slots=True)
class RunTable:
    """``[run]``: what becomes of bad records, and limits.

    ``unit_mb`` is how much input is one piece of work, in 2^20 bytes; the output depends on it, and on no number of
    processes.
    """

    on_bad: Literal["skip", "stop"] = "skip"
    unit_mb: int = 64
    memory_mb: int = 1024
    max_document_mb: int = 256

    def __post_init__(self) -> None:
        for name in ("unit_mb", "memory_mb", "max_document_mb"):
            if getattr(self, name) < 1:
                raise ConfigError(f"run.{name} is {getattr(self, name)}, and must be 1 or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceTable:
    """``[sources.NAME]``: raw files, how they are read, and what differs for them.

    ``holdout`` may say that all of it, or nothing, is held out; ``part`` takes the documents whose ids hash between two
    shares of 1.
    """

    path: str | tuple[str, ...]
    format: Literal["auto", "text", "jsonl", "csv", "parquet", "html"] = "auto"
    fields: dict[str, str] = field(default_factory=dict)
    holdout: Literal["share", "all", "none"] = "share"
    part: tuple[float, ...] = (0.0, 1.0)
    clean: CleanTable | None = None
    language: LanguageTable | None = None
    filter: FilterTable | None = None
    quality: QualityTable | None = None
    decontaminate: DecontaminateTable | None = None

    def __post_init__(self) -> None:
        if len(self.part) != 2 or not 0 <= self.part[0] < self.part[1] <= 1:
            raise ConfigError(f"a source's part is {list(self.part)}, and must be two shares of 1 as in [0.25, 0.5]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Pipeline:
    """One complete way from raw files to shard sets."""

    output: OutputTable
    sources: dict[str, SourceTable]
    tokenizer: TokenizerTable
    clean: CleanTable = CleanTable()
    language: LanguageTable = LanguageTable()
    filter: FilterTable = FilterTable()
    quality: QualityTable = QualityTable()
    decontaminate: DecontaminateTable = DecontaminateTable()
    dedup: DedupTable = DedupTable()
    holdout: HoldoutTable = HoldoutTable()
    run: RunTable = RunTable()

    def __post_init__(self) -> None:
        if not self.sources:
            raise ConfigError("[sources] is empty; name at least one source, as [sources.web]")
        for name in self.sources:
            if name == "all" or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
                raise ConfigError(
                    f'"{name}" cannot be the name of a source: it names folders too, so take letters, digits, '
                    '"_", "-" and "."; "all" is what they are together'
                )

    def steps_of(self, name: str) -> SourceTable:
        """A source with the tables at the top in the places of those that it leaves out."""
        source = self.sources[name]
        return SourceTable(
            path=source.path,
            format=source.format,
            fields=source.fields,
            holdout=source.holdout,
            part=source.part,
            clean=source.clean or self.clean,
            language=source.language or self.language,
            filter=source.filter or self.filter,
            quality=source.quality or self.quality,
            decontaminate=source.decontaminate or self.decontaminate,
        )

    @property
    def heldout_dir(self) -> Path:
        """Where what is held out goes."""
        return Path(self.output.heldout or f"{self.output.dir}-heldout")

    @property
    def needs_all(self) -> bool:
        """Whether no text can be tokenized before all are read."""
        return self.dedup.exact or self.dedup.minhash or self.tokenizer.path is None or self.holdout.kind == "auto"


def load_pipeline(path: Path, settings: Iterable[str] = ()) -> Pipeline:
    """Read a pipeline and lay settings over it, ``table.key=value``, whose paths start at the working directory.

    Raises:
        ConfigError: the file is missing or not TOML, or a key or value of it is wrong.
    """
    table = _absolute(read_toml(path), path.resolve().parent)
    for setting in settings:
        table = _absolute(apply_settings(table, [setting]), Path.cwd())
    return from_table(Pipeline, table)


def _absolute(table: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Let the paths of a pipeline start at a folder."""
    result = copy.deepcopy(table)
    for path in _PATHS:
        _make_absolute(result, path.split("."), folder)
    return result


def _make_absolute(node: Any, keys: list[str], folder: Path) -> None:
    if not isinstance(node, dict):
        return
    for name in list(node) if keys[0] == "*" else [keys[0]]:
        if name not in node:
            continue
        if len(keys) > 1:
            _make_absolute(node[name], keys[1:], folder)
        elif isinstance(node[name], str):
            node[name] = _joined(folder, node[name])
        elif isinstance(node[name], list):
            node[name] = [_joined(folder, path) if isinstance(path, str) else path for path in node[name]]


def _joined(folder: Path, path: str) -> str:
    return path if is_stdlib(path) or not path else str(folder / path)
