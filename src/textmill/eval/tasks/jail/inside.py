"""The process that runs a program: it takes its job from standard input, locks itself in, and answers through a pipe.

The answer is JSON: which protections hold, and how the program ended. That it ended well is told by a word from the
job, so that a program that leaves early, by ``os._exit(0)`` say, has not passed.
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import resource
import signal
import sys
import types

from textmill.eval.tasks.jail.landlock import fence_files
from textmill.eval.tasks.jail.seccomp import give_up_calls

_MOST_FILE_BYTES = 1 << 20
_MOST_FILES = 64
_MOST_ERROR = 2000
_PR_SET_PDEATHSIG = 1
_NEW_USER, _NEW_NET, _NEW_IPC = 0x10000000, 0x40000000, 0x08000000


def main() -> None:
    """Run the job."""
    job = json.loads(sys.stdin.readline())
    answers = os.fdopen(job["answers"], "w", buffering=1)
    held = lock_in(job["memory_bytes"], job["cpu_s"], job["parent"])
    answers.write(json.dumps({"held": held}) + "\n")
    if not held["all"] and not job["anyway"]:
        return
    answers.write(json.dumps(_run(job["program"], job["word"])) + "\n")
    answers.flush()
    os._exit(0)  # threads that the program has left are not waited for


def lock_in(memory_bytes: int, cpu_s: float, parent: int) -> dict[str, bool]:
    """Set limits, fence files in and give system calls up; which of these the system allowed.

    It ends with ``parent``, the process that watches it.
    """
    here = os.getcwd()  # noqa: PTH109  pathlib is not imported in here
    held = {"limits": _limit(memory_bytes, cpu_s)}
    held["namespace"] = _unshare()
    _end_with(parent)  # a change of users takes it back
    readable = {sys.prefix, sys.base_prefix, os.path.dirname(os.__file__), "/usr/lib", "/lib", "/lib64"}  # noqa: PTH120
    readable |= {"/usr/share/zoneinfo", "/etc/localtime", "/etc/ld.so.cache"}
    readable = {path for path in readable if path not in ("/", "")}
    held["files"] = fence_files(sorted(readable), [here], ["/dev/null", "/dev/zero", "/dev/urandom"])
    held["calls"] = give_up_calls()
    held["all"] = held["limits"] and held["files"] and held["calls"]
    return held


def _limit(memory_bytes: int, cpu_s: float) -> bool:
    cpu = math.ceil(cpu_s)
    limits = {
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_CPU: cpu,
        resource.RLIMIT_FSIZE: _MOST_FILE_BYTES,
        resource.RLIMIT_NOFILE: _MOST_FILES,
        resource.RLIMIT_CORE: 0,
    }
    try:
        for name, value in limits.items():
            resource.setrlimit(name, (value, value))
    except (OSError, ValueError):
        return False
    return sys.platform == "linux"  # macOS takes RLIMIT_AS and does not hold to it


def _unshare() -> bool:
    """Take leave of the machine's network and users where that is allowed; the filter of calls stands without it."""
    try:
        return ctypes.CDLL(None).unshare(_NEW_USER | _NEW_NET | _NEW_IPC) == 0
    except (OSError, AttributeError):
        return False


def _end_with(parent: int) -> None:
    """Nobody bounds the time of a process whose watcher was killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _run(program: str, word: str) -> dict[str, str]:
    module = types.ModuleType("program")  # not __main__: what a script does when it is started is not asked for
    sys.modules["program"] = module  # dataclasses and pickle look a class's module up
    try:
        exec(compile(program, "program", "exec", dont_inherit=True), module.__dict__)
    except BaseException as error:  # noqa: BLE001  SystemExit too: leaving early is not passing
        return {"error": _told(error)}
    return {"word": word}


def _told(error: BaseException) -> str:
    try:
        text = f"{type(error).__name__}: {error}".rstrip(": ")
    except BaseException:  # noqa: BLE001  its __str__ is the program's
        text = type(error).__name__
    return text[:_MOST_ERROR].encode(errors="replace").decode()
