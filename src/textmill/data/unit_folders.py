"""Results of units of work: a folder each, whole or absent, with checksums that say after a crash whether it is."""

from __future__ import annotations

import contextlib
import json
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from textmill.base.files import storage_errors
from textmill.text.checksums import block_checksums

SUMS = "sums.json"
_BLOCK_BYTES = 1 << 20


@contextlib.contextmanager
def unit_folder(path: Path) -> Iterator[Path]:
    """Fill the folder of a unit's result; it takes its place when the block ends without an error.

    Nothing is flushed to the disk here, which would take longer than the work: a folder that a power cut left torn is
    found by ``is_whole``, and its unit done again.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    with storage_errors(path):
        try:
            temporary.mkdir(parents=True)
            yield temporary
            sums = {file.name: _sum(file) for file in sorted(temporary.iterdir())}
            (temporary / SUMS).write_text(json.dumps(sums))
            if path.exists():  # the same unit, done by another process that was slow to end: the same bytes
                shutil.rmtree(path)
            temporary.rename(path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def is_whole(path: Path) -> bool:
    """Say whether a unit's folder is there with all that was written into it."""
    try:
        sums = json.loads((path / SUMS).read_text())
        return all(_sum(path / name) == wanted for name, wanted in sums.items())
    except (OSError, ValueError, AttributeError):
        return False


def _sum(file: Path) -> list[int]:
    """A file's size and a checksum of it."""
    size = file.stat().st_size
    if size == 0:
        return [0, 0]
    checksums = block_checksums(np.memmap(file, np.uint8, "r"), _BLOCK_BYTES)
    return [size, int(np.bitwise_xor.reduce(checksums * (2 * np.arange(len(checksums), dtype=np.uint64) + 1)))]
