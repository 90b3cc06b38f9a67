import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from textmill.base.errors import ConfigError
from textmill.eval.tasks.jail import seccomp
from textmill.eval.tasks.program_folder import is_too_large
from textmill.eval.tasks.sandbox import Sandbox

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's")


@pytest.fixture(scope="module")
def sandbox():
    box = Sandbox(timeout_s=30.0, memory_bytes=256 << 20)  # for programs that end by themselves, on any machine
    try:
        box.check()
    except ConfigError as error:
        pytest.skip(str(error))
    return box


def test_a_right_program_passes_and_a_wrong_one_says_why(sandbox):
    assert sandbox.run("def f(x):\n    return x + 1\nassert f(1) == 2").passed
    outcome = sandbox.run("assert 1 + 1 == 3, 'no'")
    assert (outcome.passed, outcome.error) == (False, "AssertionError: no")
    assert "SyntaxError" in sandbox.run("def f(:").error
    assert sandbox.run("import math, json, re, collections, itertools, random, datetime, decimal, heapq, typing").passed
    assert sandbox.run("import sqlite3, ssl, hashlib, zlib, lzma, bz2, ctypes, asyncio, tempfile, subprocess").passed
    assert sandbox.run("import asyncio\nasync def f(): return 3\nassert asyncio.run(f()) == 3").passed
    assert sandbox.run("import threading\nt = threading.Thread(target=print)\nt.start()\nt.join()").passed
    assert sandbox.run("open('note', 'w').write('x')\nassert open('note').read() == 'x'").passed


def test_a_program_is_a_module_and_no_script(sandbox):
    assert sandbox.run("if __name__ == '__main__': raise ValueError").passed
    assert sandbox.run(
        "def f(x: int): pass\nassert f.__annotations__ == {'x': int}"
    ).passed  # nothing of the jail's own
    kinds = (
        "from __future__ import annotations\nimport dataclasses, pickle, typing\n"
        "@dataclasses.dataclass\nclass A:\n    x: int = 3\n"
        "assert pickle.loads(pickle.dumps(A(4))) == A(4)\nassert typing.get_type_hints(A) == {'x': int}"
    )
    assert sandbox.run(kinds).passed
    assert "ModuleNotFoundError" in sandbox.run("import numpy").error
    assert "SystemExit" in sandbox.run("import unittest\nunittest.main(argv=['x'])").error


@pytest.mark.parametrize(
    "program",
    ["import os; os._exit(0)", "import sys; sys.exit(0)", "raise SystemExit", "import os; os.kill(os.getpid(), 9)",
     "import os\nos.write(3, b'{}\\n{\"word\": \"x\"}\\n')\nos._exit(0)",
     "import os\nfor fd in range(3, 64):\n    try: os.write(fd, b'{\"word\": \"\"}\\n')\n    except OSError: pass\n"
     "os._exit(0)"],
)  # fmt: skip
def test_leaving_early_is_not_passing(sandbox, program):
    assert not sandbox.run(program).passed


def test_there_is_no_network(sandbox):
    with socket.create_server(("127.0.0.1", 0)) as server:
        program = f"import socket\nsocket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 1)"
        assert "PermissionError" in sandbox.run(program).error
    for kind in ("AF_INET6", "AF_UNIX", "AF_NETLINK"):
        assert "PermissionError" in sandbox.run(f"import socket\nsocket.socket(socket.{kind})").error
    assert not sandbox.run("import urllib.request\nurllib.request.urlopen('http://127.0.0.1')").passed


def test_memory_is_bounded(sandbox):
    assert "MemoryError" in sandbox.run("x = bytearray(1 << 30)").error
    assert not sandbox.run("x = []\nwhile True: x.append(bytearray(1 << 20))").passed
    assert not sandbox.run("import mmap\nmmap.mmap(-1, 1 << 30)").passed
    assert "PermissionError" in sandbox.run("import os\nos.memfd_create('x')").error


@pytest.mark.parametrize(
    "program",
    ["while True: pass", "import time; time.sleep(60)", "import re\nre.match(r'(a+)+$', 'a' * 64 + 'b')",
     "import signal, time\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass",
     "import threading\nthreading.Thread(target=lambda: exec('while True: pass')).start()\nwhile True: pass"],
)  # fmt: skip
def test_time_is_bounded(program):
    box = Sandbox(timeout_s=1.0, memory_bytes=256 << 20)
    begin = time.monotonic()
    outcome = box.run(program)
    assert not outcome.passed
    assert time.monotonic() - begin < 40
    assert "more than 1 s" in outcome.error or "SIGXCPU" in outcome.error or "SIGKILL" in outcome.error


