import json

import numpy as np
import pytest
import torch

from textmill.model.config import ModelConfig
from textmill.model.llama import Llama

SPECIAL_TOKENS = {"<|endoftext|>": 256, "<|end|>": 257}


def _byte_letters():
    """GPT-2's letters for the 256 bytes: printable ones stand for themselves, the others for letters from 256 on."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


class ByteTokenizer:
    """A token a byte, and the file that Hugging Face's tokenizers reads it from."""

    vocab_size = 258
    special_tokens = SPECIAL_TOKENS
    prefix_ids = ()
    chat_template = None

    def save(self, path):
        letters = {letter: byte for byte, letter in enumerate(_byte_letters())}
        byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
        added = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        table = {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [{"id": i, "content": text} | added for text, i in SPECIAL_TOKENS.items()],
            "normalizer": None,
            "pre_tokenizer": byte_level,
            "post_processor": None,
            "decoder": byte_level,
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": None,
                "continuing_subword_prefix": None,
                "end_of_word_suffix": None,
                "fuse_unk": False,
                "byte_fallback": False,
                "ignore_merges": False,
                "vocab": letters,
                "merges": [],
            },
        }
        path.write_text(json.dumps(table), encoding="utf-8")


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Models of these sizes gain nothing from a second thread, and lose much where the cores are busy."""
    torch.set_num_threads(1)


@pytest.fixture
def tokenizer():
    return ByteTokenizer()


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
        bos_token_id=256,
        eos_token_id=(256, 257),
        initializer_range=0.2,
    )


@pytest.fixture
def model(config):
    return Llama(config).init_weights(1, residual="scaled").requires_grad_(False)


@pytest.fixture
def tensors():
    rng = np.random.default_rng(1)
    return {"w": rng.standard_normal((4, 3)).astype(np.float32), "n": rng.integers(0, 9, 5)}
