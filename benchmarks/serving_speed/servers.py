"""The servers, each a process of its own on a port of this machine, started with one set of options."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from serving_speed import peers
from serving_speed.cases import LLAMA_CPP, LLAMA_CPP_PYTHON, OURS, Sizes
from serving_speed.places import LOGS

THREADS = 2
SLOTS = 16
_START_S = 120.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Way:
    """How a server is started.

    Attributes:
        server: which one.
        options: those that are tried; what all ways of a server have in common is not among them.
        command: all of it, but for the port.
        has_usage: whether its streams tell how many tokens they have.
        needs_bias: whether only a bias keeps it from ending an answer.
    """

    server: str
    options: str
    command: tuple[str, ...]
    has_usage: bool = True
    needs_bias: bool = False


def ways(model: Path, sizes: Sizes, servers: Sequence[str]) -> list[Way]:
    """All that is tried of some servers, ours first; those are built here that are not yet."""
    context = 64 + max(
        sizes.chat_prompt + sizes.chat_answer,
        sizes.shared + sizes.own + sizes.shared_answer + 64,
        sizes.single_prompt + sizes.single_answer,
    )
    textmill = str(Path(sys.executable).parent / "textmill")
    found: list[Way] = []
    if OURS in servers:
        found.append(Way(OURS, "", (textmill, "serve", str(model), "--threads", str(THREADS))))
    if LLAMA_CPP in servers:
        found += _llama_cpp(model, context)
    if LLAMA_CPP_PYTHON in servers:
        found += _llama_cpp_python(model, context)
    return found


def _llama_cpp(model: Path, context: int) -> list[Way]:
    common = ("-m", str(model), "-t", str(THREADS), "-tb", str(THREADS), "-np", str(SLOTS), "-c", str(context * SLOTS))
    program = (str(peers.llama_server()), *common, "--cont-batching", "--no-webui", "--log-disable")
    tried = (
        "-fa on",
        "-fa off",
        "-fa on --kv-unified",
        "-fa off --kv-unified",
        "-fa on --kv-unified --cache-reuse 64",
        "-fa on -ub 256",
        "-fa on -ub 2048",
    )
    return [Way(LLAMA_CPP, options, (*program, *options.split())) for options in tried]


def _llama_cpp_python(model: Path, context: int) -> list[Way]:
    # A request ends the one before it unless it is told not to; it makes one answer at a time in any case.
    common = ("--model", str(model), "--n_threads", str(THREADS), "--n_threads_batch", str(THREADS))
    program = (str(peers.llama_cpp_python()), "-m", "llama_cpp.server", *common, "--n_ctx", str(context))
    program += ("--interrupt_requests", "false", "--verbose", "false")
    return [
        Way(
            LLAMA_CPP_PYTHON,
            options,
            (*program, *options.split()),
            has_usage=False,
            needs_bias=True,
        )
        for options in ("--flash_attn true", "--flash_attn false")
    ]


class Server:
    """A server that runs; as a context manager it is told to end.

    Attributes:
        way: how it was started.
        port: where it listens.
        start_s: seconds from the start of its process to its first good answer.
    """

    def __init__(self, way: Way, name: str) -> None:
        """Start it and wait until it answers; ``name`` is that of its log.

        Raises:
            RuntimeError: it ended, or was not up in time; its log says why.
        """
        self.way = way
        self.port = _free_port()
        LOGS.mkdir(parents=True, exist_ok=True)
        self._log = LOGS / f"{name}.log"
        environment = {**os.environ, "OMP_NUM_THREADS": str(THREADS)}
        begin = time.perf_counter()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*way.command, "--host", "127.0.0.1", "--port", str(self.port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
            )
        while not self._answers():
            if self._process.poll() is not None or time.perf_counter() - begin > _START_S:
                self._process.kill()
                raise RuntimeError(f"{' '.join(way.command)} did not start; {self._log} says why")
            time.sleep(0.01)
        self.start_s = time.perf_counter() - begin

    def __enter__(self) -> Server:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def cpu_s(self) -> float:
        """Seconds of CPU that it has taken, with all its threads."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def idle_share(self, seconds: float) -> float:
        """The part of one core that it takes while nobody asks anything."""
        time.sleep(1.0)
        begin = self.cpu_s()
        time.sleep(seconds)
        return (self.cpu_s() - begin) / seconds

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1)
        try:
            connection.request("GET", "/v1/models")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def shown(ways_tried: Sequence[Way]) -> str:
    """The options that all ways of a server have in common, and which were tried."""
    way = ways_tried[0]
    common = [
        Path(word).name if "/" in word else word for word in way.command[: len(way.command) - len(way.options.split())]
    ]
    return f"`{' '.join(common)}`" + "".join(f"; `{each.options}`" for each in ways_tried if each.options)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
