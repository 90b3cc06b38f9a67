"""Files of training records, copied without those that hold items of evaluation sets."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from textmill.base.errors import ConfigError, DataError
from textmill.base.files import new_file
from textmill.text.batches import in_batches
from textmill.text.compression import PACKED_SUFFIXES, open_unpacked
from textmill.text.decontamination.decontaminator import Decontaminator
from textmill.text.decontamination.report import ContaminationCounts, hit_record
from textmill.text.decontamination.training_records import read_record, text_of_record
from textmill.text.text_batch import TextBatch

_BATCH_BYTES = 8 << 20
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class _Line:
    data: bytes
    text: str | None  # None where the line is blank
    id: str
    disk_bytes: int  # how far reading is


def decontaminate_files(
    files: Sequence[Path],
    decontaminator: Decontaminator,
    target: Path | None,
    *,
    report: Path | None = None,
    fields: Sequence[str] | None = None,
    threads: int = 0,
    progress: Progress = lambda _: None,
) -> ContaminationCounts:
    """Copy the records of ``.jsonl`` files (also ``.gz``, ``.zst``) that hold no item, byte for byte, in their order.

    Args:
        files: to read; all of them go into one file.
        decontaminator: what to look for; its action is ``drop``, or ``report``, which copies every record.
        target: what to write, whole or not at all; None writes nothing.
        report: a ``.jsonl`` file that gets a line for each hit, its span counted in the characters of the record's
            texts joined by line ends.
        fields: of a record, as ``text_of_record`` takes them.
        threads: 0 is one for each core.
        progress: gets the bytes of files that are read.

    Raises:
        ConfigError: the action is ``cut``, or a file to write is packed or one to read.
        DataError: a file cannot be read, or a line is no record with text.
    """
    if decontaminator.action == "cut":
        raise ConfigError("records are copied byte for byte, so nothing is cut out of them: use the action drop")
    _check_targets(files, target, report)
    counts = ContaminationCounts()
    with contextlib.ExitStack() as stack:
        clean, hits = (stack.enter_context(new_file(path)) if path else None for path in (target, report))
        ends_line = True
        for lines in in_batches(_read_lines(files, fields), lambda line: len(line.data), _BATCH_BYTES):
            kept = _kept(lines, decontaminator, counts, hits, threads)
            if clean:
                ends_line = _copy(lines, kept, clean, ends_line=ends_line)
            progress(lines[-1].disk_bytes)
    return counts


def _copy(lines: list[_Line], kept: list[bool], clean: BinaryIO, *, ends_line: bool) -> bool:
    """Write the lines that stay; a file's last line may have no end, which it gets where another one follows."""
    for line in (line for line, is_kept in zip(lines, kept, strict=True) if is_kept):
        clean.write(line.data if ends_line else b"\n" + line.data)
        ends_line = line.data.endswith(b"\n")
    return ends_line


def _kept(
    lines: list[_Line],
    decontaminator: Decontaminator,
    counts: ContaminationCounts,
    hits: BinaryIO | None,
    threads: int,
) -> list[bool]:
    """Say which lines stay; count and report what is found."""
    records = [number for number, line in enumerate(lines) if line.text is not None]
    found = decontaminator.apply(TextBatch.of([lines[number].text or "" for number in records]), threads)
    counts.add(found, decontaminator)
    if hits:
        for hit in found.hits:
            record = hit_record(hit, decontaminator, lambda document: lines[records[document]].id)
            hits.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
    kept = [True] * len(lines)
    for number, is_kept in zip(records, found.kept.tolist(), strict=True):
        kept[number] = is_kept
    return kept


def _read_lines(files: Sequence[Path], fields: Sequence[str] | None) -> Iterator[_Line]:
    before = 0
    for path in files:
        offset = 0
        with open_unpacked(path) as (file, disk):
            for number, data in enumerate(file, start=1):
                text = None
                if data.strip():
                    record = read_record(data, path, number, offset)
                    text = text_of_record(record, f"{path}, line {number}", fields)
                    _check_encodable(text, path, number)
                offset += len(data)
                yield _Line(data, text, f"{path.name}:{number}", before + disk.tell())
        before += path.stat().st_size


def _check_encodable(text: str, path: Path, number: int) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{path}, line {number}: the text holds half of a surrogate pair") from error


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
