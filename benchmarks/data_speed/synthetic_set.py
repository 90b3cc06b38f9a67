"""A shard set of random tokens, of any size, in documents of 500 on average."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from textmill.data.assemble import assemble
from textmill.data.shard_writer import ShardPart, ShardWriter

MEAN_LENGTH = 500
VOCAB_SIZE = 32_000
END = 0
FILE_TOKENS = 1 << 27
PIECE_TOKENS = 1 << 22


def write_set(folder: Path, num_tokens: int) -> None:
    """Write a set of random tokens."""
    generator = np.random.default_rng(0)
    parts: list[ShardPart] = []
    done = 0
    while done < num_tokens:
        with ShardWriter(folder / f"{len(parts):05d}.bin", "uint16") as writer:
            while writer.num_tokens < FILE_TOKENS and done < num_tokens:
                lengths = generator.geometric(1 / MEAN_LENGTH, PIECE_TOKENS // MEAN_LENGTH)
                ids = generator.integers(1, VOCAB_SIZE, int(lengths.sum()), np.uint16)
                ids[np.cumsum(lengths) - 1] = END
                writer.add(ids, lengths, 4 * lengths)
                done += len(ids)
            parts.append(writer.finish())
    assemble(
        folder,
        parts,
        source="a",
        dtype="uint16",
        vocab_size=VOCAB_SIZE,
        document_end=END,
        tokenizer_sha256="0" * 64,
    )
