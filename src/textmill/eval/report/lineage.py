"""Where a model comes from: its run, the shards of every source, and the items of evaluation sets found in them."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from textmill.base import units
from textmill.base.errors import DataError
from textmill.data.manifest import MANIFEST, Manifest, read_manifest
from textmill.data.prepare_report import REPORT, PrepareReport, report_of
from textmill.data.unit_report import CONTAMINATION
from textmill.train import report_tables
from textmill.train.page import table
from textmill.train.run_record import RunRecord, is_run

_HITS = 50
_SHARDS = "shards"


def run_of(model: Path) -> Path | None:
    """The run that a model folder belongs to: its finished model, or one of its checkpoints."""
    model = model.resolve()
    above = model.parent.parent if model.parent.name == "checkpoints" else model.parent
    return above if model.is_dir() and is_run(above) else None


@dataclass(frozen=True, slots=True)
class _Set:
    name: str
    folder: Path
    manifest: Manifest | None
    trouble: str


def lineage(run: RunRecord | None) -> str:
    """The sources of the training text, and what the run began from."""
    if run is None:
        return (
            "<h2>Where it comes from</h2><p>This model is not part of a run of textmill's, so what it was trained on "
            "is not known here.</p>"
        )
    rows = []
    for one in _sets(run):
        if one.manifest is None:
            rows.append([one.name, str(one.folder), one.trouble, "", "", ""])
            continue
        manifest = one.manifest
        rows.append(
            [
                one.name,
                str(one.folder),
                f"{manifest.num_documents:,}",
                units.count(manifest.num_tokens),
                units.num_bytes(manifest.num_bytes),
                manifest.tokenizer_sha256[:12],
            ]
        )
    listed = table(("source", "shards", "documents", "tokens", "text", "tokenizer"), rows, text_columns=2)
    return (
        "<h2>Where it comes from</h2>"
        + _began_from(run)
        + (listed if rows else "<p>The shards are not on this disk.</p>")
        + _made_by(run)
        + report_tables.stages(run.history)
    )


def _began_from(run: RunRecord) -> str:
    model = run.table("recipe").get("model")
    origin = model.get("from") if isinstance(model, dict) else None
    branch = run.known("branch")
    said = []
    if isinstance(origin, str) and origin:
        said.append(f"It began with the weights of {origin}.")
    if isinstance(branch, dict):
        said.append(f"It branched off step {branch.get('step')} of {branch.get('run')}.")
    return f"<p>{html.escape(' '.join(said) or 'It began with random weights.')}</p>"


def _made_by(run: RunRecord) -> str:
    """How the shards were made, by their own manifests."""
    found = [(one.name, one.manifest.made_by) for one in _sets(run) if one.manifest is not None]
    return "".join(
        f"<details><summary>how {html.escape(name)} was made</summary><pre>"
        f"{html.escape(json.dumps(made_by, indent=2))}</pre></details>"
        for name, made_by in found
        if made_by
    )


def contamination(run: RunRecord | None) -> str:
    """Items of evaluation sets that were found in the training text, and what became of the documents."""
    if run is None:
        return ""
    reports = [report for folder in _report_folders(run) if (report := _report_in(folder)) is not None]
    rows, hits = [], []
    for report in reports:
        for name, source in report.sources.items():
            counts = source.contamination
            rows += [
                [
                    name,
                    file,
                    f"{number:,}",
                    f"{counts.num_documents:,}",
                    f"{counts.num_dropped:,}",
                    f"{counts.num_cut:,}",
                ]
                for file, number in sorted(counts.documents_by_file.items())
            ]
        hits += list(islice(_hits(report.folder / CONTAMINATION), _HITS))
    looked = any(source.contamination.num_documents for report in reports for source in report.sources.values())
    if not looked:
        return (
            "<h2>Contamination</h2><p>Nobody has looked for evaluation items in the training text, so scores on public "
            "tasks may be of items that the model has read. [decontaminate] in a pipeline looks for them.</p>"
        )
    if not rows:
        return "<h2>Contamination</h2><p>No item of the evaluation sets was found in the training text.</p>"
    listed = "".join(f"<li>{html.escape(hit)}</li>" for hit in hits)
    return (
        "<h2>Contamination</h2><p>Evaluation items found in the text before training. Documents that were dropped, or "
        "had the place cut out, were not trained on as they were.</p>"
        + table(
            ("source", "evaluation set", "documents with items", "looked at", "dropped", "cut"), rows, text_columns=2
        )
        + (f'<details><summary>the first places</summary><ul class="plain">{listed}</ul></details>' if hits else "")
    )


def _sets(run: RunRecord) -> list[_Set]:
    """The shards of each source: those that the run cut, or those that its recipe names."""
    data = run.table("recipe").get("data")
    sources = data.get("sources") if isinstance(data, dict) else None
    found = []
    for name, source in (sources if isinstance(sources, dict) else {}).items():
        own = run.folder / _SHARDS / name
        path = source.get("path") if isinstance(source, dict) else None
        folder = own if (own / MANIFEST).is_file() or not isinstance(path, str) else Path(path)
        try:
            found.append(_Set(name, folder, read_manifest(folder), ""))
        except DataError as error:
            found.append(_Set(name, folder, None, str(error) if (folder / MANIFEST).is_file() else "not on this disk"))
    return found


def _report_folders(run: RunRecord) -> Iterator[Path]:
    yield from dict.fromkeys((run.folder / _SHARDS, *(one.folder.parent for one in _sets(run))))


def _report_in(folder: Path) -> PrepareReport | None:
    try:
        return report_of(folder / REPORT) if (folder / REPORT).is_file() else None
    except DataError:
        return None


def _hits(path: Path) -> Iterator[str]:
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                hit: dict[str, Any] = json.loads(line)
            except ValueError:
                continue
            told = ", ".join(f"{key} {value}" for key, value in hit.items() if isinstance(value, str | int | float))
            yield told[:400]
