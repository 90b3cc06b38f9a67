"""Encoders behind one interface, each called in its fastest way: made in the process that measures it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tokenizer_speed.places import RANKS, TOKENIZER_JSON

SEPARATOR = b"\0"  # in no corpus


@dataclass(frozen=True)
class Engine:
    """One way to encode.

    Attributes:
        modules: the library, and what it would import in its first call; imported before any clock runs.
        load: library -> the tokenizer.
        batch: (tokenizer, texts, threads) -> the project's own result, ids in arrays or bytes and no lists of int.
        flat: that result -> uint32[num_tokens] ids, and the number of tokens of each text.
        one: tokenizer -> the function that encodes a short str.
        takes: what batch takes: list of "str" or "bytes", or one "buffer" of texts with a separator between them.
        from_ranks: load cl100k from the rank file, where that is another call.
    """

    project: str
    modules: tuple[str, ...]
    load: Callable[[Any], Any]
    batch: Callable[[Any, Any, int], Any]
    flat: Callable[[Any], tuple[np.ndarray, np.ndarray]]
    one: Callable[[Any], Callable[[str], Any]]
    takes: str = "str"
    from_ranks: Callable[[Any], Any] | None = None


def _from_offsets(ids: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.ascontiguousarray(ids, dtype=np.uint32), np.diff(offsets.astype(np.int64))


def _from_bytes(result: tuple[bytes, bytes]) -> tuple[np.ndarray, np.ndarray]:
    return _from_offsets(np.frombuffer(result[0], np.uint32), np.frombuffer(result[1], np.uint64))


def _from_lists(lists: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    flat = np.concatenate([np.asarray(ids, np.uint32) for ids in lists])
    return flat, np.array([len(ids) for ids in lists], np.int64)


def _from_awkward(result: Any) -> tuple[np.ndarray, np.ndarray]:
    import awkward

    lengths = awkward.to_numpy(awkward.num(result, axis=1))
    return awkward.to_numpy(awkward.flatten(result)).astype(np.uint32), lengths.astype(np.int64)


def _gigatoken_engine(takes: str) -> Engine:
    def encode(tokenizer: Any, texts: Any, threads: int) -> Any:
        if takes == "buffer":
            import gigatoken

            texts = gigatoken.BytesSource(texts, separator=SEPARATOR)
        return tokenizer.encode_batch(texts, parallel=threads > 1)

    return Engine(
        "gigatoken",
        ("gigatoken", "awkward"),
        load=lambda library: library.Tokenizer.from_tiktoken(RANKS),
        batch=encode,
        flat=_from_awkward,
        one=lambda tokenizer: tokenizer.encode,
        takes=takes,
    )


def _textmill_engine(takes: str) -> Engine:
    return Engine(
        "textmill",
        ("textmill", "textmill.tokenizer.tokenizer"),
        load=lambda library: library.Tokenizer.load(RANKS, pattern="cl100k"),
        batch=lambda tokenizer, texts, threads: tokenizer.encode_batch(texts, threads=threads),
        flat=lambda batch: _from_offsets(batch.ids, batch.offsets),
        one=lambda tokenizer: tokenizer.encode,
        takes=takes,
    )


ENGINES = {
    "textmill": _textmill_engine("bytes"),
    "textmill (str)": _textmill_engine("str"),
    "gigatoken": _gigatoken_engine("bytes"),
    "gigatoken (str)": _gigatoken_engine("str"),
    "gigatoken (buffer)": _gigatoken_engine("buffer"),
    "snaptokens": Engine(
        "snaptokens",
        ("snaptokens",),
        load=lambda library: library._native.Tokenizer.from_file(str(TOKENIZER_JSON)),
        batch=lambda tokenizer, texts, threads: tokenizer.encode_batch_flat(texts),
        flat=_from_bytes,
        one=lambda tokenizer: lambda text: tokenizer.encode(text).ids,
    ),
    "fastokens": Engine(
        "fastokens",
        ("fastokens",),
        load=lambda library: library._native.Tokenizer.from_file(str(TOKENIZER_JSON)),
        batch=lambda tokenizer, texts, threads: tokenizer.encode_batch_flat(texts),
        flat=_from_bytes,
        one=lambda tokenizer: lambda text: tokenizer.encode(text).ids,
        from_ranks=lambda library: library._native.Tokenizer.from_tiktoken(str(RANKS), encoding="cl100k_base"),
    ),
    "splintr-rs": Engine(
        "splintr-rs",
        ("splintr",),
        load=lambda library: library.Tokenizer.from_pretrained("cl100k_base"),
        batch=lambda tokenizer, texts, threads: tokenizer.encode_batch_flat(texts),
        flat=_from_bytes,
        one=lambda tokenizer: tokenizer.encode_ordinary,
        from_ranks=lambda library: library.Tokenizer(str(RANKS), library.CL100K_BASE_PATTERN),
    ),
    "toktok-rs": Engine(
        "toktok-rs",
        ("toktok",),
        load=lambda library: library._encoding("cl100k_base"),
        batch=lambda tokenizer, texts, threads: tokenizer.encode_batch_to_numpy(texts, threads),
        flat=lambda result: _from_offsets(*result),
        one=lambda tokenizer: tokenizer.encode_ordinary,
    ),
    "quicktok-v1": Engine(
        "quicktok-v1",
        ("quicktok",),
        load=lambda library: library.get_encoding("cl100k_base"),
        batch=lambda tokenizer, texts, threads: tokenizer.encode_batch(texts, threads),
        flat=lambda result: _from_offsets(*result),
        one=lambda tokenizer: tokenizer.encode_ordinary,
    ),
    "tiktoken": Engine(
        "tiktoken",
        ("tiktoken",),
        load=lambda library: library.get_encoding("cl100k_base"),
        batch=lambda tokenizer, texts, threads: tokenizer.encode_ordinary_batch(texts, num_threads=threads),
        flat=_from_lists,
        one=lambda tokenizer: tokenizer.encode_ordinary,
    ),
    "tokenizers": Engine(
        "tokenizers",
        ("tokenizers",),
        load=lambda library: library.Tokenizer.from_file(str(TOKENIZER_JSON)),
        batch=lambda tokenizer, texts, threads: tokenizer.encode_batch_fast(texts, add_special_tokens=False),
        flat=lambda encodings: _from_lists([encoding.ids for encoding in encodings]),
        one=lambda tokenizer: lambda text: tokenizer.encode(text).ids,
    ),
}
