"""A whole source, read by one process: for what needs no pipeline."""

from __future__ import annotations

from collections.abc import Iterator

from textmill.text.folders import LeftOut
from textmill.text.reading.chain import read_chain
from textmill.text.reading.files import list_files
from textmill.text.reading.records import OnBad, RecordBatch
from textmill.text.reading.source import SourceInput
from textmill.text.reading.units import cut_units


def read_source(source: SourceInput, on_bad: OnBad, *, num_threads: int = 1) -> Iterator[RecordBatch]:
    """Yield the records of a source in order; what is passed over is told in a warning at the end.

    Args:
        source: what to read.
        on_bad: is called for each bad record; reading goes on if it returns.
        num_threads: threads that parse.

    Raises:
        DataError: a path does not exist or holds no text, or a file cannot be read or changed meanwhile.
        MissingExtraError: a package of the extra "data" is needed.
    """
    left_out = LeftOut()
    for unit in cut_units(list_files(source, left_out)):
        for reading in read_chain(unit, source, on_bad=on_bad, num_threads=num_threads):
            yield from reading.batches
            left_out.num_empty_records += reading.counts.empty
    left_out.warn(stacklevel=2)
