"""The files of results in a folder, by what they are about."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textmill.base.errors import DataError
from textmill.eval.compare import RESULTS
from textmill.eval.results import read_results

Results = tuple[dict[str, Any], list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was measured: headers and records of sources, and of tasks."""

    bits: tuple[Results, ...]
    tasks: tuple[Results, ...]


def read_evidence(folder: Path, model_sha256: str) -> Evidence:
    """Read a folder of results, none where it is not there.

    Raises:
        DataError: a file is damaged, or another model's.
    """
    found: dict[str, list[Results]] = {"bits": [], "task": []}
    for path in sorted(folder.rglob(RESULTS)) if folder.is_dir() else ():
        header, records = read_results(path)
        if header.get("model_sha256") != model_sha256:
            raise DataError(
                f"{path} holds results of another model: its sha256 begins with "
                f"{str(header.get('model_sha256'))[:12]}, and this one's with {model_sha256[:12]}. Name the folder of "
                "this model's results with --results"
            )
        if records:
            found.get(header["kind"], []).append((header, records))
    return Evidence(tuple(found["bits"]), tuple(found["task"]))
