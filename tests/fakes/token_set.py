"""Shard sets of given documents, in tokens, so that tests know every token by its number."""

import numpy as np

from textmill.data.assemble import assemble
from textmill.data.shard_writer import ShardWriter
from textmill.data.shards import ShardSet
from textmill.text.text_batch import TextBatch

END = 0


def token_set(folder, lengths, *, file_documents=None, source="s", with_names=False):
    """Write documents of ``lengths`` tokens, ends included; other tokens count up from 1 and are all different."""
    lengths = np.array(lengths, np.int64)
    ids = np.arange(1, lengths.sum() + 1)
    ids[np.cumsum(lengths) - 1] = END
    starts = np.concatenate(([0], np.cumsum(lengths)))
    step = file_documents or max(1, len(lengths))
    parts = []
    for first in range(0, len(lengths), step):
        chosen = slice(first, first + step)
        with ShardWriter(folder / f"{len(parts):05d}.bin", "uint32") as writer:
            names = TextBatch.of([f"doc{first + i}" for i in range(len(lengths[chosen]))]) if with_names else None
            begin, end = starts[first], starts[min(first + step, len(lengths))]
            writer.add(ids[begin:end], lengths[chosen], lengths[chosen], names=names)
            parts.append(writer.finish())
    assemble(
        folder,
        parts,
        source=source,
        dtype="uint32",
        vocab_size=1 << 20,
        document_end=END,
        tokenizer_sha256="0" * 64,
    )
    return ShardSet(folder)
