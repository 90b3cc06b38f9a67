"""The model that tuning begins from: a folder, a GGUF file, a run or a fetched name, its weights in float32."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from textmill.base.errors import ConfigError, DataError
from textmill.checkpoint.adapter_files import fingerprint_of, is_adapter
from textmill.checkpoint.cache import find_cached
from textmill.checkpoint.converted_tensor import read_values
from textmill.checkpoint.huggingface import save_model
from textmill.checkpoint.sources import resolve_model
from textmill.checkpoint.stored_model import StoredModel, open_model
from textmill.checkpoint.tensors import as_torch
from textmill.checkpoint.text_rules import TextRules
from textmill.model.config import ModelConfig
from textmill.model.llama import Llama

if TYPE_CHECKING:
    from textmill.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True)
class BaseModel:
    """What tuning begins from.

    Attributes:
        stored: its files; weights are read when they are asked for.
        tokenizer: with its chat template, where it has one.
        rules: how its texts begin and end.
        reference: what names it where it is not at hand: its path, or the name that it was fetched by.
    """

    stored: StoredModel
    tokenizer: Tokenizer
    rules: TextRules
    reference: str

    @property
    def config(self) -> ModelConfig:
        """Its sizes."""
        return self.stored.config

    @property
    def end_id(self) -> int:
        """What a plain answer ends with: the first eos token that its files name.

        Raises:
            DataError: they name none.
        """
        for token_id in (*self.config.eos_token_ids, *sorted(self.rules.stop_ids)):
            return token_id
        raise DataError(
            f"{self.stored.path} names no token that ends a text (eos_token_id in config.json), so a tuned model would "
            "never stop; add it"
        )

    @property
    def is_adapter(self) -> bool:
        """Whether it is another model with an adapter merged in."""
        return is_adapter(self.stored.path)

    def write(self, folder: Path) -> None:
        """Write it as a Hugging Face folder in float32, whole or not at all."""
        save_model(folder, self.config, self.weights(), self.tokenizer, **self.small_files)

    @cached_property
    def fingerprint(self) -> Mapping[str, Any]:
        """What tells it from any other; all its weights are read for that, once."""
        return fingerprint_of(self.stored)

    @property
    def small_files(self) -> dict[str, Any]:
        """What ``write_small_files`` is to be told, so that a tuned model begins and ends texts as this one does."""
        ends = sorted(self.rules.stop_ids)
        return {
            "add_bos_token": bool(self.rules.prefix_ids),
            **({"generation": {"eos_token_id": ends[0] if len(ends) == 1 else ends}} if ends else {}),
        }

    def weights(self) -> Mapping[str, NDArray[np.float32]]:
        """Its weights by Hugging Face's names, in float32."""
        return {name: read_values(tensor) for name, tensor in self.stored.tensors.items()}

    def llama(self) -> Llama:
        """A model of its own in memory, which nothing is learned by."""
        import torch

        model = Llama(self.config).requires_grad_(False)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(as_torch(np.ascontiguousarray(read_values(self.stored.tensors[name]))))
        return model


def open_base(name: str, context: int, now: datetime.datetime | None = None) -> BaseModel:
    """Open a model to tune.

    Args:
        name: as MODEL is given elsewhere.
        context: tokens that it has to take.
        now: what its chat template takes for the time, where it writes the date; that of each rendering unless
            given.

    Raises:
        ConfigError: it takes fewer tokens than ``context``.
        DataError: it is missing, damaged, or asks for what cannot be reproduced exactly.
    """
    path = resolve_model(Path(name))
    stored = open_model(path)
    if stored.config.max_position_embeddings < context:
        raise ConfigError(
            f"tune.context is {context:,}, and {stored.path} takes {stored.config.max_position_embeddings:,} tokens; "
            "lower it"
        )
    tokenizer = stored.load_tokenizer()
    rules = stored.load_text_rules(tokenizer)
    if now is not None and tokenizer.chat_template is not None:
        tokenizer = tokenizer.with_clock(now)
    reference = name if find_cached(name) == path else str(path.resolve())
    return BaseModel(stored, tokenizer, rules, reference)
