"""Raw files to texts by the million: cut into units of work, read as batches, with every bad record told of.

``list_files`` finds a source's files, ``cut_units`` cuts them into units, ``read_chain`` reads a unit.
"""

from textmill.text.reading.chain import UnitReading, read_chain
from textmill.text.reading.files import InputFile, list_files
from textmill.text.reading.read_source import read_source
from textmill.text.reading.records import BadRecord, BadRecords, OnBad, ReadCounts, RecordBatch
from textmill.text.reading.source import SourceInput
from textmill.text.reading.unchanged import changes
from textmill.text.reading.units import Unit, cut_units

__all__ = [
    "BadRecord",
    "BadRecords",
    "InputFile",
    "OnBad",
    "ReadCounts",
    "RecordBatch",
    "SourceInput",
    "Unit",
    "UnitReading",
    "changes",
    "cut_units",
    "list_files",
    "read_chain",
    "read_source",
]
