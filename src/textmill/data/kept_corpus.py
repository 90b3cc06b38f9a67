"""All documents that stay, source after source: what a tokenizer learns from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from textmill.data.duplicates import Found
from textmill.data.kept_batch import KeptBatch
from textmill.data.pipeline import Pipeline
from textmill.data.read_stage import Units
from textmill.data.token_tasks import kept_batches
from textmill.data.token_units import Holdout, split

_SAMPLE_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class KeptCorpus:
    """The documents of a pipeline that stay, read from the folder of work as they are asked for."""

    pipeline: Pipeline
    read: Path
    units: Units
    found: Found

    def batches(self, source: str) -> Iterator[KeptBatch]:
        """Yield a source's documents, about 8 MB of text at a time."""
        for unit in self.units[source]:
            for batch, _ in kept_batches(self.read / source / unit, self.found.sizes_of(source, unit)):
                yield batch

    def sample(self) -> str:
        """The beginning of the text that comes first."""
        for name in self.pipeline.sources:
            for batch in self.batches(name):
                return batch.texts.data[:_SAMPLE_BYTES].tobytes().decode(errors="ignore")
        return ""

    def training_texts(self, kinds: Mapping[str, Holdout]) -> Iterator[str]:
        """Yield the texts that are not held out; ``kinds`` says what is, by source."""
        for name in self.pipeline.sources:
            for batch in self.batches(name):
                (texts, chosen), _ = split(batch, kinds[name], self.pipeline.holdout.fraction)
                yield from texts.select(chosen).texts()
