"""The last stage: units of tokens become shard sets, and the sets take their places."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from textmill.base.files import new_folder
from textmill.data.assemble import assemble
from textmill.data.job import Job
from textmill.data.manifest import MANIFEST, read_manifest
from textmill.data.read_stage import Units
from textmill.data.shard_writer import ShardPart
from textmill.data.token_units import PARTS, read_part
from textmill.tokenizer.tokenizer import Tokenizer


def place_sets(
    job: Job, tokens: Path, units: Units, tokenizer: Tokenizer, document_end: int
) -> dict[str, dict[str, int]]:
    """Put the shard sets of all sources in place, those of held-out documents in theirs.

    A set is whole or absent; what stood in its place is replaced when it is whole.

    Args:
        job: the pipeline and its input.
        tokens: the folder of units, by source.
        units: their names.
        tokenizer: what made the tokens.
        document_end: the id that ends each document.

    Returns:
        by source: documents, tokens and bytes of text, of what is trained on and of what is held out.

    Raises:
        StorageError: the disk is full.
    """
    pipeline = job.pipeline
    totals: dict[str, dict[str, int]] = {}
    for name in pipeline.sources:
        totals[name] = {}
        for part, root in zip(PARTS, (Path(pipeline.output.dir), pipeline.heldout_dir), strict=True):
            parts = [read_part(tokens / name / unit, part) for unit in units[name]]
            for key in ("num_documents", "num_tokens", "num_bytes"):
                totals[name][f"{part}_{key}"] = sum(getattr(shard.file, key) for shard in parts)
            if not totals[name][f"{part}_num_documents"]:
                if (root / name / MANIFEST).is_file() and read_manifest(root / name).made_by:
                    shutil.rmtree(root / name)  # of an earlier pipeline: nothing of this source is left now
                continue
            with new_folder(root / name) as folder:
                linked = [*_link(tokens / name, units[name], part, parts, folder)]
                assemble(
                    folder,
                    linked,
                    source=name,
                    dtype="uint16" if tokenizer.vocab_size <= 1 << 16 else "uint32",
                    vocab_size=tokenizer.vocab_size,
                    document_end=document_end,
                    tokenizer_sha256=tokenizer.sha256,
                    made_by=job.made_by,
                )
    return totals


def _link(source: Path, units: list[str], part: str, parts: list[ShardPart], folder: Path) -> Iterator[ShardPart]:
    """Let the files of units stand in a set's folder too, numbered; where they are stays as it is until all is done."""
    number = 0
    for unit, shard in zip(units, parts, strict=True):
        if shard.file.num_documents:
            name = f"{number:05d}.bin"
            _link_or_copy(source / unit / f"{part}.bin", folder / name)
            yield dataclasses.replace(shard, file=dataclasses.replace(shard.file, name=name))
            number += 1


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without links, or another one
        shutil.copyfile(source, target)
