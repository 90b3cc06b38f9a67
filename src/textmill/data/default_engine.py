"""The engine where none is asked for: this process and its threads where all is native, else a process for each core.

Native steps use all cores from one process, with one tokenizer and one memory of words. What is Python, or unpacks a
file, works on one core of a process.
"""

from __future__ import annotations

from textmill.data.engines.local import LocalEngine
from textmill.data.job import Job
from textmill.data.pipeline import SourceTable
from textmill.text.reading import Unit

_NATIVE_FORMATS = ("jsonl", "text")


def default_engine(job: Job) -> LocalEngine:
    """Make the engine that is quicker for a job; the output is the same on either."""
    sources = job.pipeline.sources
    is_native = all(
        _are_steps_native(job.pipeline.steps_of(name)) and all(map(_is_reading_native, job.units[name]))
        for name in sources
    )
    return LocalEngine(1 if is_native else None)


def _are_steps_native(source: SourceTable) -> bool:
    clean, language, rules = source.clean, source.language, source.filter
    assert clean is not None
    assert language is not None
    assert rules is not None
    return not (clean.unicode or clean.mask or language.keep or rules.bad_words or rules.blocked_urls)


def _is_reading_native(unit: Unit) -> bool:
    return all(file.format in _NATIVE_FORMATS and not file.packing and not file.member for file in unit.files)
