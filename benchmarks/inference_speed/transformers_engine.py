"""transformers on torch, in bf16: one text that is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import transformers


class TransformersEngine:
    """A Hugging Face folder in transformers."""

    def __init__(self, model: str, threads: int) -> None:
        torch.set_num_threads(threads)
        transformers.utils.logging.disable_progress_bar()
        self._model = transformers.LlamaForCausalLM.from_pretrained(
            model, dtype=torch.bfloat16, attn_implementation="sdpa"
        ).eval()
        self.vocab_size = self._model.config.vocab_size

    def info(self) -> dict[str, Any]:
        """Name the versions."""
        return {"transformers": transformers.__version__, "torch": torch.__version__}

    def open(self, num_texts: int, context: int, way: dict[str, Any]) -> None:
        """Nothing is kept between calls."""
        assert num_texts == 1

    def rewind(self, text: int, num_tokens: int) -> None:
        """Begin again."""
        assert num_tokens == 0

    def step(self, texts: Sequence[int], ids: Sequence[Sequence[int]], *, all_logits: bool = False) -> np.ndarray:
        """Read a text, keeping keys and values as generating would."""
        assert not all_logits
        with torch.inference_mode():
            output = self._model(torch.tensor(ids), use_cache=True, logits_to_keep=1)
        return output.logits[:, -1].float().numpy()
