"""What a pipeline comes to on this input: files, units, and a hash that says whether a later start is the same job."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textmill.base.config import to_table
from textmill.base.errors import DataError
from textmill.base.files import sha256_file
from textmill.data.pipeline import Pipeline, RunTable, SourceTable
from textmill.text.folders import LeftOut
from textmill.text.reading import InputFile, SourceInput, Unit, cut_units, list_files

# What a release makes of the same input may differ from what the last one made: its work is not gone on with then.
_WORK_VERSION = 3

# What [run] unit_mb counts in. Units are cut in one place only, so other processes need not know.
UNIT_BYTES_OF_MB = 1 << 20

Each = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]


@dataclass(frozen=True, slots=True)
class Job:
    """A pipeline and its input.

    Attributes:
        pipeline: the pipeline.
        units: the units of each source; of a chain the first.
        num_bytes: bytes of each source's files, packed as they are.
        named: files that the pipeline names beside its input, with their sha256.
        hash: of all that the output depends on, and of where the input lies.
        made_by: the same for manifests, without places and times: only what the output depends on.
        left_out: what folders hold besides text.
    """

    pipeline: Pipeline
    units: dict[str, list[Unit]]
    num_bytes: dict[str, int]
    named: dict[str, str]
    hash: str
    made_by: dict[str, Any]
    left_out: LeftOut

    @property
    def total_bytes(self) -> int:
        """Bytes of all files."""
        return sum(self.num_bytes.values())


def make_job(pipeline: Pipeline, each: Each = map) -> Job:
    """Look at a pipeline's input.

    Args:
        pipeline: what is to be done.
        each: like ``map``; lines of large files are counted with it.

    Raises:
        DataError: a path does not exist or holds no text, or a file that the pipeline names cannot be read.
    """
    left_out = LeftOut()
    units: dict[str, list[Unit]] = {}
    num_bytes: dict[str, int] = {}
    states: dict[str, Any] = {}
    for name in pipeline.sources:
        source = pipeline.steps_of(name)
        files = list_files(source_input(pipeline.run, source), left_out)
        units[name] = cut_units(files, pipeline.run.unit_mb * UNIT_BYTES_OF_MB, each)
        num_bytes[name] = sum(file.size for file in files)
        states[name] = [_state_of(file) for file in files]
    settings = to_table(pipeline)
    named = {path: _sha256(path) for path in _named_files(pipeline)}
    everything = [_WORK_VERSION, settings, states, named]
    return Job(
        pipeline,
        units,
        num_bytes,
        named,
        hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest(),
        {"settings": _without_places(settings), "files": sorted(named.values())},
        left_out,
    )


def source_input(run: RunTable, source: SourceTable) -> SourceInput:
    """Say to reading what a pipeline says of a source; where addresses are judged, the field ``url`` is read."""
    assert source.filter is not None
    urls = {"url": "url"} if source.filter.blocked_urls else {}
    return SourceInput(
        path=source.path,
        format=source.format,
        fields=urls | source.fields,
        max_document_bytes=run.max_document_mb << 20,
    )


def _state_of(file: InputFile) -> list[Any]:
    """What tells that a file has changed: its size and time, or the version of Python, whose library has no file."""
    return [file.path, file.member, file.size, file.version or sys.version]


def _named_files(pipeline: Pipeline) -> list[str]:
    """The files that a pipeline names beside its input."""
    named = [pipeline.tokenizer.path]
    for name in pipeline.sources:
        source = pipeline.steps_of(name)
        assert source.filter is not None
        assert source.quality is not None
        assert source.decontaminate is not None
        named += [source.filter.bad_words, source.filter.blocked_urls, source.quality.model]
        named += source.decontaminate.against
    return sorted({path for path in named if path})


def _sha256(path: str) -> str:
    """Hash a file that a pipeline names; of a folder, its files in the order of their names."""
    files = sorted(file for file in Path(path).rglob("*") if file.is_file()) if Path(path).is_dir() else [Path(path)]
    try:
        return hashlib.sha256("".join(map(sha256_file, files)).encode()).hexdigest()
    except OSError as error:
        raise DataError(
            f"cannot read {path}, which the pipeline names: {(error.strerror or str(error)).lower()}"
        ) from error


def check_named(named: Mapping[str, str]) -> None:
    """See that files which a pipeline names are what they were: called when they have been loaded, wherever that is.

    Raises:
        DataError: one of them has another sha256 now.
    """
    for path, before in named.items():
        if _sha256(path) != before:
            raise DataError(f"{path}, which the pipeline names, changed since the pipeline was started; start it again")


def _without_places(settings: dict[str, Any]) -> dict[str, Any]:
    """What of the settings the output depends on, and not where things lie."""
    paths = {"path", "bad_words", "blocked_urls", "model", "against"}

    def strip(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: strip(item) for key, item in value.items() if key not in paths}
        return value

    return {key: strip(value) for key, value in settings.items() if key != "output"}
