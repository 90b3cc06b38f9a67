"""``textmill data inspect``: what a step of a run was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from textmill.base.errors import ConfigError
from textmill.cli.output import Output, for_terminal

if TYPE_CHECKING:
    from textmill.data.row_records import DocumentRecord, RowRecord
    from textmill.data.shards import ShardSet
    from textmill.tokenizer.tokenizer import Tokenizer

_PREVIEW_TOKENS = 24
_PREVIEW_COLUMNS = 56


def inspect(
    run: Path,
    /,
    *,
    step: int,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Name the documents that a step of a run was trained on: source, epoch, place, and how each begins.

    For example:
        textmill data inspect runs/tiny --step 120
        textmill data inspect runs/tiny --step 120 --json

    Steps are numbered as in the run's log and report: 1 is the first. Any step is found at once, whether it has been
    trained or not, because a batch depends on nothing but shards, seed and step.

    Parameters
    ----------
    run
        A run's folder.
    step
        The step, from 1 on.
    json
        Print everything as JSON.
    """
    from textmill.base.config import to_table
    from textmill.tokenizer.tokenizer import Tokenizer
    from textmill.train.corpus import TOKENIZER, open_shards
    from textmill.train.interventions import load_interventions
    from textmill.train.run import load_run
    from textmill.train.run_loader import make_loader

    if not (run / "config.json").is_file():
        raise ConfigError(f"{run} holds no run: config.json is missing")
    if load_run(run).recipe.tune is not None:
        raise ConfigError(
            f"{run} tunes a model, and has no batches of documents; its folder and report say what it saw"
        )
    if step < 1:
        raise ConfigError(f"step is {step}, and must be 1 or more: 1 is a run's first step")
    loaded = load_run(run)
    if step > loaded.plan.num_steps:
        raise ConfigError(f"step is {step:,}, and the run has {loaded.plan.num_steps:,}")
    context = loaded.plan.stage_of(step - 1).context
    tokenizer = Tokenizer.load(run / TOKENIZER)
    shards, _ = open_shards(run, loaded.recipe, tokenizer)
    loader = make_loader(loaded, load_interventions(run), shards, tokenizer)
    records, batch = loader.describe(step - 1), loader.skipped.data_step(step - 1)
    out = Output()
    if json:
        rows = [to_table(record) for record in records]
        for row, record in zip(rows, records, strict=True):
            for table, document in zip(row["documents"], record.documents, strict=True):
                table["text"] = _beginning(document, shards[record.source], tokenizer)
        out.json({"run": str(run), "step": step, "batch": batch, "context": context, "rows": rows})
        return 0
    out.data(for_terminal(f"step {step:,} of {run}: batch {batch:,}, {len(records)} rows of {context:,} tokens"))
    _draw(out, records, shards, tokenizer)
    return 0


def _draw(out: Output, records: Sequence[RowRecord], shards: Mapping[str, ShardSet], tokenizer: Tokenizer) -> None:
    for record in records:
        out.data(for_terminal(f"row {record.row}  {record.source}, epoch {record.epoch + 1}"))
        for document in record.documents:
            text = _beginning(document, shards[record.source], tokenizer)
            name = f"{document.name}, " if document.name is not None else ""
            out.data(
                for_terminal(
                    f"    document {document.number:,}: {name}tokens {document.start:,} to "
                    f"{document.start + document.length - 1:,}, at byte {document.byte:,} of {document.file}"
                )
            )
            out.data(for_terminal(f"        {_one_line(text)}"))


def _beginning(document: DocumentRecord, shards: ShardSet, tokenizer: Tokenizer) -> str:
    """Decode the first tokens of a stretch; the id that ends a document is no text."""
    first = shards.index.span(document.number)[0] + document.start
    ids: Any = shards.tokens(first, first + min(document.length, _PREVIEW_TOKENS)).tolist()
    return tokenizer.decode([i for i in ids if i != shards.manifest.document_end])


def _one_line(text: str) -> str:
    """Show a text in quotes on one line, cut where it is long."""
    shown = repr(text)
    return shown if len(shown) <= _PREVIEW_COLUMNS else f"{shown[: _PREVIEW_COLUMNS - 2]}…{shown[0]}"
