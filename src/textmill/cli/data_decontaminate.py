"""``textmill data decontaminate``: training records without those that hold items of evaluation sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from textmill.base import units
from textmill.base.errors import ConfigError
from textmill.cli.arguments import WholeNumber, program
from textmill.cli.bad_records import tell_of_bad
from textmill.cli.output import Output

_Paths = Annotated[list[str], Parameter(consume_multiple=True, negative="")]
_Names = Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")]


def decontaminate(
    files: list[str],
    /,
    *,
    against: _Paths,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    report: Path | None = None,
    profile: Literal["finemath", "cosmopedia", "datatrove", "dolma", "bigram"] = "finemath",
    ngram: WholeNumber | None = None,
    min_ratio: float | None = None,
    min_words: WholeNumber | None = None,
    action: Literal["drop", "cut", "report"] = "drop",
    on_bad: Literal["stop", "skip"] = "stop",
    max_document_mb: WholeNumber = 256,
    fields: _Names = None,
    eval_fields: _Names = None,
    threads: WholeNumber | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Copy training records, without those that hold items of evaluation sets.

    For example:
        textmill data decontaminate web.jsonl --against gsm8k.jsonl -o clean.jsonl
        textmill data decontaminate sft.jsonl --against evals/*.jsonl -o clean.jsonl
        textmill data decontaminate "dpo/*.jsonl.gz" --against e.jsonl -o c.jsonl
        textmill data decontaminate a.jsonl --against e.jsonl --profile bigram -o c.jsonl
        textmill data decontaminate a.jsonl --against e.jsonl --action report --report h.jsonl

    Records may be for pretraining (text), chats (messages, conversations),
    instructions (instruction, input, output) or preferences (prompt, chosen,
    rejected). Those that stay as they are are copied byte for byte.

    Parameters
    ----------
    files
        .jsonl files or globs, packed or not (.gz, .zst). What a pipeline reads of other kinds (.csv, .parquet, ...) it
        decontaminates itself.
    against
        .jsonl files of evaluation sets: an item a line, its question in question, prompt, problem, text or the like.
    output
        The .jsonl file to write.
    report
        A .jsonl file for what was found: item, document, span in characters, n-gram, ratio, action; and for each bad
        record.
    profile
        How items are found: finemath (13 words in a row, then the longest common subsequence of words), cosmopedia
        (10 words, then matching blocks of characters), datatrove (12 words of the answer), dolma (whole paragraphs),
        bigram (pairs of words, for short questions).
    ngram
        Words in a row that lead to an item, in place of the profile's.
    min_ratio
        How much of an item must be there, in place of the profile's.
    min_words
        Items with fewer words are not looked for, in place of the profile's.
    action
        What becomes of a record with an item: drop leaves it out, report copies it, cut takes what was found out of its
        text with 200 characters on either side. A chat or a record of several texts is left out whole.
    on_bad
        What becomes of a record that cannot be read: stop ends with its place, skip leaves it out and counts it.
    max_document_mb
        A longer record is a bad one, in 2^20 bytes.
    fields
        Fields of a record that hold its text, dotted for nested ones.
    eval_fields
        Fields of an item that make its question, dotted for nested ones.
    threads
        One for each core unless given.
    json
        Print the counts as JSON.
    """
    from textmill.text.decontamination import Decontaminator
    from textmill.text.decontamination.record_files import decontaminate_files
    from textmill.text.decontamination.report import too_short
    from textmill.text.folders import paths_of
    from textmill.text.reading import BadRecords

    out = Output()
    if output is None and action != "report":
        raise ConfigError("there is no file to write to: name one with -o, or use --action report")
    for name, value in (("--threads", threads), ("--max-document-mb", max_document_mb)):
        if value is not None and value < 1:
            raise ConfigError(f"{name} is {value}, and must be 1 or more")
    decontaminator = Decontaminator.against(
        against, profile, action=action, fields=eval_fields, ngram=ngram, min_ratio=min_ratio, min_words=min_words
    )
    if (told := too_short(decontaminator, "--profile bigram")) is not None:
        out.warning(told)
    paths = paths_of(files)
    bad = BadRecords(on_bad)
    with out.bar("looking for items", sum(path.stat().st_size for path in paths if path.is_file())) as bar:
        counts = decontaminate_files(
            paths,
            decontaminator,
            output,
            report=report,
            fields=fields,
            on_bad=bad,
            max_document_bytes=max_document_mb << 20,
            threads=threads or 0,
            progress=bar.update,
        )
    tell_of_bad(out, bad)
    summary = counts.summary(decontaminator) | {"bad": bad.count, "first_bad": bad.first}
    if json:
        out.json(summary)
    else:
        _print(out, summary)
    if report:
        out.say(f"what was found is in {report}")
    elif counts.hits_by_item:
        out.hint(f"what was found, and where: --report hits.jsonl, and {program()} data decontaminate --help")
    if output and not json:
        out.data(str(output))
    return 0


def _print(out: Output, summary: dict[str, Any]) -> None:
    share = 100 * summary["dropped"] / max(1, summary["documents"])
    cut = f", {summary['cut']:,} cut" if summary["cut"] else ""
    records = f"{units.count(summary['documents'])} {units.plural(summary['documents'], 'record')}"
    out.data(f"{records}, {summary['dropped']:,} dropped ({share:.2g} %){cut}")
    width = max(len(name) for name in summary["files"])
    for name, of_file in summary["files"].items():
        too_short = f"; {of_file['too_short']:,} too short" if of_file["too_short"] else ""
        record = units.plural(of_file["documents"], "record")
        found = f"{of_file['found']:,} of {of_file['items']:,} items found"
        out.data(f"{name:<{width}}  {found}, in {of_file['documents']:,} {record}{too_short}")
