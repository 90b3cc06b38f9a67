"""What is measured, and what is to be reached."""

from __future__ import annotations

from dataclasses import dataclass

OURS, LLAMA_CPP, TRANSFORMERS = "textmill", "llama.cpp", "transformers"


@dataclass(frozen=True)
class Sizes:
    """How much is done in a round.

    Attributes:
        prompt: tokens of a prompt that is gone on from.
        decoded: tokens that one text goes on.
        prefill: tokens of a prompt that is timed, and that are read in a pass at most.
        long: tokens before those that are timed.
        long_decoded: tokens that the long text goes on.
        batches: texts at once.
        batch_steps: tokens that each of them goes on.
    """

    prompt: int = 16
    decoded: int = 128
    prefill: int = 512
    long: int = 4096
    long_decoded: int = 64
    batches: tuple[int, ...] = (2, 4, 8, 16, 32)
    batch_steps: int = 64


QUICK = Sizes(decoded=4, prefill=64, long=128, long_decoded=4, batch_steps=2)


@dataclass(frozen=True)
class Case:
    """One way to keep weights, beside the type of llama.cpp that it is compared with.

    Attributes:
        name: how it is called on the page and by ``--types``.
        file, weights: what textmill loads: a kind of ``models.gguf``, and ``weights`` of ``textmill.load``.
        peer_file: what llama.cpp loads.
        decode, prefill, batch_of_8, batch_of_32: ours / llama.cpp's tokens a second that are to be reached.
        share: decoding, as a part of what the memory allows.
        is_batched: whether batches are measured: q8_0 and q4_0 are so like int8 and int4 that one of each is enough.
        is_long: whether it is measured after 4,096 tokens too.
        over_transformers: prefill by that of transformers in bf16, where it is compared.
    """

    name: str
    file: str
    weights: str
    peer_file: str
    decode: float
    share: float
    prefill: float = 2.5
    batch_of_8: float = 2.0
    batch_of_32: float = 2.5
    is_batched: bool = True
    is_long: bool = False
    over_transformers: float | None = None


CASES = (
    Case("bf16", "bf16", "auto", "bf16", 1.05, 0.8, prefill=2.0, batch_of_32=2.0, is_long=True, over_transformers=1.3),
    Case("q8_0", "q8_0", "auto", "q8_0", 1.4, 0.7, is_batched=False, is_long=True),
    Case("int8", "bf16", "int8", "q8_0", 1.4, 0.7),
    Case("q4_0", "q4_0", "auto", "q4_0", 1.4, 0.6, is_batched=False),
    Case("int4", "bf16", "int4", "q4_0", 1.4, 0.6),
    Case("q4_1", "q4_1", "file", "q4_1", 2.0, 0.6),
)
LONG_PREFILL, LONG_DECODE = 2.5, 1.5
# Tokens a second of all texts together: how far one size of a batch may fall behind the smaller ones from 8 on.
BATCH_FALL = 0.05
INT8_PERPLEXITY = 0.005
FIRST_TOKEN_S = 1.0
