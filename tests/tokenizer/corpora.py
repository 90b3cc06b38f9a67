"""Real text to train on, and what the tests' tokenizers have in common."""

import sysconfig
from pathlib import Path

import numpy as np

from textmill.tokenizer.alphabet import BYTE_ORDER

SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] | trim "
    "+ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def standard_library(num_bytes):
    """The first modules of the interpreter's standard library, by name: at least this many bytes where there are."""
    texts, size = [], 0
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        texts.append(path.read_text(encoding="utf-8"))
        size += len(texts[-1])
        if size >= num_bytes:
            break
    return texts


def learn_on_bytes(trainer, num_tokens, first_id=0):
    """Merges and counts that a native trainer learns where the bytes have the ids from ``first_id`` on."""
    tokens = [b""] * first_id + [bytes([byte]) for byte in BYTE_ORDER]
    nothing = np.empty((0, 3), dtype=np.uint32)
    return trainer.learn(num_tokens, tokens, nothing, nothing)
