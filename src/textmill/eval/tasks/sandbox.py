"""Programs that nobody has read, run where they can harm nothing: each in a process of its own that is locked in.

What holds (``jail``): no network, no other process, no file outside a temporary folder but Python's own to read, a
bound on memory, on processor time, on files and their sizes; and from outside, on time, threads and the folder. None of
it needs root. Where the system lacks a part, nothing is run unless the caller says so.

What it cannot do: a program shares its process with the tests that judge it. One that looks for them can make them
pass. So a score is that of programs that try to solve their task.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import textmill
from textmill.base.errors import ConfigError, TextmillError
from textmill.base.files import temporary_errors
from textmill.eval.tasks.program_folder import is_too_large, program_folder

_LOOK_EVERY_S = 0.05
_MOST_FOLDER_BYTES = 32 << 20
_MOST_FOLDER_FILES = 1000
_MOST_THREADS = 64
_MOST_ANSWER = 1 << 16
_MOST_ERROR = 2000  # characters
_START_S = 10.0  # for Python itself, on a machine that is busy
_BEGIN = (
    "import sys; sys.path.insert(0, sys.argv[1]); from textmill.eval.tasks.jail.inside import main; "
    "del sys.path[0]; main()"
)
_MISSING = {
    "limits": "limits on memory, time and files (setrlimit)",
    "files": "a fence around files (Landlock, Linux 6.2 and newer)",
    "calls": "a filter of system calls (seccomp), which keeps it from the network and from other processes",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a program ended.

    Attributes:
        passed: it came to its end without an error.
        error: what it raised, or what ended it; empty where it passed.
    """

    passed: bool
    error: str = ""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Limits of each program.

    Attributes:
        timeout_s: seconds; processor time is bounded by as many.
        memory_bytes: address space.
        anyway: run programs even where a protection is missing.
    """

    timeout_s: float = 5.0
    memory_bytes: int = 512 << 20
    anyway: bool = False

    def check(self) -> list[str]:
        """What protections are missing here; empty where all hold.

        Raises:
            ConfigError: some are, and programs are not to be run anyway.
        """
        held, outcome = self._run("")
        missing = [told for name, told in _MISSING.items() if not held.get(name)]
        if missing and not self.anyway:
            raise ConfigError(
                f"programs that a model writes cannot be locked in here: this system lacks {'; '.join(missing)}. Run "
                "this on Linux 6.2 or newer (a container of it does), or, in a machine that has nothing to lose, with "
                "--run-unprotected"
            )
        if not outcome.passed:
            raise TextmillError(
                f"the sandbox does not run even an empty program: {outcome.error}. Raise memory_mb "
                f"({self.memory_bytes >> 20}) or timeout_s ({self.timeout_s:g})"
            )
        return missing

    def run(self, program: str) -> Outcome:
        """Run a Python program to its end, or to that of its time."""
        return self._run(program)[1]

    def _run(self, program: str) -> tuple[dict[str, bool], Outcome]:
        word = secrets.token_hex(16)
        with temporary_errors(), program_folder() as folder:
            answers, theirs = os.pipe()
            job = {
                "answers": theirs,
                "parent": os.getpid(),
                "word": word,
                "program": program,
                "memory_bytes": self.memory_bytes,
                "cpu_s": self.timeout_s,
                "anyway": self.anyway,
            }
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-B", "-c", _BEGIN, str(Path(textmill.__file__).parents[1])],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=folder,
                env={"LC_ALL": "C.UTF-8", "HOME": str(folder), "TMPDIR": str(folder), "PYTHONHASHSEED": "0"},
                pass_fds=(theirs,),
                start_new_session=True,
            )
            os.close(theirs)
            try:
                assert process.stdin is not None
                with contextlib.suppress(BrokenPipeError), process.stdin:
                    process.stdin.write(json.dumps(job).encode() + b"\n")
                lines, stopped = self._listen(answers, folder, process.pid)
            finally:
                os.close(answers)
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                status = process.wait()
        return _understood(lines, stopped, status, word)

    def _listen(self, answers: int, folder: Path, pid: int) -> tuple[list[bytes], str]:
        """Read what it answers until it ends or has to be stopped, and why."""
        data = b""
        now = time.monotonic()
        end, look = now + _START_S + self.timeout_s, now + _LOOK_EVERY_S
        while now < end and len(data) < _MOST_ANSWER:
            if select.select([answers], [], [], max(0.0, min(look, end) - now))[0]:
                piece = os.read(answers, _MOST_ANSWER)
                if not piece:
                    return data.split(b"\n"), ""
                if b"\n" not in data and b"\n" in piece:  # it is locked in, and the program begins
                    end = time.monotonic() + self.timeout_s
                data += piece
                if data.count(b"\n") > 1:
                    return data.split(b"\n"), ""
            now = time.monotonic()
            if now >= look:  # by the clock: a program that answers byte by byte is looked at, too
                if is_too_large(folder, num_files=_MOST_FOLDER_FILES, num_bytes=_MOST_FOLDER_BYTES):
                    return data.split(b"\n"), f"it wrote more than {_MOST_FOLDER_BYTES >> 20} MB, or too many files"
                if _num_threads(pid) > _MOST_THREADS:
                    return data.split(b"\n"), f"it started more than {_MOST_THREADS} threads"
                now = time.monotonic()
                look = now + _LOOK_EVERY_S
        if len(data) >= _MOST_ANSWER:
            return data.split(b"\n"), "it wrote into the pipe of its answer"
        return data.split(b"\n"), f"it took more than {self.timeout_s:g} s"


def _num_threads(pid: int) -> int:
    """Of a process, by the number of its folders in /proc; 0 where that is not to be seen."""
    try:
        return os.stat(f"/proc/{pid}/task").st_nlink - 2  # noqa: PTH116  many times a second
    except OSError:
        return 0


def _understood(lines: list[bytes], stopped: str, status: int, word: str) -> tuple[dict[str, bool], Outcome]:
    held, answer = (_parsed(line) for line in [*lines, b"", b""][:2])
    protections = held.get("held")
    protections = protections if isinstance(protections, dict) else {}
    if stopped:
        return protections, Outcome(False, stopped)
    if answer.get("word") == word:
        return protections, Outcome(True)
    error = answer.get("error")
    if isinstance(error, str):
        return protections, Outcome(False, _told(error))
    if status < 0:
        return protections, Outcome(False, f"it was ended by {_signal_name(-status)}")
    return protections, Outcome(False, f"it left early, with status {status}")


def _told(error: str) -> str:
    """What a program says of its end, as text that any file takes, and not empty: that would be no error."""
    return error[:_MOST_ERROR].encode(errors="replace").decode() or "it ended with an error that says nothing"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # one of those for programs' own use
        return f"signal {number}"


def _parsed(line: bytes) -> dict[str, object]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