def test_a_thread_that_is_left_does_not_keep_a_program_that_passed(sandbox):
    assert sandbox.run("import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()").passed


@pytest.mark.parametrize(
    "program",
    ["import os; os.fork()", "import subprocess, sys\nsubprocess.run([sys.executable, '-c', ''], check=True)",
     "import os; os.system('true') == 0 or exit(1)", "import os, sys\nos.execv(sys.executable, [sys.executable])",
     "import os; os.posix_spawn('/bin/true', ['true'], {})",
     "import multiprocessing\nmultiprocessing.get_context('fork').Process(target=print).start()"],
)  # fmt: skip
def test_there_are_no_other_processes(sandbox, program):
    assert not sandbox.run(program).passed


def test_signals_reach_nobody(sandbox):
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        for call in (f"os.kill({sleeper.pid}, 9)", "os.kill(-1, 9)", "os.killpg(0, 15)", f"os.kill({os.getpid()}, 0)"):
            assert "PermissionError" in sandbox.run(f"import os, signal\n{call}").error
        assert sleeper.poll() is None
    finally:
        sleeper.send_signal(signal.SIGKILL)
        sleeper.wait()


def test_signals_that_are_queued_or_come_of_files_reach_nobody(sandbox):
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    refused = "import ctypes, fcntl, os\nlibc = ctypes.CDLL(None, use_errno=True)\nr, w = os.pipe()\n"
    try:
        for call in (
            f"libc.sigqueue({sleeper.pid}, 9, None)",
            "libc.sigqueue(1, 9, None)",
            f"fcntl.fcntl(r, fcntl.F_SETOWN, {sleeper.pid})",
            "fcntl.fcntl(r, 10, 9)",
            f"fcntl.fcntl(r, 15, ({sleeper.pid}).to_bytes(8, 'little'))",
            f"fcntl.ioctl(r, 0x8901, ({sleeper.pid}).to_bytes(4, 'little'))",
            f"fcntl.ioctl(r, 0x8902, ({sleeper.pid}).to_bytes(4, 'little'))",
            "libc.prctl(1, 0, 0, 0, 0)",
            "os.truncate('/usr/lib/none', 0)",
        ):
            program = f"{refused}if {call} == -1 and ctypes.get_errno() == 1: raise PermissionError"
            assert "PermissionError" in sandbox.run(program).error, call
        assert sandbox.run(f"{refused}assert fcntl.fcntl(r, fcntl.F_GETFL) == 0").passed
        assert sleeper.poll() is None
    finally:
        sleeper.send_signal(signal.SIGKILL)
        sleeper.wait()


def test_pairs_of_sockets_are_streams(sandbox):
    assert sandbox.run("import socket\na, b = socket.socketpair()\na.send(b'x')\nassert b.recv(1) == b'x'").passed
    for kind in ("SOCK_DGRAM", "SOCK_SEQPACKET"):
        assert "PermissionError" in sandbox.run(f"import socket\nsocket.socketpair(type=socket.{kind})").error


def test_threads_are_bounded(sandbox):
    program = (
        "import threading, time\nthreading.stack_size(65536)\n"
        "for i in range({}): threading.Thread(target=time.sleep, args=(60,)).start()\ntime.sleep({})"
    )
    assert sandbox.run(program.format(20, 0.5)).passed
    assert "more than 64 threads" in sandbox.run(program.format(200, 60)).error


def test_a_program_ends_with_the_process_that_watches_it(sandbox, tmp_path):
    watcher = (
        "from textmill.eval.tasks.sandbox import Sandbox\nSandbox(timeout_s=600.0).run('import time; time.sleep(600)')"
    )
    process = subprocess.Popen([sys.executable, "-c", watcher], env=os.environ | {"TMPDIR": str(tmp_path)})
    try:
        children = _wait_for(lambda: _locked_in(process.pid))
    finally:
        process.kill()
        process.wait()
    _wait_for(lambda: not any(_is_running(child) for child in children))


