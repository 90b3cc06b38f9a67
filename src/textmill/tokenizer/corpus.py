"""The text that a tokenizer is trained on: its parts in batches, and what the training report says of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import cast

from textmill.base.errors import ConfigError, DataError
from textmill.text.batches import in_batches
from textmill.text.folders import LeftOut
from textmill.text.stream import LastCut, TextPart, read_parts
from textmill.tokenizer.utf8 import to_bytes

Text = str | bytes
Source = str | Path | Sequence[str | Path] | Iterable[Text]

_BATCH_BYTES = 16 << 20
_SAMPLE_EVERY_BYTES = 1 << 20
_SAMPLE_BYTES = 64 << 10
_MAX_SAMPLE_BYTES = 4 << 20
_WHAT_IS_A_SOURCE = "and must be a path, a list of paths, or an iterator of texts: iter([text])"


class Corpus:
    """All texts, once, in order.

    Attributes:
        num_texts, num_bytes: how many there were, and bytes in them.
        bytes_done: how far reading is, for progress: bytes of files, or of texts where they come from an iterator.
        samples: of each source a part, to measure on.
        left_out: what was not read.
        is_of_files: the texts are read from files; an iterator may be bound to the thread that made it.
    """

    def __init__(self, source: Source, *, last_cut: LastCut) -> None:
        self.num_texts = 0
        self.num_bytes = 0
        self.bytes_done = 0
        self.samples: dict[str, bytearray] = {}
        self._source_bytes: dict[str, int] = {}
        self._digest = hashlib.sha256()
        self._text_bytes = 0
        self.left_out = LeftOut()
        self.is_of_files = _is_of_files(source)
        self._parts = _parts(source, last_cut, self.left_out)

    @property
    def sha256(self) -> str:
        """The hash of the texts read so far, as ``TrainingReport.corpus_sha256`` describes it."""
        return self._digest.hexdigest()

    def batches(self) -> Iterator[list[bytes]]:
        """Yield parts of texts, some 16 MB at a time; each can be split into pieces by itself."""
        return in_batches(map(self._note, self._parts), len, _BATCH_BYTES)

    def _note(self, part: TextPart) -> bytes:
        self._digest.update(part.data)
        self._text_bytes += len(part.data)
        self.num_bytes += len(part.data)
        if part.ends_text:
            self._digest.update(self._text_bytes.to_bytes(8, "little"))
            self._text_bytes = 0
            self.num_texts += 1
        self.bytes_done = part.disk_bytes
        self._sample(part)
        return part.data

    def _sample(self, part: TextPart) -> None:
        begin = self._source_bytes.get(part.source, 0)
        end = self._source_bytes[part.source] = begin + len(part.data)
        sample = self.samples.setdefault(part.source, bytearray())
        window = begin - begin % _SAMPLE_EVERY_BYTES
        while window < end and len(sample) < _MAX_SAMPLE_BYTES:
            first = max(window - begin, 0)
            sample += part.data[first : max(first, window + _SAMPLE_BYTES - begin)]
            window += _SAMPLE_EVERY_BYTES


def _parts(source: Source, last_cut: LastCut, left_out: LeftOut) -> Iterator[TextPart]:
    if _is_of_files(source):
        try:
            yield from read_parts(
                cast("str | Path | Sequence[str | Path]", source), last_cut=last_cut, left_out=left_out
            )
        except OSError as error:
            raise DataError(
                f"cannot read a path to train on: {error.strerror}. A list of strings is a list of paths; "
                "give texts as an iterator: iter(texts)"
            ) from error
        return
    if isinstance(source, bytes) or not isinstance(source, Iterable):
        raise ConfigError(f"the source to train on is of type {type(source).__name__}, {_WHAT_IS_A_SOURCE}")
    num_bytes = 0
    for text in cast(Iterable[Text], source):
        if not isinstance(text, str | bytes):
            raise ConfigError(f"a text to train on is of type {type(text).__name__}, and must be str or bytes")
        data = to_bytes(text)
        num_bytes += len(data)
        yield TextPart(data, "texts", True, num_bytes)


def _is_of_files(source: Source) -> bool:
    return isinstance(source, str | Path) or (isinstance(source, list | tuple) and _are_paths(source))


def _are_paths(source: Sequence[object]) -> bool:
    num_paths = sum(isinstance(path, str | Path) for path in source)
    if 0 < num_paths < len(source):
        raise ConfigError(f"{num_paths} of {len(source)} sources are paths; give only paths, or texts as an iterator")
    return num_paths > 0
