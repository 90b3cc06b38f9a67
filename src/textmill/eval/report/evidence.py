"""The files of results in a folder, by what they are about."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from textmill.base.errors import DataError
from textmill.eval.results import Results, read_results, results_in


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was measured of sources, and of tasks."""

    bits: tuple[Results, ...]
    tasks: tuple[Results, ...]


def read_evidence(folder: Path, model_sha256: str) -> Evidence:
    """Read a folder of results, none where it is not there.

    Raises:
        DataError: a file is damaged, or another model's.
    """
    found: dict[str, list[Results]] = {"bits": [], "task": []}
    for path in results_in(folder):
        results = read_results(path)
        header = results.header
        if header.get("model_sha256") != model_sha256:
            raise DataError(
                f"{path} holds results of another model: its sha256 begins with "
                f"{str(header.get('model_sha256'))[:12]}, and this one's with {model_sha256[:12]}. Name the folder of "
                "this model's results with --results"
            )
        if results.records:
            found.get(header["kind"], []).append(results)
    return Evidence(tuple(found["bits"]), tuple(found["task"]))
