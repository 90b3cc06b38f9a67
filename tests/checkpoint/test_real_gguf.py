"""The real SmolLM2-135M-Instruct in its GGUF: facts, tokens, a conversion, and the time that reading takes."""

import collections
import subprocess
import sys

import numpy as np
import pytest

from textmill.checkpoint.convert import convert
from textmill.checkpoint.converted_tensor import read_values
from textmill.checkpoint.stored_model import open_model

pytestmark = pytest.mark.real_model

_TIMED = """
import time
from pathlib import Path
import textmill.checkpoint.gguf_model
import textmill.tokenizer.tokenizer
import sys
from textmill.checkpoint.stored_model import open_model
best = 9.0
for _ in range(3):
    begin = time.process_time()
    stored = open_model(Path(sys.argv[1]))
    stored.load_text_rules(stored.load_tokenizer())
    best = min(best, time.process_time() - begin)
print(best)
assert "torch" not in sys.modules
"""


@pytest.fixture(scope="module")
def stored(real_model):
    return open_model(real_model)


def test_facts(stored):
    sizes = stored.config
    assert (sizes.hidden_size, sizes.intermediate_size, sizes.num_hidden_layers) == (576, 1536, 30)
    assert (sizes.num_attention_heads, sizes.num_key_value_heads, sizes.head_dim) == (9, 3, 64)
    assert (sizes.vocab_size, sizes.max_position_embeddings) == (49_152, 8192)
    assert (sizes.rope_theta, sizes.rms_norm_eps) == (100_000.0, 1e-5)
    assert sizes.tie_word_embeddings
    assert sizes.num_parameters == 134_515_008
    assert collections.Counter(tensor.type for tensor in stored.tensors.values()) == {"Q4_1": 210, "F32": 61, "Q8_0": 1}
    tokenizer = stored.load_tokenizer()
    rules = stored.load_text_rules(tokenizer)
    assert (rules.bos_token_id, rules.prefix_ids, rules.stop_ids) == (1, (), {2})
    # As llama.cpp and Hugging Face's tokenizers split it.
    assert tokenizer.encode("The capital of France is") == [504, 3575, 282, 4649, 314]
    chat = tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}])
    assert tokenizer.decode(chat).startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM")


def test_it_goes_into_a_folder(tmp_path, real_model, stored):
    """In f32, which holds every value of its blocks."""
    convert(real_model, tmp_path / "hf")
    folder = open_model(tmp_path / "hf")
    assert folder.config == stored.config
    for name in ("model.embed_tokens.weight", "model.layers.29.self_attn.k_proj.weight", "model.norm.weight"):
        assert np.array_equal(read_values(folder.tensors[name]), read_values(stored.tensors[name]))
    tokenizers = [model.load_tokenizer() for model in (stored, folder)]
    assert len({tokenizer.chat_template for tokenizer in tokenizers}) == 1
    text = "It's 12345 naïve — 中文\r\n\n  <|im_end|> x"
    assert len({tuple(tokenizer.encode(text, special="parse")) for tokenizer in tokenizers}) == 1


def test_it_is_opened_quickly(real_model):
    """0.15 s of the processor on the reference machine; the first token must come within a second of the command."""
    done = subprocess.run(
        [sys.executable, "-c", _TIMED, str(real_model)], capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1.0
