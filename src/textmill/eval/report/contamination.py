"""Items of evaluation sets in the training text: what its preparation found, and what looking now finds."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from textmill.base.errors import DataError
from textmill.data.prepare_report import REPORT, PrepareReport, report_of
from textmill.data.shards import ShardSet
from textmill.data.unit_report import CONTAMINATION
from textmill.eval.report.lineage import SHARDS, is_tuned, sets_of, tuned_on
from textmill.text.decontamination import ContaminationCounts, Decontaminator
from textmill.text.text_batch import TextBatch
from textmill.tokenizer.tokenizer import Tokenizer
from textmill.train.page import table
from textmill.train.run_record import RunRecord

_HITS = 50
_BATCH_TOKENS = 1 << 21
_LINES_AT_ONCE = 4096
_TITLE = "<h2>Contamination</h2>"
_NOBODY = (
    "<p>Nobody has looked for evaluation items in the training text, so scores on public tasks may be of items that "
    "the model has read. [decontaminate] in a pipeline looks for them, and so does textmill eval report MODEL "
    "--against TASKS.</p>"
)
_OF_THE_BASE = "<p>What the model was trained on before it was tuned is not looked into here.</p>"


@dataclass(frozen=True, slots=True)
class Found:
    """What looking for the items of evaluation sets found.

    Attributes:
        summary: as ``ContaminationCounts.summary`` has it: by evaluation file its items, and how many were found.
        places: the first places, for people.
    """

    summary: dict[str, Any]
    places: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Texts:
    """Some texts of one source, each with its place in it, and how many tokens they are, where that is known."""

    source: str
    places: list[str]
    texts: list[str | bytes]
    num_tokens: int = 0


def look_for(
    run: RunRecord,
    load_tokenizer: Callable[[], Tokenizer],
    paths: Sequence[str],
    *,
    profile: str = "finemath",
    progress: Callable[[int], None] | None = None,
) -> Found:
    """Look for the items of evaluation sets in all that a run trained on: its shards, or the files that it tuned on.

    Args:
        load_tokenizer: opens the run's, which makes text of its shards.
        paths: .jsonl files, task files among them.
        profile: how items are found, as ``textmill data decontaminate`` has it.
        progress: called with the tokens done so far.

    Raises:
        DataError: the shards or files are not on this disk, or a file cannot be read.
    """
    decontaminator = Decontaminator.against(paths, profile, action="report")
    counts, places, done = ContaminationCounts(), list[str](), 0
    for some in _lines(run) if is_tuned(run) else _documents(run, load_tokenizer()):
        found = decontaminator.apply(TextBatch.of(some.texts))
        counts.add(found, decontaminator)
        for hit in found.hits[: _HITS - len(places)]:
            places.append(
                f"{decontaminator.items[hit.item].id} in {some.source}, {some.places[hit.document]}, characters "
                f"{hit.begin:,} to {hit.end:,}: {hit.ngram}"
            )
        done += some.num_tokens
        if progress is not None:
            progress(done)
    return Found(counts.summary(decontaminator), places)


def _documents(run: RunRecord, tokenizer: Tokenizer) -> Iterator[_Texts]:
    """The documents of a run's shards."""
    for one in sets_of(run):
        if one.manifest is None:
            raise DataError(
                f"the training text of {one.name} cannot be looked into: {one.folder}: {one.trouble}. Put its shards "
                "back, or leave --against out"
            )
        shards = ShardSet(one.folder)
        for numbers in _batches(shards):
            documents = [shards.document(number) for number in numbers]
            yield _Texts(
                one.name,
                [f"document {number:,}" for number in numbers],
                [tokenizer.decode_bytes(document.tolist()) for document in documents],
                sum(map(len, documents)),
            )


def _lines(run: RunRecord) -> Iterator[_Texts]:
    """All that the lines of files say that a run tuned on, whatever their keys."""
    paths = tuned_on(run)
    missing = next((path for path in paths if not path.is_file()), None)
    if missing is not None or not paths:
        raise DataError(
            f"what {run.name} was tuned on cannot be looked into: {missing or 'it'} is not on this disk. Put it back, "
            "or leave --against out"
        )
    for path in paths:
        with path.open("rb") as lines:
            numbered = enumerate(lines, start=1)
            while batch := list(islice(numbered, _LINES_AT_ONCE)):
                yield _Texts(
                    path.name,
                    [f"line {number:,}" for number, _ in batch],
                    [
                        "\n".join(_strings(_parsed(line, f"{path}:{number}"))).encode(errors="replace")
                        for number, line in batch
                    ],
                )


def _parsed(line: bytes, where: str) -> Any:
    try:
        return json.loads(line) if line.strip() else None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not valid JSON: {error}") from error


def _strings(value: Any) -> Iterator[str]:
    """The texts in a JSON value, in their order; keys are none."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _strings(one)


def _batches(shards: ShardSet) -> Iterator[list[int]]:
    """The numbers of documents, some million tokens at once."""
    batch: list[int] = []
    tokens = 0
    for number in range(shards.manifest.num_documents):
        batch.append(number)
        tokens += len(shards.document(number))
        if tokens >= _BATCH_TOKENS:
            yield batch
            batch, tokens = [], 0
    if batch:
        yield batch


def contamination(run: RunRecord | None, found: Found | None) -> str:
    """The section of the page."""
    if run is None:
        return ""
    if is_tuned(run):
        return _TITLE + (_NOBODY if found is None else _now(found)) + _OF_THE_BASE
    looked, before = "" if found is None else _now(found), _before(run)
    return _TITLE + looked + (before or ("" if looked else _NOBODY))


def _now(found: Found) -> str:
    rows = [
        [name, *(f"{of_file[key]:,}" for key in ("items", "found", "documents", "too_short"))]
        for name, of_file in found.summary["files"].items()
    ]
    return (
        f"<p>Looked for in the {found.summary['documents']:,} documents that the run trained on, by runs of "
        f"{found.summary['ngram']} words that both have. Items of too few words cannot be found.</p>"
        + table(("evaluation set", "items", "found", "documents with one", "too short"), rows)
        + _listed(found.places)
    )


def _listed(places: Sequence[str]) -> str:
    items = "".join(f"<li>{html.escape(place)}</li>" for place in places)
    return f'<details><summary>the first places</summary><ul class="plain">{items}</ul></details>' if items else ""


def _before(run: RunRecord) -> str:
    """Items of evaluation sets that were found in the training text, and what became of the documents.

    Nothing where nobody looked for them.
    """
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
        return ""
    if not rows:
        return "<p>No item of the evaluation sets was found in the training text.</p>"
    return (
        "<p>Evaluation items found in the text before training. Documents that were dropped, or "
        "had the place cut out, were not trained on as they were.</p>"
        + table(
            ("source", "evaluation set", "documents with items", "looked at", "dropped", "cut"), rows, text_columns=2
        )
        + _listed(hits)
    )


def _report_folders(run: RunRecord) -> Iterator[Path]:
    yield from dict.fromkeys((run.folder / SHARDS, *(one.folder.parent for one in sets_of(run))))


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
