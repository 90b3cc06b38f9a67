"""Where a model comes from: its run, the shards of every source that it read, or the files that it was tuned on."""

from __future__ import annotations

import html
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textmill.base import units
from textmill.base.errors import DataError
from textmill.checkpoint.json_files import read_json
from textmill.data.manifest import MANIFEST, Manifest, read_manifest
from textmill.train import report_tables
from textmill.train.page import table
from textmill.train.run_record import RunRecord, is_run

SHARDS = "shards"
_TUNED_WITH = "inputs.json"  # hashes of what a run of tuning began with


def run_of(model: Path) -> Path | None:
    """The run that a model folder belongs to: its finished model, or one of its checkpoints."""
    model = model.resolve()
    above = model.parent.parent if model.parent.name == "checkpoints" else model.parent
    return above if model.is_dir() and is_run(above) else None


@dataclass(frozen=True, slots=True)
class SourceShards:
    """The shards of a source: ``manifest`` is None where they are not there or damaged, and ``trouble`` says which."""

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
    if is_tuned(run):
        return "<h2>Where it comes from</h2>" + _began_from(run) + _learned_from(run)
    rows = []
    for one in sets_of(run):
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
    if is_tuned(run):
        tune = _tuning(run)
        known = _hashes(run)
        said.append(f"It was tuned ({tune.get('kind')}) from the weights of {tune.get('model')}{known}.")
    if isinstance(origin, str) and origin:
        said.append(f"It began with the weights of {origin}.")
    if isinstance(branch, dict):
        said.append(f"It branched off step {branch.get('step')} of {branch.get('run')}.")
    return f"<p>{html.escape(' '.join(said) or 'It began with random weights.')}</p>"


def is_tuned(run: RunRecord) -> bool:
    """Whether a run tuned a model: then it read conversations, pairs or prompts, and no shards."""
    return bool(_tuning(run))


def tuned_on(run: RunRecord) -> list[Path]:
    """The files that a run of tuning learned from, as far as they are known here."""
    data = _tuning(run).get("data")
    if not isinstance(data, str):
        return []
    path = Path(data)
    return sorted(path.glob("*.jsonl")) if path.is_dir() else [path]


def _tuning(run: RunRecord) -> dict[str, Any]:
    tune = run.table("recipe").get("tune")
    return tune if isinstance(tune, dict) else {}


def _hashes(run: RunRecord) -> str:
    """What the run wrote down of its model and data, to tell them from others."""
    try:
        known = read_json(run.folder / _TUNED_WITH)
    except DataError:
        return ""
    return f" (hash of its values {str(known.get('model'))[:12]}; of the data's tokens {str(known.get('data'))[:12]})"


def _learned_from(run: RunRecord) -> str:
    rows = [
        [str(path), units.num_bytes(path.stat().st_size) if path.is_file() else "not on this disk"]
        for path in tuned_on(run)
    ]
    return table(("learned from", "size"), rows) if rows else "<p>What it learned from is not on this disk.</p>"


def _made_by(run: RunRecord) -> str:
    """How the shards were made, by their own manifests."""
    found = [(one.name, one.manifest.made_by) for one in sets_of(run) if one.manifest is not None]
    return "".join(
        f"<details><summary>how {html.escape(name)} was made</summary><pre>"
        f"{html.escape(json.dumps(made_by, indent=2))}</pre></details>"
        for name, made_by in found
        if made_by
    )


def sets_of(run: RunRecord) -> list[SourceShards]:
    """The shards of each source: those that the run cut, or those that its recipe names."""
    data = run.table("recipe").get("data")
    sources = data.get("sources") if isinstance(data, dict) else None
    found = []
    for name, source in (sources if isinstance(sources, dict) else {}).items():
        own = run.folder / SHARDS / name
        path = source.get("path") if isinstance(source, dict) else None
        folder = own if (own / MANIFEST).is_file() or not isinstance(path, str) else Path(path)
        try:
            found.append(SourceShards(name, folder, read_manifest(folder), ""))
        except DataError as error:
            found.append(
                SourceShards(name, folder, None, str(error) if (folder / MANIFEST).is_file() else "not on this disk")
            )
    return found
