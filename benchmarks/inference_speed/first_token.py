"""From the start of a command to the first token on standard output, the model being cached."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from inference_speed.models import NAME

_PROMPT = "The capital of France is"
_TEXTMILL = str(Path(sys.executable).parent / "textmill")
GENERATE = "`textmill generate`"
# What is run, and how many bytes stand on the output before the first token: generate repeats the prompt.
_WAYS: dict[str, tuple[Sequence[str], int]] = {
    GENERATE: ([_TEXTMILL, "generate", NAME, _PROMPT, "--max-tokens", "16"], len(_PROMPT)),
    "`textmill chat --prompt`": ([_TEXTMILL, "chat", NAME, "--prompt", "What is the capital of France?"], 0),
}

ROUNDS = 9


def measure(rounds: int) -> dict[str, list[float]]:
    """Seconds of each command, in turn; a round before them warms the caches of files."""
    times: dict[str, list[float]] = {name: [] for name in _WAYS}
    for number in range(rounds + 1):
        for name, (command, skip) in _WAYS.items():
            seconds = _seconds_to_output(command, skip)
            if number:
                times[name].append(seconds)
    return times


def _seconds_to_output(command: Sequence[str], skip: int) -> float:
    """How long until a command has written more than ``skip`` bytes; it is ended then."""
    begin = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        seen = 0
        while seen <= skip:
            piece = os.read(process.stdout.fileno(), 4096)
            if not piece:
                raise RuntimeError(f"{' '.join(command)} ended without a token; run it by hand to see why")
            seen += len(piece)
        taken = time.perf_counter() - begin
        process.kill()
    return taken
