"""A fake tokenizer: a token a byte, so that tests of shards need no training."""

from dataclasses import dataclass

import numpy as np


@dataclass
class Ids:
    ids: np.ndarray
    offsets: np.ndarray


class ByteTokenizer:
    """256 bytes and one id, 256, that ends documents; ``vocab_size`` may be larger to force wide shards."""

    def __init__(self, vocab_size=257):
        self.vocab_size = vocab_size
        self.sha256 = f"{vocab_size:064x}"

    def encode_batch(self, texts):
        data = [text.encode() for text in texts]
        offsets = np.concatenate([[0], np.cumsum([len(d) for d in data])]).astype(np.int64)
        return Ids(np.frombuffer(b"".join(data), np.uint8).astype(np.uint32), offsets)
