"""``textmill data show``: what shard sets hold."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.text import Text

from textmill.base import units
from textmill.base.errors import DataError
from textmill.cli.data_report import report_lines, sample_lines
from textmill.cli.output import Output, for_terminal
from textmill.data.manifest import MANIFEST

if TYPE_CHECKING:
    from textmill.data.prepare_report import PrepareReport
    from textmill.data.set_facts import SetFacts
    from textmill.data.shards import ShardSet

_BAR_WIDTH = 30
_NAME_WIDTH = 14


def show(
    folder: Path,
    /,
    *,
    verify: Annotated[bool, Parameter(negative="")] = False,
    samples: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Show what shard sets hold: documents, tokens, bytes, how long documents are, how they are packed.

    For example:
        textmill data show shards/web
        textmill data show runs/tiny/shards --verify
        textmill data show shards --samples
        textmill data show shards --json

    Nothing but manifests and indexes is read. With --verify every file is hashed and held against its manifest, packing
    tables against their own checksums; a damaged one is named with its first damaged block, and the exit code is 3.

    Parameters
    ----------
    folder
        A shard set, or a folder with several below it.
    verify
        Check the sha256 of every file.
    samples
        Show the beginnings of a few documents that each rule dropped, and the biggest clusters of duplicates.
    json
        Print everything as JSON.
    """
    from textmill.data.set_facts import describe_set, find_sets
    from textmill.data.shards import ShardSet

    out = Output()
    paths = find_sets(folder)
    if not paths:
        raise DataError(_no_set(folder))
    sets = [ShardSet(path) for path in paths]
    facts = [describe_set(shards) for shards in sets]
    report = _read_report(folder)
    for damage in (damage for each in facts for damage in each.damage):
        out.warning(damage)
    if verify:
        _verify(out, sets)
    if json:
        table = report.to_table() if report is not None else None
        out.json({"sets": [_as_table(each) for each in facts], "report": table, "verified": verify})
        return 0
    for number, each in enumerate(facts):
        _draw(out, each, is_first=number == 0)
    if len(facts) > 1:
        _draw_sum(out, facts)
    if report is not None:
        _draw_report(out, report, samples=samples)
    if verify:
        out.say(f"all files are what their manifests say: {units.num_bytes(sum(each.file_bytes for each in facts))}")
    return 0


def _verify(out: Output, sets: list[ShardSet]) -> None:
    total, done = sum(shards.num_file_bytes for shards in sets), 0
    with out.bar("checking", total) as bar:
        for shards in sets:
            shards.verify(
                lambda num_bytes, before=done: bar.update(before + num_bytes, units.num_bytes(before + num_bytes))
            )
            done += shards.num_file_bytes


def _as_table(facts: SetFacts) -> dict[str, Any]:
    from textmill.base.config import to_table

    packing = [to_table(each) | {"padding_share": each.padding_share} for each in facts.packing]
    return to_table(facts) | {"bytes_per_token": facts.bytes_per_token, "packing": packing}


def _draw(out: Output, facts: SetFacts, *, is_first: bool) -> None:
    if not is_first:
        out.data("")
    out.data(for_terminal(f"{facts.manifest.source}  ({facts.folder})"))
    for name, value in _lines(facts):
        out.data(for_terminal(f"{name:<{_NAME_WIDTH}}{value}"))
    out.data("tokens of a document")
    most = max(each.num_documents for each in facts.lengths)
    for each in facts.lengths:
        line = Text(f"  {_range(each.low, each.high):>19}  ")
        line.append(_bar(each.num_documents / most), style="cyan")
        line.append(
            f" {each.num_documents / facts.manifest.num_documents:6.1%} of documents,"
            f" {each.num_tokens / facts.manifest.num_tokens:6.1%} of tokens"
        )
        out.styled(line)


def _no_set(folder: Path) -> str:
    from textmill.data.work_folder import NAME as WORK

    if not folder.is_dir():
        return f"there is no folder {folder}; name one with a shard set in it, or below it"
    if (folder / WORK).is_dir():
        went = "data prepare is at work on it, or was interrupted; the same command goes on"
        return f"{folder} holds no shard set yet: {went}"
    return f"{folder} holds no shard set: there is no {MANIFEST} in it, nor in folders below it"


def _lines(facts: SetFacts) -> Iterable[tuple[str, str]]:
    manifest = facts.manifest
    yield "documents", f"{manifest.num_documents:,}"
    yield "tokens", f"{manifest.num_tokens:,} ({units.count(manifest.num_tokens)}), {manifest.dtype}"
    yield "text", f"{units.num_bytes(manifest.num_bytes)}, {facts.bytes_per_token:.2f} bytes a token"
    yield "files", f"{len(manifest.files)} of tokens; {units.num_bytes(facts.file_bytes)} in all"
    yield (
        "tokenizer",
        f"{manifest.vocab_size:,} ids, hash {manifest.tokenizer_sha256[:12]}, {manifest.document_end} ends a document",
    )
    yield "document ids", "kept" if facts.has_names else "not kept"
    if facts.duplicates is not None:
        yield "duplicates", f"{facts.duplicates:,} left out, counted for each document that stayed"
    for each in facts.packing:
        yield (
            "packed for",
            f"{each.context:,} tokens: {each.num_rows:,} {units.plural(each.num_rows, 'row')}, "
            f"{each.padding_share:.3%} padding, {each.num_cut:,} {units.plural(each.num_cut, 'document')} cut",
        )
    if manifest.made_by:
        yield "made by", f"a pipeline, whose settings are in {MANIFEST}"


def _draw_sum(out: Output, facts: list[SetFacts]) -> None:
    tokens = sum(each.manifest.num_tokens for each in facts)
    documents = sum(each.manifest.num_documents for each in facts)
    num_bytes = sum(each.manifest.num_bytes for each in facts)
    out.data(
        f"\n{len(facts)} sets: {documents:,} documents, {tokens:,} tokens ({units.count(tokens)}), "
        f"{units.num_bytes(num_bytes)} of text"
    )


def _range(low: int, high: int) -> str:
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _bar(share: float) -> str:
    """Draw a share; what is there at all is seen."""
    length = max(1, round(share * _BAR_WIDTH)) if share > 0 else 0
    return ("█" * length).ljust(_BAR_WIDTH)


def _read_report(folder: Path) -> PrepareReport | None:
    """Read the report of the pipeline that made the sets, in their folder or the one above, where there is one."""
    from textmill.data.prepare_report import REPORT, report_of

    for path in (folder / REPORT, folder.resolve().parent / REPORT):
        if path.is_file():
            return report_of(path)
    return None


def _draw_report(out: Output, report: PrepareReport, *, samples: bool) -> None:
    out.data("\nhow they were made")
    for line in report_lines(report):
        out.data(for_terminal(f"  {line}"))
    if samples:
        for line in sample_lines(report):
            out.data(for_terminal(line))
