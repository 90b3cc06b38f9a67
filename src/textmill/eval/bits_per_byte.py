"""Bits per byte of held-out text: the loss in a unit that every tokenizer and every compressor shares."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from textmill.data.shards import ShardSet
from textmill.eval.compressors import gzip_bytes, xz_bytes
from textmill.model.llama import Llama
from textmill.model.score import score_documents
from textmill.tokenizer.tokenizer import Tokenizer

_CHUNK_TOKENS = 1 << 15


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceScore:
    """One source's held-out text: its size, and what it takes to write it down.

    Attributes:
        num_documents: documents, each scored and compressed by itself.
        num_bytes: bytes of UTF-8 text.
        model_bits: bits by the model's probabilities.
        gzip_bits: bits of ``gzip -9``'s files; ``xz_bits`` of ``xz -9``'s.
    """

    num_documents: int
    num_bytes: int
    model_bits: float
    gzip_bits: int
    xz_bits: int

    def bits_per_byte(self) -> dict[str, float]:
        """Each coder's bits for a byte of text: ``model``, ``gzip`` and ``xz``."""
        return {
            "model": self.model_bits / self.num_bytes,
            "gzip": self.gzip_bits / self.num_bytes,
            "xz": self.xz_bits / self.num_bytes,
        }


def score_held_out(
    model: Llama,
    tokenizer: Tokenizer,
    held_out: Mapping[str, ShardSet],
    *,
    first_id: int,
    context: int,
    dtype: torch.dtype | None = None,
    progress: Callable[[int], None] | None = None,
) -> dict[str, SourceScore]:
    """Score all held-out text, by source and together (``all``), beside gzip and xz on the same documents.

    Windows overlap by half, so that a token has at least half a context before it where the document has one.

    Args:
        held_out: the tokens; the text is what the tokenizer makes of them, which is the text they came from.
        first_id: what the first token of a document follows.
        context: tokens of a window.
        dtype: of activations and products; the log-softmax is in float32 anyway.
        progress: called with the tokens done so far.
    """
    scores: dict[str, SourceScore] = {}
    done = 0
    for name, shards in held_out.items():
        nats = 0.0
        chunk = []
        texts = []
        for number in range(shards.manifest.num_documents):
            document = shards.document(number)
            chunk.append(document)
            texts.append(tokenizer.decode_bytes(document.tolist()))
            last = number == shards.manifest.num_documents - 1
            if last or sum(map(len, chunk)) >= _CHUNK_TOKENS:
                nats += float(score_documents(model, chunk, first_id=first_id, context=context, dtype=dtype).sum())
                done += sum(map(len, chunk))
                chunk = []
                if progress:
                    progress(done)
        scores[name] = SourceScore(
            num_documents=len(texts),
            num_bytes=sum(map(len, texts)),
            model_bits=nats / math.log(2),
            gzip_bits=8 * gzip_bytes(texts),
            xz_bits=8 * xz_bytes(texts),
        )
    if scores:
        scores["all"] = _sum(list(scores.values()))
    return scores


def _sum(scores: list[SourceScore]) -> SourceScore:
    return SourceScore(
        num_documents=sum(score.num_documents for score in scores),
        num_bytes=sum(score.num_bytes for score in scores),
        model_bits=sum(score.model_bits for score in scores),
        gzip_bits=sum(score.gzip_bits for score in scores),
        xz_bits=sum(score.xz_bits for score in scores),
    )
