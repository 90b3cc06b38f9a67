"""What is measured, against whom, and what is to be reached."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

MEGABYTE = 1_000_000
OURS = "textmill"
_BULK_PEERS = ("gigatoken", "gigatoken (str)", "gigatoken (buffer)")
_OTHERS = ("snaptokens", "splintr-rs", "toktok-rs", "quicktok-v1", "fastokens")
_BATCH_PEERS = (*_BULK_PEERS, *_OTHERS)
_BULK = {"english": 100 * MEGABYTE, "code": 50 * MEGABYTE, "multilingual": 50 * MEGABYTE}


@dataclass(frozen=True)
class Bar:
    """What is to be reached: the best peer's figure by ours.

    Attributes:
        figure: what is compared: cold, warm, best, median, load, first, held, time, added, or peak.
        ratio: theirs / ours that is to be reached.
        peers: against the best of these.
        most: a limit on our figure itself, in bytes, in the place of a ratio.
    """

    figure: str
    ratio: float = 1.0
    peers: tuple[str, ...] = ()
    most: int | None = None


@dataclass(frozen=True)
class Case:
    """A job that every engine gets, and what is compared of it."""

    name: str
    work: str
    job: dict[str, Any]
    engines: tuple[str, ...]
    bars: tuple[Bar, ...]
    threads: int = 1
    also: tuple[str, ...] = ()


def all_cases() -> list[Case]:
    """List the cases, in the order of the page."""
    return [*_bulk(), *_batches(), *_single(), *_load(), *_train()]


def _bulk() -> list[Case]:
    bars = (Bar("cold", 1.5, _BULK_PEERS), Bar("warm", 1.1, _BULK_PEERS))
    return [
        Case(
            f"bulk-{corpus}-{threads}",
            f"encode {size // MEGABYTE} MB {corpus}, 4 KB documents, {_threads(threads)}",
            _encode((corpus,), size, 4096, threads, passes=3),
            (OURS, *_BULK_PEERS),
            bars,
            threads,
            also=("textmill (str)",),
        )
        for corpus, size in _BULK.items()
        for threads in (1, 2)
    ]


def _batches() -> list[Case]:
    return [
        Case(
            f"batch-{label.replace(' ', '')}-{threads}",
            f"encode 6 MB of all three, documents of {label}, {_threads(threads)}",
            _encode(tuple(_BULK), 6 * MEGABYTE, document_bytes, threads, passes=7),
            (OURS, *_BATCH_PEERS),
            (Bar("cold", 1.3, _BATCH_PEERS), Bar("warm", 1.3, _BATCH_PEERS)),
            threads,
        )
        for label, document_bytes in (("140 B", 140), ("4 KB", 4096), ("64 KB", 65536))
        for threads in (1, 2)
    ]


def _single() -> list[Case]:
    peers = ("gigatoken", *_OTHERS, "tiktoken", "tokenizers")
    return [
        Case(
            f"single-{label}",
            f"one call on 20 characters, {words}",
            {"kind": "single", "repeated": repeated, "rounds": 500},
            (OURS, *peers),
            (Bar("best", 1.2, peers), Bar("median", 1.2, peers)),
        )
        for label, words, repeated in (("fresh", "1,000 different", False), ("repeated", "the same again", True))
    ]


def _load() -> list[Case]:
    peers = ("gigatoken",)
    return [
        Case(
            "load",
            "load cl100k from .tiktoken",
            {"kind": "load"},
            (OURS, *peers),
            (Bar("load", 1.0, peers), Bar("first", 1.0, peers), Bar("added", 1.0, peers), Bar("held", 1.0, peers)),
            also=("tiktoken", "fastokens", "splintr-rs"),
        )
    ]


def _train() -> list[Case]:
    peers = ("gigabpe", "gigatoken")
    hundred = (Bar("time", 2.0, peers), Bar("added", 2.0, ("tokenizers",)))
    thousand = (Bar("time", 2.0, ("gigabpe",)), Bar("peak", most=1000 * MEGABYTE))
    return [
        Case(
            "train-100MB",
            "train 32k on 100 MB, 2 threads",
            _training("english", 100 * MEGABYTE),
            (OURS, *peers, "tokenizers"),
            hundred,
            threads=2,
            also=("rustbpe", "bpeasy"),
        ),
        Case(
            "train-1GB",
            "train 32k on 1 GB, 2 threads",
            _training("all", 1000 * MEGABYTE),
            (OURS, "gigabpe"),
            thousand,
            threads=2,
        ),
    ]


def _encode(corpora: tuple[str, ...], num_bytes: int, document_bytes: int, threads: int, passes: int) -> dict[str, Any]:
    return {
        "kind": "encode",
        "corpora": corpora,
        "num_bytes": num_bytes,
        "document_bytes": document_bytes,
        "threads": threads,
        "passes": passes,
    }


def _training(corpus: str, num_bytes: int) -> dict[str, Any]:
    return {"kind": "train", "corpora": (corpus,), "num_bytes": num_bytes, "vocab_size": 32_000, "threads": 2}


def _threads(count: int) -> str:
    return f"{count} thread{'s' if count > 1 else ''}"


def quick(case: Case) -> Case:
    """Make a case tiny, to see that it runs."""
    job = dict(case.job)
    if "num_bytes" in job:
        job["num_bytes"] = min(job["num_bytes"], 600_000)
    if "rounds" in job:
        job["rounds"] = 5
    if "vocab_size" in job:
        job["vocab_size"] = 2000
    return replace(case, job=job)
