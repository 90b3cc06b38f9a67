"""Validation during a run: bits per byte on the same held-out documents every time, nothing of the run touched."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from textmill.data.shards import ShardSet
from textmill.model.llama import Llama
from textmill.model.score import score_documents
from textmill.tokenizer.tokenizer import Tokenizer
from textmill.train.precision import Precision, compute_dtype

_PROMPT_TOKENS = 8


@dataclass(frozen=True, slots=True)
class Sample:
    """Held-out documents of one source, in tokens, with the bytes of text they stand for."""

    documents: list[np.ndarray]
    num_bytes: int


def sample_held_out(held_out: Mapping[str, ShardSet], tokenizer: Tokenizer, max_tokens: int) -> dict[str, Sample]:
    """Choose what a run is validated on: documents from the front of each held-out set, ``max_tokens`` in all.

    Sources get tokens in proportion to their size. Documents that fit are taken whole; where the first does not, a
    part of it is.
    """
    total = sum(shards.num_tokens for shards in held_out.values())
    samples = {}
    for name, shards in held_out.items():
        allowed = max(1, max_tokens * shards.num_tokens // total)
        text_bytes = shards.index.bytes_of_text()
        documents: list[np.ndarray] = []
        num_tokens = num_bytes = 0
        for number in range(shards.manifest.num_documents):
            document = shards.document(number)
            if not documents and len(document) > allowed:
                document = document[:allowed]
                num_bytes = len(tokenizer.decode_bytes(document.tolist()))
            elif num_tokens + len(document) > allowed:
                continue
            else:
                num_bytes += int(text_bytes[number])
            documents.append(document)
            num_tokens += len(document)
        samples[name] = Sample(documents, num_bytes)
    return samples


def first_words(samples: Mapping[str, Sample], tokenizer: Tokenizer) -> str:
    """The beginning of the first document, to be continued."""
    document = next(document for sample in samples.values() for document in sample.documents)
    return tokenizer.decode([int(token) for token in document[:_PROMPT_TOKENS]])


def bits_per_byte(
    model: Llama, samples: Mapping[str, Sample], *, first_id: int, context: int, precision: Precision
) -> dict[str, float]:
    """Score each source's sample, and all of them together as ``all``: bits for each byte of UTF-8 text.

    Windows stand side by side here, which is quick; ``textmill.eval`` lets them overlap and scores everything.
    """
    result = {}
    bits, num_bytes = 0.0, 0
    for name, sample in samples.items():
        nats = score_documents(
            model,
            sample.documents,
            first_id=first_id,
            context=context,
            stride=context,
            dtype=compute_dtype(precision),
        )
        source_bits = float(nats.sum()) / math.log(2)
        result[name] = source_bits / sample.num_bytes
        bits, num_bytes = bits + source_bits, num_bytes + sample.num_bytes
    if num_bytes:
        result["all"] = bits / num_bytes
    return result
