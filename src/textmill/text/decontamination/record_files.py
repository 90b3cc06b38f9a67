"""Files of training records, copied without those that hold items of evaluation sets, or without these items."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

from textmill.base.errors import ConfigError
from textmill.base.files import new_file
from textmill.text.batches import in_batches
from textmill.text.compression import PACKED_SUFFIXES
from textmill.text.decontamination.cut_lines import cut_lines, json_line
from textmill.text.decontamination.decontaminator import Decontaminator
from textmill.text.decontamination.record_lines import RecordLine, read_record_lines
from textmill.text.decontamination.report import ContaminationCounts, hit_record
from textmill.text.reading import BadRecord, BadRecords, OnBad
from textmill.text.reading.source import MAX_DOCUMENT_BYTES
from textmill.text.text_batch import TextBatch

_BATCH_BYTES = 8 << 20
Progress = Callable[[int], None]


def decontaminate_files(
    files: Sequence[Path],
    decontaminator: Decontaminator,
    target: Path | None,
    *,
    report: Path | None = None,
    fields: Sequence[str] | None = None,
    on_bad: OnBad | None = None,
    max_document_bytes: int = MAX_DOCUMENT_BYTES,
    threads: int = 0,
    progress: Progress = lambda _: None,
) -> ContaminationCounts:
    """Copy the records of ``.jsonl`` files (also ``.gz``, ``.zst``) that hold no item, byte for byte, in their order.

    Args:
        files: to read; all of them go into one file.
        decontaminator: what to look for; of its actions ``report`` copies every record, and ``cut`` writes what is
            left of a record whose text is one string; one with several texts, or with messages, is dropped.
        target: what to write, whole or not at all; None writes nothing.
        report: a ``.jsonl`` file that gets a line for each hit, its span counted in the characters of the record's
            texts joined by line ends, and for each bad record.
        fields: of a record, as ``text_of_record`` takes them.
        on_bad: is called for each bad record, which is left out if it returns; ``DataError`` unless given.
        max_document_bytes: a line with more is a bad record.
        threads: 0 is one for each core.
        progress: gets the bytes of files that are read.

    Raises:
        ConfigError: a file to write is packed or one to read.
        DataError: a file cannot be read or changed meanwhile, or as ``on_bad`` says.
    """
    _check_targets(files, target, report)
    counts = ContaminationCounts()
    with contextlib.ExitStack() as stack:
        clean, hits = (stack.enter_context(new_file(path)) if path else None for path in (target, report))
        told = functools.partial(_tell_of_bad, on_bad or BadRecords("stop"), hits)
        ends_line = True
        read = read_record_lines(files, fields, told, max_document_bytes)
        for lines in in_batches(read, lambda line: len(line.data), _BATCH_BYTES):
            kept = _what_stays(lines, decontaminator, counts, hits, fields=fields, threads=threads)
            if clean:
                ends_line = _copy(kept, clean, ends_line=ends_line)
            progress(lines[-1].disk_bytes)
    return counts


def _tell_of_bad(on_bad: OnBad, report: BinaryIO | None, bad: BadRecord) -> None:
    on_bad(bad)
    if report:
        report.write(json_line({"document": bad.path, "place": bad.place, "what": bad.what, "action": "bad"}))


def _copy(lines: Iterable[bytes], clean: BinaryIO, *, ends_line: bool) -> bool:
    """Write lines; a file's last line may have no end, which it gets where another one follows."""
    for line in lines:
        clean.write(line if ends_line else b"\n" + line)
        ends_line = line.endswith(b"\n")
    return ends_line


def _what_stays(
    lines: list[RecordLine],
    decontaminator: Decontaminator,
    counts: ContaminationCounts,
    report: BinaryIO | None,
    *,
    fields: Sequence[str] | None,
    threads: int,
) -> list[bytes]:
    """Return the lines that stay, or what is left of them; count and report what is found."""
    records = [line for line in lines if line.text is not None]
    found = decontaminator.apply(TextBatch.of([line.text or "" for line in records]), threads)
    found, now = cut_lines([line.data for line in records], found, fields)
    counts.add(found, decontaminator)
    if report:
        for hit in found.hits:
            report.write(json_line(hit_record(hit, decontaminator, lambda document: records[document].id)))
    what_became = zip(now, found.kept.tolist(), strict=True)
    stays = [(line.data, True) if line.text is None else next(what_became) for line in lines]
    return [data for data, is_kept in stays if is_kept]


def _check_targets(files: Sequence[Path], target: Path | None, report: Path | None) -> None:
    for path in (target, report):
        if path is None:
            continue
        if path.suffix.lower() in PACKED_SUFFIXES:
            raise ConfigError(f"{path} would be packed, and files are written as they are: end it in .jsonl")
        if any(path.resolve() == file.resolve() for file in files):
            raise ConfigError(f"{path} is read; write to another file")
    if target and report and target.resolve() == report.resolve():
        raise ConfigError(f"{target} cannot take both the records and the report")
