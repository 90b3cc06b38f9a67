"""A language model that always answers the same: after each token comes the one that its reply says, and no other."""

import time

import numpy as np

from fakes.tiny_model import tokenizer
from textmill.checkpoint.text_rules import TextRules
from textmill.infer.batcher import Batcher
from textmill.infer.engine import LanguageModel
from textmill.model.config import ModelConfig

REPLY = "wizards?"


class SuccessorRunner:
    """Logits that favour the token which follows the last one in a reply; nothing else matters to it."""

    block_size = 4
    tolerance = 0.0

    def __init__(self, successors, vocab_size, num_blocks, seconds=0.0):
        self.successors = successors
        self.vocab_size = vocab_size
        self.num_blocks = num_blocks
        self.seconds = seconds
        self.num_computed = 0

    def forward(self, chunks):
        time.sleep(self.seconds)
        rows = []
        for chunk in chunks:
            self.num_computed += len(chunk.ids)
            for token_id in list(chunk.ids)[len(chunk.ids) - chunk.num_logits :]:
                row = np.zeros(self.vocab_size, np.float32)
                row[self.successors.get(token_id, 0)] = 1000.0
                rows.append(row)
        return np.array(rows, np.float32).reshape(len(rows), self.vocab_size)


def make(reply=REPLY, *, context=256, endless=False, seconds=0.0):
    """Make one; ``endless`` begins the reply again where it ends, ``seconds`` is how long a token takes."""
    words = tokenizer()
    ids = words.encode(reply)
    assert len(set(ids)) == len(ids), "each token must have one successor"
    specials = words.special_tokens
    end = ids[0] if endless else specials["<|im_end|>"]
    before = words.encode("assistant\n")[-1]
    assert before not in ids
    successors = dict(zip([before, *ids], [*ids, end], strict=True))
    config = ModelConfig(
        vocab_size=words.vocab_size,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=8,
        max_position_embeddings=context,
    )
    rules = TextRules(bos_token_id=None, prefix_ids=(), stop_ids=frozenset({specials["<|im_end|>"]}))
    runner = SuccessorRunner(successors, words.vocab_size, 2 * context // SuccessorRunner.block_size, seconds)
    model = LanguageModel(config, words, rules, Batcher(runner), context=context)
    model.runner = runner
    return model