def _locked_in(pid):
    """Children that the filter of system calls is set in."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [child for child in children if "Seccomp:\t2" in _status(child)]


def _is_running(pid):
    status = _status(pid)
    return bool(status) and "State:\tZ" not in status


def _status(pid):
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return ""


def _wait_for(found, within_s=60.0):
    end = time.monotonic() + within_s
    while not (answer := found()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return answer


@pytest.mark.parametrize(("machine", "pid_calls"), [("x86_64", (62, 234, 129, 297)), ("aarch64", (129, 131, 138, 240))])
def test_the_filter_on_each_machine_by_an_interpreter_of_it(machine, pid_calls):
    arch, refused, clone, _, prlimit, pair, by_argument = seccomp._MACHINES[machine]
    program = seccomp._program(seccomp._MACHINES[machine], 77)

    def allows(number, *args):
        return _interpreted(program, struct.pack("=IIQ6Q", number, arch, 0, *args, *[0] * (6 - len(args)))) == ALLOW

    assert allows(0)
    assert not any(allows(number) for number in refused)
    for number in pid_calls:
        assert (allows(number, 77), allows(number, 78)) == (True, False)
    assert (allows(clone, 0x10000), allows(clone, 0)) == (True, False)
    assert (allows(prlimit, 0, 7, 0), allows(prlimit, 0, 7, 1), allows(prlimit, 0, 7, 1 << 32)) == (True, False, False)
    assert [allows(pair, *some) for some in ((1, 1), (1, 0x80001), (1, 2), (1, 5), (2, 1))] == [True, True] + [
        False
    ] * 3
    for number, place, values in by_argument:
        assert allows(number, 3, 3)
        assert not any(allows(number, *[0] * place, value) for value in values)
    assert _interpreted(program, struct.pack("=IIQ6Q", 0, 1, 0, *[0] * 6)) != ALLOW


ALLOW = 0x7FFF0000


def _interpreted(program, data):
    """What a filter in classic BPF answers: the instructions of linux/bpf_common.h, a step each."""
    place = accumulator = 0
    while True:
        code, if_true, if_false, value = struct.unpack_from("HBBI", program, 8 * place)
        place += 1
        if code == 0x06:
            return value
        if code == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, value)
        elif code == 0x54:
            accumulator &= value
        else:
            holds = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: accumulator & value != 0}[code]
            place += if_true if holds else if_false


def test_files_outside_are_out_of_reach(sandbox, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("hers")
    mode = secret.stat().st_mode
    for program in (
        f"open({str(secret)!r}).read()",
        f"open({str(secret)!r}, 'w')",
        f"import os; os.remove({str(secret)!r})",
        f"import os; os.chmod({str(secret)!r}, 0o777)",
        f"import os; os.truncate({str(secret)!r}, 0)",
        f"import os; os.rename({str(secret)!r}, 'mine')",
        f"import os; os.link({str(secret)!r}, 'mine'); open('mine').read()",
        f"import os; os.symlink({str(secret)!r}, 'mine'); open('mine').read()",
        f"import os; os.listdir({str(tmp_path)!r})",
        f"open({str(tmp_path / 'new')!r}, 'w')",
        "open('/etc/passwd').read()",
        "open('/proc/self/environ').read()",
        "import os; os.mkdir('/tmp/left')",
        "open('/dev/shm/left', 'w')",
    ):
        assert not sandbox.run(program).passed, program
    assert secret.read_text() == "hers"
    assert secret.stat().st_mode == mode
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_what_it_writes_is_bounded_and_goes(sandbox, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert not sandbox.run("open('x', 'wb').write(bytes(1 << 22))").passed
    assert not sandbox.run("for i in range(100000): open(str(i), 'wb').write(bytes(1000))").passed
    assert sandbox.run("print('x' * 1000)\nimport sys\nprint('x' * 10_000_000, file=sys.stderr)").passed
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "program",
    ["for i in range(2000): os.mkdir('d'); os.chdir('d')",
     "for i in range(60): os.mkdir('d' * 255); os.chdir('d' * 255); open('f', 'w')",
     "os.mkdir('shut'); os.mkdir('shut/er', 0); os.mkdir('none', 0); os.mkdir(b'\\xff'); os.symlink('/', 'root')",
     "for i in range(900): os.makedirs(f'{i}/{i}')"],
)  # fmt: skip
def test_folders_go_however_they_were_left(sandbox, tmp_path, monkeypatch, program):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    outcome = sandbox.run(f"import os\n{program}")
    assert outcome.passed or "too many files" in outcome.error
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_too_large_or_cannot_be_read(tmp_path):
    def large():
        return is_too_large(tmp_path, num_files=3, num_bytes=1000)

    (tmp_path / "f").write_bytes(bytes(500))
    (tmp_path / "d").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path)
    assert not large()
    (tmp_path / "d/g").write_bytes(b"")
    assert large()
    (tmp_path / "d/g").rename(tmp_path / "f")
    (tmp_path / "f").write_bytes(bytes(1001))
    assert large()
    assert is_too_large(tmp_path / "f", num_files=3, num_bytes=1000)  # no folder: it cannot be read
    assert not is_too_large(tmp_path / "gone", num_files=3, num_bytes=1000)


PIPE = """
import os, stat, time
for pipe in range(3, 64):
    try:
        if stat.S_ISFIFO(os.fstat(pipe).st_mode): break
    except OSError: pass
