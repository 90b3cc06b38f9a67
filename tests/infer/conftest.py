import codecs
import json
from types import MappingProxyType, SimpleNamespace

import numpy as np
import pytest

from textmill.checkpoint.text_rules import TextRules
from textmill.infer.batcher import Batcher
from textmill.infer.engine import LanguageModel
from textmill.model.config import ModelConfig

BOS, END = 256, 257


class ByteStream:
    def __init__(self):
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, token_id):
        return self._decoder.decode(bytes([token_id])) if token_id < 256 else ""

    def finish(self):
        return self._decoder.decode(b"", final=True)


class ByteTokenizer:
    """A token a byte, and two special ones."""

    vocab_size = 258
    prefix_ids = ()
    vocabulary = SimpleNamespace(
        tokens=[*(bytes([i]) for i in range(256)), b"<|endoftext|>", b"<|end|>"], characters=None, added=()
    )
    chat_template = None
    special_tokens = MappingProxyType({"<|endoftext|>": BOS, "<|end|>": END})

    def encode(self, text):
        return list(text.encode() if isinstance(text, str) else text)

    def decode(self, ids):
        return bytes(i for i in ids if i < 256).decode(errors="replace")

    def stream_decoder(self, prompt=()):
        return ByteStream()

    def apply_chat_template(self, messages, add_generation_prompt=True, *, continue_final_message=False, tools=None):
        return self.encode("".join(f"{m['role']}:{m['content']};" for m in messages) + "assistant:")

    def save(self, path):
        path.write_text(json.dumps({"version": "1.0"}))


class ScriptedRunner:
    """Says what it is told to: the logits after n tokens favour the n-th byte of a script. Notes what is asked."""

    tolerance = 0.0
    block_size = 4
    num_blocks = 64

    def __init__(self, script, vocab_size=260):
        self.script = list(script.encode() if isinstance(script, str) else script)
        self.vocab_size = vocab_size
        self.chunks = []

    def forward(self, chunks):
        self.chunks.extend(list(chunk.ids) for chunk in chunks)
        rows = [self._after(length) for chunk in chunks for length in _lengths(chunk)]
        return np.array(rows, np.float32).reshape(len(rows), self.vocab_size)

    def _after(self, length):
        logits = np.zeros(self.vocab_size, np.float32)
        if length - 1 < len(self.script):
            logits[self.script[length - 1]] = 50.0
        logits[258:] = 100.0  # rows that pad the table
        return logits


def _lengths(chunk):
    end = chunk.start + len(chunk.ids)
    return range(end - chunk.num_logits + 1, end + 1)


@pytest.fixture
def config():
    return ModelConfig(
        vocab_size=260,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=64,
        bos_token_id=BOS,
        eos_token_id=END,
        initializer_range=0.2,
    )


@pytest.fixture
def tokenizer():
    return ByteTokenizer()


@pytest.fixture
def scripted(config, tokenizer):
    """A language model that continues a one-token prompt with a script of its own."""

    def make(script, *, context=64, add_bos_token=False, bos=BOS, **limits):
        rules = TextRules(
            bos_token_id=bos,
            prefix_ids=(BOS,) if add_bos_token else (),
            stop_ids=frozenset({END}),
        )
        runner = ScriptedRunner(script)
        model = LanguageModel(config, tokenizer, rules, Batcher(runner, **limits), context=context)
        model.runner = runner
        return model

    return make
