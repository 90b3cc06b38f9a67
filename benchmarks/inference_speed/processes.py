"""The other side of a worker: start it, ask it, end it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from inference_speed.places import ROOT

THREADS = 2
# Threads of OpenMP and of torch look for work for some milliseconds after a pass before they sleep.
_SETTLE_S = 0.1


class Process:
    """A worker; what ``info`` says of it is there once it has loaded."""

    def __init__(self, python: str | Path, **arguments: Any) -> None:
        job = json.dumps({**arguments, "threads": THREADS})
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "benchmarks"), "OMP_NUM_THREADS": str(THREADS)}
        self._process = subprocess.Popen(
            [python, "-m", "inference_speed.worker", job],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env=environment,
        )
        self.info = self._reply()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._process.stdin is not None
        if not self._process.stdin.closed:
            self._process.stdin.close()
        self._process.wait()

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Have a command carried out once the machine is quiet; RuntimeError where it fails."""
        assert self._process.stdin is not None
        time.sleep(_SETTLE_S)
        self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        return self._reply()

    def _reply(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"an engine ended with status {self._process.wait()}; its last words are above")
        reply = json.loads(line)
        if "error" in reply:
            raise RuntimeError(reply["error"])
        return reply
