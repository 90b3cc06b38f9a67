"""Sources of which nothing is there, nothing stays, or not what was: told before hours go into what comes after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice

from textmill.base import units
from textmill.base.errors import DataError
from textmill.data.duplicates import Found
from textmill.data.job import Job
from textmill.data.read_stage import Units
from textmill.data.unit_report import UnitReport
from textmill.data.work_folder import WorkFolder
from textmill.text.reading import changes

_MAX_TOLD = 5


def read_reports(work: WorkFolder, done: Units) -> dict[str, UnitReport]:
    """Add up what happened in the units of each source."""
    reports = {}
    for name, names in done.items():
        reports[name] = UnitReport()
        for unit in names:
            reports[name].add(UnitReport.read(work.read / name / unit))
    return reports


def check_texts(job: Job, reports: Mapping[str, UnitReport]) -> None:
    """Raise ``DataError`` where a source has no text, or its rules leave none."""
    for name, report in reports.items():
        path = job.pipeline.sources[name].path
        if not report.counts["read"]:
            count = report.counts["bad"]
            are_bad = f"{count:,} {units.plural(count, 'record')} {'is' if count == 1 else 'are'} bad"
            bad = f" ({are_bad}, the first: {report.bad[0]})" if report.bad else ""
            raise DataError(f'the source "{name}" at {path} holds no text{bad}; check its path')
        if not report.counts["kept"]:
            drops = ", ".join(f"{rule} {count:,}" for rule, count in report.drops.counts.items())
            count = report.counts["read"]
            raise DataError(
                f'{_all(count)} of the source "{name}" at {path} {"is" if count == 1 else "are"} dropped ({drops}); '
                f"give it rules that fit it, in [sources.{name}.filter], or leave it out"
            )


def check_kept(job: Job, reports: Mapping[str, UnitReport], found: Found) -> None:
    """Raise ``DataError`` where all documents of a source have come before."""
    for name, kept in found.sources.items():
        if not kept.num_documents:
            raise DataError(
                f'{_all(reports[name].counts["kept"])} of the source "{name}" at '
                f"{job.pipeline.sources[name].path} came before, in another source or in what is held out; "
                "leave the source out"
            )


def _all(count: int) -> str:
    return "the only document" if count == 1 else f"all {count:,} documents"


def late_changes(job: Job) -> Iterator[str]:
    """Tell of files that changed after they were read, the first few: the output is right, and of what they were."""
    files = (file for of_source in job.units.values() for unit in of_source for file in unit.files)
    for path, what in islice(changes(files), _MAX_TOLD):
        yield f"{path} changed after it was read: {what}. The sets hold what was read; the next start makes them anew"
