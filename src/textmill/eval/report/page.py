"""The page: drawn from results, the run and the data that are on the disk; no script, no network."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from textmill.base import units
from textmill.base.errors import DataError
from textmill.base.files import write_file
from textmill.checkpoint.describe import describe
from textmill.eval.evaluated_model import fingerprint, name_of
from textmill.eval.report.contamination import Found, contamination, look_for
from textmill.eval.report.evidence import Evidence, read_evidence
from textmill.eval.report.lineage import lineage, run_of
from textmill.eval.report.scores import bits, outputs, tasks
from textmill.tokenizer.tokenizer import Tokenizer
from textmill.train import report_tables
from textmill.train.page import facts, page
from textmill.train.report_curves import curves
from textmill.train.run_record import RunRecord, read_run

REPORT = "report.html"


def write_model_report(
    model: Path,
    results: Path,
    output: Path | None = None,
    *,
    against: Sequence[str] = (),
    sha256: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Draw a model's report.

    Args:
        model: its folder or file.
        results: the folder that ``textmill eval`` wrote; what is missing there is left out.
        output: the page; ``report.html`` in ``results`` unless given.
        against: evaluation sets whose items are looked for in the run's training text.
        sha256: the model's fingerprint where it is known.
        progress: called with the tokens of the training text that are done.

    Raises:
        DataError: the model or a file of results is damaged, or the results are another model's; or there is no
            training text to look into.
        StorageError: the page cannot be written.
    """
    path = output or results / REPORT
    folder = run_of(model)
    run = None if folder is None else read_run(folder)
    sha256 = sha256 or fingerprint(model)
    evidence = read_evidence(results, sha256)
    found = None
    if against:
        if run is None:
            raise DataError(
                f"{model} is not part of a run, so what it was trained on is not known: leave --against out"
            )
        found = look_for(run, lambda: Tokenizer.load(model), against, progress=progress)
    write_file(path, draw_model_report(model, sha256, evidence, run, found))
    return path


def draw_model_report(
    model: Path, sha256: str, evidence: Evidence, run: RunRecord | None, found: Found | None = None
) -> str:
    """A model's report as HTML: the same bytes for the same files."""
    sections = [facts(list(_facts(model, sha256, run))), bits(evidence.bits), tasks(evidence.tasks)]
    if not (evidence.bits or evidence.tasks):
        sections.append("<p>Nothing has been measured yet: textmill eval MODEL --data FILES --tasks FILES.</p>")
    if run is not None:
        sections += [
            report_tables.validation(run.history),
            curves(run.history),
            report_tables.evaluations(run.history),
            report_tables.samples(run.history),
        ]
    sections.append(outputs(evidence.tasks))
    sections += [lineage(run), contamination(run, found), _configuration(evidence, run)]
    return page(f"{name_of(model)} · textmill model", sections)


def _facts(model: Path, sha256: str, run: RunRecord | None) -> Iterator[tuple[str, str]]:
    found = describe(model)
    sizes = found.sizes
    yield "parameters", units.count(found.num_parameters)
    yield "format", found.format
    for key, name in (
        ("num_hidden_layers", "layers"),
        ("hidden_size", "width"),
        ("vocab_size", "vocabulary"),
        ("max_position_embeddings", "context"),
    ):
        if isinstance(sizes.get(key), int):
            yield name, f"{sizes[key]:,}"
    yield "weights on disk", units.num_bytes(found.file_bytes)
    yield "sha256", sha256[:16]
    if run is not None:
        yield "run", run.name
        yield "steps", f"{run.history.step:,}"
        tokens = run.history.last("tokens")
        if tokens is not None:
            yield "tokens seen", units.count(tokens)


def _configuration(evidence: Evidence, run: RunRecord | None) -> str:
    settings = [one.header for one in (*evidence.bits, *evidence.tasks)]
    blocks: list[tuple[str, Any]] = [("what was measured with what", settings)] if settings else []
    if run is not None:
        blocks.append(("the recipe, the plan and the environment of the run", run.config))
    details = "".join(
        f"<details><summary>{title}</summary><pre>{html.escape(json.dumps(value, indent=2))}</pre></details>"
        for title, value in blocks
    )
    return f"<h2>Configuration</h2>{details}" if details else ""
