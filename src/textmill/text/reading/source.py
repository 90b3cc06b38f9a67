"""What a source of raw text is: paths, a format, and which of its fields are which of ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from textmill.base.errors import ConfigError, did_you_mean

MAX_DOCUMENT_BYTES = 256 << 20
FORMATS = ("auto", "text", "jsonl", "csv", "parquet", "html")
TEXT, ID = "text", "id"
FIELDS = (TEXT, ID, "url", "score")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceInput:
    """Where a source's documents lie and how they are read.

    Attributes:
        path: files, folders or globs; ``stdlib``, ``stdlib:code`` and ``stdlib:prose`` are the standard library.
        format: how files are read; ``auto`` goes by each file's ending.
        fields: our names of a record's fields (text, id, url, score) to the source's; ``meta.url`` is the field
            ``url`` of the object in ``meta``. The text is in ``text`` unless it is said here.
        max_document_bytes: a record or file with more is a bad record.
    """

    path: str | Sequence[str]
    format: str = "auto"
    fields: dict[str, str] = field(default_factory=dict)
    max_document_bytes: int = MAX_DOCUMENT_BYTES

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ConfigError(
                f'"{self.format}" is no format of files{did_you_mean(self.format, FORMATS)} '
                f"The formats are {', '.join(FORMATS)}"
            )
        for ours, theirs in self.fields.items():
            if ours not in FIELDS:
                raise ConfigError(
                    f'"{ours}" is no field that reading knows{did_you_mean(ours, FIELDS)} '
                    f"The fields are {', '.join(FIELDS)}"
                )
            if not all(theirs.split(".")):
                raise ConfigError(
                    f'fields.{ours} = "{theirs}" names no field; write a name, or names with dots between'
                )
        if self.max_document_bytes < 1:
            raise ConfigError(f"max_document_bytes is {self.max_document_bytes}, and must be 1 or more")

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths that were given."""
        return (self.path,) if isinstance(self.path, str) else tuple(self.path)

    @property
    def text_field(self) -> str:
        """The source's name for the text."""
        return self.fields.get(TEXT, TEXT)

    @property
    def other_fields(self) -> dict[str, str]:
        """Our names of the fields beside the text to the source's."""
        return {ours: self.fields[ours] for ours in FIELDS[1:] if ours in self.fields}
