"""What a model in training goes on to write: by the engine that serves it, which touches nothing of the training."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from textmill.checkpoint.huggingface import save_model
from textmill.infer.engine import load

if TYPE_CHECKING:
    import numpy as np

    from textmill.model.config import ModelConfig
    from textmill.tokenizer.tokenizer import Tokenizer


def write_sample(
    config: ModelConfig, tensors: Mapping[str, np.ndarray], tokenizer: Tokenizer, prompt: str, num_tokens: int
) -> str:
    """Continue a prompt by so many tokens, the likeliest each time, so that samples of two steps can be compared.

    Args:
        config: the model's sizes.
        tensors: its weights by Hugging Face name, as they are now.
        tokenizer: the run's.
        prompt: what is continued.
        num_tokens: at most.
    """
    with tempfile.TemporaryDirectory(prefix="textmill-sample-") as folder:
        model = Path(folder) / "model"
        save_model(model, config, tensors, tokenizer, add_bos_token=True)
        return load(model).generate(prompt, max_tokens=num_tokens, temperature=0.0).text
