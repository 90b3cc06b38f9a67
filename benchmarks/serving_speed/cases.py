"""What is measured, and what is to be reached."""

from __future__ import annotations

from dataclasses import dataclass

OURS, LLAMA_CPP, LLAMA_CPP_PYTHON = "textmill", "llama.cpp", "llama-cpp-python"
TYPES = ("q8_0", "q4_0", "q4_1")


@dataclass(frozen=True)
class Sizes:
    """How much is done in a round.

    Attributes:
        clients: that ask at once, each the next question when it has its answer.
        chats: questions in all.
        chat_prompt, chat_answer: tokens of each, the chat template's among them.
        sharers: requests that come at once and begin alike.
        shared: tokens that they share; own: tokens that each adds.
        shared_answer: tokens of each answer.
        single_prompt, single_answer: tokens of the one request by which server and engine are compared.
        idle_s: seconds for which a server is watched that has nothing to do.
    """

    clients: int = 16
    chats: int = 32
    chat_prompt: int = 256
    chat_answer: int = 128
    sharers: int = 16
    shared: int = 1024
    own: int = 64
    shared_answer: int = 32
    single_prompt: int = 64
    single_answer: int = 256
    idle_s: float = 10.0


QUICK = Sizes(
    clients=4,
    chats=4,
    chat_prompt=96,
    chat_answer=8,
    sharers=4,
    shared=128,
    own=48,
    shared_answer=4,
    single_answer=16,
    idle_s=1.0,
)

CHATS, SHARED = 2.0, 3.0  # ours by a peer's, at least
FIRST_TOKEN = 0.5  # of a peer's, at most
OVERHEAD_WHOLE, OVERHEAD_STREAMED = 0.05, 0.10
IDLE = 0.01
START_S = 2.0
