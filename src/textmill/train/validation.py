"""Validation during a run: bits per byte on the same held-out documents every time, nothing of the run touched."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from textmill.base.bootstrap import bootstrap_ratio
from textmill.data.shards import ShardSet
from textmill.model.llama import Llama
from textmill.model.score import score_documents
from textmill.tokenizer.tokenizer import Tokenizer
from textmill.train.precision import Precision, compute_dtype

_PROMPT_TOKENS = 8
MOST_ROWS = 8
"""Windows that are scored at once, where memory allows so many."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Held-out documents of one source, in tokens, with the bytes of text that each stands for."""

    documents: list[np.ndarray]
    bytes_D: list[int]  # noqa: N815  capital letters are shape suffixes


@dataclass(frozen=True, slots=True)
class HeldOutBits:
    """Bits per byte of held-out text.

    Attributes:
        of: by source, and of ``all`` together.
        intervals: of 95 % over documents, where there are two or more.
    """

    of: dict[str, float]
    intervals: dict[str, tuple[float, float]]


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
        bytes_D: list[int] = []
        num_tokens = 0
        for number in range(shards.manifest.num_documents):
            document = shards.document(number)
            if not documents and len(document) > allowed:
                document = document[:allowed]
                bytes_D.append(len(tokenizer.decode_bytes(document.tolist())))
            elif num_tokens + len(document) > allowed:
                continue
            else:
                bytes_D.append(int(text_bytes[number]))
            documents.append(document)
            num_tokens += len(document)
        samples[name] = Sample(documents, bytes_D)
    return samples


def first_words(samples: Mapping[str, Sample], tokenizer: Tokenizer) -> str:
    """The beginning of the first document, to be continued."""
    document = next(document for sample in samples.values() for document in sample.documents)
    return tokenizer.decode([int(token) for token in document[:_PROMPT_TOKENS]])


def bits_per_byte(
    model: Llama,
    samples: Mapping[str, Sample],
    *,
    first_id: int,
    context: int,
    precision: Precision,
    rows: int = MOST_ROWS,
) -> HeldOutBits:
    """Score each source's sample, and all of them together as ``all``: bits for each byte of UTF-8 text.

    Windows stand side by side here, which is quick; ``textmill.eval`` lets them overlap and scores everything.

    Args:
        model: as it is now.
        samples: by source.
        first_id: what the first token of a document follows.
        context: tokens of a window.
        precision: of activations and products.
        rows: windows that go through the model at once.
    """
    bits: dict[str, list[float]] = {}
    sizes: dict[str, list[int]] = {}
    all_bits: list[float] = []
    all_sizes: list[int] = []
    for name, sample in samples.items():
        nats_D = score_documents(
            model,
            sample.documents,
            first_id=first_id,
            context=context,
            stride=context,
            batch_size=rows,
            dtype=compute_dtype(precision),
        )
        bits[name], sizes[name] = (nats_D / math.log(2)).tolist(), sample.bytes_D
        all_bits += bits[name]
        all_sizes += sizes[name]
    bits["all"], sizes["all"] = all_bits, all_sizes
    of = {name: sum(bits[name]) / sum(sizes[name]) for name in bits if sum(sizes[name])}
    return HeldOutBits(of, {name: found for name in of if (found := _interval(bits[name], sizes[name]))})


def _interval(bits: list[float], sizes: list[int]) -> tuple[float, float] | None:
    bits_D, sizes_D = np.array(bits), np.array(sizes)
    has_text = sizes_D > 0
    return bootstrap_ratio(bits_D[has_text], sizes_D[has_text])
