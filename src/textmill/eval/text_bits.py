"""Bits per byte of texts: what a model needs to write them down, whatever its tokenizer.

A document's bits are the sum of ``-log2 p(token | what stands before it)``, its bytes those of its UTF-8 text. Every
document is scored by itself, through windows that slide where it is longer than the context (``windows``).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from textmill.base.errors import ConfigError
from textmill.eval.evaluated_model import EvaluatedModel
from textmill.eval.intervals import bootstrap_ratio
from textmill.eval.results import ResultsFile
from textmill.eval.scorer import open_scorer
from textmill.eval.windows import sliding_windows
from textmill.text.documents import Document

POSITIONS = (0, 256, 1024, 4096, 16384, 65536)
"""Where stretches of a document begin, in bytes of its text; the last has no end."""
_TOKENS_AT_ONCE = 1 << 15


@dataclass(frozen=True, slots=True)
class DocumentBits:
    """What one document takes.

    Attributes:
        id: its name in its source.
        num_bytes: of its text in UTF-8.
        num_tokens: of the model's tokenizer.
        bits_P: float64, bits of the tokens that begin in each stretch of ``POSITIONS``; ``bytes_P`` are their bytes.
        text_hash: of its text, 16 hexadecimal digits.
    """

    id: str
    num_bytes: int
    num_tokens: int
    bits_P: np.ndarray  # noqa: N815  capital letters are shape suffixes
    bytes_P: np.ndarray  # noqa: N815  capital letters are shape suffixes
    text_hash: str

    @property
    def bits(self) -> float:
        """Of the whole document."""
        return float(self.bits_P.sum())

    def as_record(self) -> dict[str, Any]:
        """A line of a file of results."""
        return {
            "id": self.id,
            "hash": self.text_hash,
            "bytes": self.num_bytes,
            "tokens": self.num_tokens,
            "bits": self.bits_P.tolist(),
            "bytes_at": self.bytes_P.tolist(),
        }


def score_texts(
    model: EvaluatedModel,
    documents: Iterable[Document],
    results: ResultsFile,
    *,
    stride: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Score a source's documents into a file of results, from where it stands.

    Args:
        stride: tokens that windows move on by; half the context unless given.
        progress: called with the documents and the bytes done so far, those that were there included.

    Raises:
        ConfigError: the file holds other documents than these, or the stride is none.
    """
    context = model.lm.context
    stride = max(context // 2, 1) if stride is None else stride
    num_done, num_bytes = len(results.records), sum(record["bytes"] for record in results.records)
    with open_scorer(model.lm) as scorer:
        for batch in _batches(model, _not_done(documents, results)):
            windows = [
                list(sliding_windows(one.ids, first_id=model.first_id, context=context, stride=stride)) for one in batch
            ]
            scores = scorer.score(window for of_one in windows for window in of_one)
            found = []
            for one, of_one in zip(batch, windows, strict=True):
                logprobs_T = np.concatenate([np.empty(0), *(next(scores).logprobs for _ in of_one)])
                found.append(_document_bits(one, logprobs_T))
            results.add(one.as_record() for one in found)
            num_done += len(found)
            num_bytes += sum(one.num_bytes for one in found)
            if progress is not None:
                progress(num_done, num_bytes)


@dataclass(frozen=True, slots=True)
class _Encoded:
    document: Document
    num_bytes: int
    ids: np.ndarray
    starts_T: np.ndarray  # noqa: N815  where each token begins, in bytes


def _not_done(documents: Iterable[Document], results: ResultsFile) -> Iterator[Document]:
    """Those that come after the ones that the results have, which must be the first of them."""
    done = list(results.records)
    number = 0
    for number, document in enumerate(documents, start=1):
        if number > len(done):
            yield document
        elif (done[number - 1]["id"], done[number - 1]["hash"]) != (document.id, _hash(document.text)):
            raise ConfigError(
                f"{results.path} holds results of other documents: number {number} was {done[number - 1]['id']}, and "
                f"is {document.id} now, or its text has changed. Write to another folder (--output), or begin again "
                "(--restart)"
            )
    if number < len(done):
        raise ConfigError(
            f"{results.path} holds results of {len(done):,} documents, and there are {number:,} now. Write to another "
            "folder (--output), or begin again (--restart)"
        )


def _batches(model: EvaluatedModel, documents: Iterable[Document]) -> Iterator[list[_Encoded]]:
    batch: list[_Encoded] = []
    for document in documents:
        ids, spans = model.lm.tokenizer.encode_with_spans(document.text)
        starts_T = np.asarray(spans, np.int64).reshape(-1, 2)[:, 0]
        batch.append(_Encoded(document, len(document.text.encode()), np.asarray(ids, np.int32), starts_T))
        if sum(len(one.ids) for one in batch) >= _TOKENS_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def _document_bits(one: _Encoded, logprobs_T: np.ndarray) -> DocumentBits:
    bits_T = -logprobs_T / math.log(2)
    ends_T = np.append(one.starts_T[1:], one.num_bytes)
    part_T = np.searchsorted(POSITIONS, one.starts_T, side="right") - 1
    return DocumentBits(
        one.document.id,
        one.num_bytes,
        len(one.ids),
        np.bincount(part_T, bits_T, len(POSITIONS)),
        np.bincount(part_T, ends_T - one.starts_T, len(POSITIONS)).astype(np.int64),
        _hash(one.document.text),
    )


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceBits:
    """What the documents of one source take, or of all.

    Attributes:
        interval: of 95 %, over documents; None for fewer than two.
        by_position: for each stretch with text where it begins and ends in bytes (None: no end), its bits per byte,
            their interval over the documents that reach it, and its bytes.
    """

    name: str
    num_documents: int
    num_bytes: int
    num_tokens: int
    bits: float
    interval: tuple[float, float] | None
    by_position: list[dict[str, Any]]

    @property
    def bits_per_byte(self) -> float:
        """Bits for a byte of text."""
        return self.bits / self.num_bytes

    @property
    def perplexity(self) -> float:
        """Of a token: it depends on the tokenizer."""
        return 2 ** min(self.bits / self.num_tokens, 1000.0)


def summarise_bits(name: str, records: Sequence[dict[str, Any]]) -> SourceBits | None:
    """Add up the records of a source; None where there are none."""
    if not records:
        return None
    bits_DP = np.array([record["bits"] for record in records], np.float64)
    bytes_DP = np.array([record["bytes_at"] for record in records], np.float64)
    sizes_D = np.array([record["bytes"] for record in records], np.float64)
    return SourceBits(
        name=name,
        num_documents=len(records),
        num_bytes=int(sizes_D.sum()),
        num_tokens=sum(record["tokens"] for record in records),
        bits=math.fsum(bits_DP.ravel()),
        interval=bootstrap_ratio(bits_DP.sum(axis=1), sizes_D),
        by_position=[
            _at_position(low, high, bits_DP[:, place], bytes_DP[:, place])
            for place, (low, high) in enumerate(zip(POSITIONS, (*POSITIONS[1:], None), strict=True))
            if bytes_DP[:, place].any()
        ],
    )


def _at_position(low: int, high: int | None, bits_D: np.ndarray, bytes_D: np.ndarray) -> dict[str, Any]:
    """A stretch of all documents; those that end before it say nothing of it."""
    has_text_D = bytes_D > 0
    size = bytes_D.sum()
    return {
        "from": low,
        "to": high,
        "bits_per_byte": bits_D.sum() / size,
        "interval": bootstrap_ratio(bits_D[has_text_D], bytes_D[has_text_D]),
        "bytes": int(size),
    }
