"""A runner whose logits are a hash of the whole text as it lies in its blocks."""

import hashlib

import numpy as np


class HistoryRunner:
    """Stores each token, its position and its adapter where its chunk says, and reads the text back from there.

    A wrong block, a stale one, a shared one that was overwritten and a position that is off by one all give other
    logits. Most of the time the next token follows from the last one, so texts repeat themselves and guesses are right.
    """

    tolerance = 0.0

    def __init__(self, *, num_blocks, block_size=4, vocab_size=16):
        self.num_blocks, self.block_size, self.vocab_size = num_blocks, block_size, vocab_size
        self._stored = np.full((num_blocks, block_size, 3), -1, np.int64)
        self.num_forwards = 0

    def forward(self, chunks):
        self.num_forwards += 1
        taken = [block for chunk in chunks for block in self._new_blocks(chunk)]
        assert len(set(taken)) == len(taken), "two texts write to one block"
        adapters = [-1 if chunk.adapter is None else chunk.adapter for chunk in chunks]
        assert adapters == sorted(adapters), "texts of one adapter do not stand together"
        for chunk, adapter in zip(chunks, adapters, strict=True):
            assert chunk.ids, "an empty chunk"
            for position, token_id in enumerate(chunk.ids, chunk.start):
                block, offset = divmod(position, self.block_size)
                self._stored[chunk.blocks[block], offset] = token_id, position, adapter
        rows = [self._after(chunk, end) for chunk in chunks for end in _ends(chunk)]
        return np.array(rows, np.float32).reshape(len(rows), self.vocab_size)

    def _new_blocks(self, chunk):
        first, last = chunk.start // self.block_size, (chunk.start + len(chunk.ids) - 1) // self.block_size
        return chunk.blocks[first : last + 1]

    def _after(self, chunk, end):
        text = self._stored[list(chunk.blocks)].reshape(-1, 3)[:end]
        digest = hashlib.blake2b(text.tobytes(), digest_size=2 * self.vocab_size).digest()
        noise = np.frombuffer(digest, np.uint16)
        logits = noise.astype(np.float32) / 16384.0
        if noise[0] % 32:
            logits[(text[-1, 0] * 3 + 1) % 5] += 4.0
        return logits


def _ends(chunk):
    end = chunk.start + len(chunk.ids)
    return range(end - chunk.num_logits + 1, end + 1)
