"""The one type that leaves this room: a piece of text with its source and a stable name."""

from __future__ import annotations

from dataclasses import dataclass

PART_SEPARATOR = "::"


@dataclass(frozen=True, slots=True)
class Document:
    """One text of a corpus.

    Attributes:
        text: the text itself.
        source: the name of the corpus it belongs to, as in a recipe's mixture.
        id: a name that is the same on every machine and run: a path below the source's folder, with ``:LINE`` for a
            record of a file, or ``PATH::PART`` for a part of one.
    """

    text: str
    source: str
    id: str

    @property
    def origin(self) -> str:
        """The file or record the document was taken from: parts of one file share it."""
        return self.id.partition(PART_SEPARATOR)[0]