"""


def test_one_that_writes_into_the_pipe_is_looked_at(sandbox):
    files = "for i in range(3000): open(str(i), 'w').close(); os.write(pipe, b' ')\n"
    assert "too many files" in sandbox.run(f"{PIPE}{files}while True: os.write(pipe, b' '); time.sleep(0.001)").error
    assert "into the pipe" in sandbox.run(f"{PIPE}while True: os.write(pipe, b' ' * 4096)").error


def test_what_it_says_itself_is_cleaned_and_cut(sandbox):
    for answer in ('{"error": "\\\\ud800"}', '{"error": "' + "x" * 9000 + '"}', '{"error": ""}', "[" * 9000, "\\xff"):
        outcome = sandbox.run(f"{PIPE}os.write(pipe, b'{answer}\\n')\ntime.sleep(1)")
        assert not outcome.passed
        assert 0 < len(outcome.error.encode()) <= 2000
    assert "?" in sandbox.run("raise ValueError('\\ud800')").error
    assert "SIG" in sandbox.run("import os; os.kill(os.getpid(), 9)").error
    assert "signal 40" in sandbox.run("import os; os.kill(os.getpid(), 40)").error


def test_limits_cannot_be_raised(sandbox):
    program = "import resource\nresource.setrlimit(resource.RLIMIT_AS, (-1, -1))"
    assert not sandbox.run(program).passed
    assert sandbox.run("import resource\nassert resource.getrlimit(resource.RLIMIT_AS)[0] == 256 << 20").passed


def test_it_sees_nothing_of_where_it_came_from(sandbox, monkeypatch):
    monkeypatch.setenv("HERS", "secret")
    assert sandbox.run("import os\nassert 'HERS' not in os.environ").passed
    assert sandbox.run("import sys\nassert sys.stdin.read() == ''").passed
    count = "n = 0\nfor fd in range(3, 64):\n    try: os.fstat(fd)\n    except OSError: continue\n    n += 1\n"
    assert sandbox.run(f"import os\n{count}assert n == 1, n").passed  # the pipe of its answer


def test_programs_run_side_by_side(sandbox):
    outcomes = {}
    threads = [
        threading.Thread(target=lambda i=i: outcomes.update({i: sandbox.run(f"assert {i} % 2 == 0")})) for i in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [outcomes[i].passed for i in range(4)] == [True, False, True, False]


def test_a_missing_protection_is_told(monkeypatch):
    monkeypatch.setattr(
        "textmill.eval.tasks.sandbox._BEGIN",
        (
            "import sys; sys.path.insert(0, sys.argv[1]); import textmill.eval.tasks.jail.inside as i; "
            "i.give_up_calls = lambda: False; i.main()"
        ),
    )
    with pytest.raises(ConfigError, match=r"lacks a filter of system calls \(seccomp\).*--run-unprotected"):
        Sandbox().check()
    assert not Sandbox().run("").passed
    assert [text.partition(" (")[0] for text in Sandbox(anyway=True).check()] == ["a filter of system calls"]
    assert Sandbox(anyway=True).run("").passed


def test_a_kernel_that_does_not_fence_truncation_is_told(monkeypatch):
    monkeypatch.setattr(
        "textmill.eval.tasks.sandbox._BEGIN",
        (
            "import sys; sys.path.insert(0, sys.argv[1]); import textmill.eval.tasks.jail.landlock as l; "
            "l._version = lambda libc: 2; from textmill.eval.tasks.jail.inside import main; main()"
        ),
    )
    with pytest.raises(ConfigError, match=r"lacks a fence around files \(Landlock, Linux 6.2 and newer\)"):
        Sandbox().check()
    assert not Sandbox(anyway=True).run("open('/etc/passwd').read()").passed  # what there is of it is set
