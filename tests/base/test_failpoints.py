"""A process dies where it is asked to, and nowhere else."""

import os
import signal
import subprocess
import sys

import pytest

SCRIPT = """
from textmill.base.failpoints import failpoint
for turn in range(3):
    for name in ("a:one", "a:two"):
        print(name, turn, flush=True)
        failpoint(name)
"""
PASSED = [f"{name} {turn}" for turn in range(3) for name in ("a:one", "a:two")]


@pytest.mark.parametrize(
    ("wanted", "num_passed"),
    [(None, 6), ("", 6), ("a:three", 6), ("a:two@4", 6), ("a:one", 1), ("a:two@1", 2), ("a:two@3", 6), ("a:one@3", 5)],
)
def test_a_failpoint_kills_at_its_passing(wanted, num_passed):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    environment |= {} if wanted is None else {"TEXTMILL_FAILPOINT": wanted}
    python = [sys.executable, *(["-S"] if sys.flags.no_site else [])]
    done = subprocess.run([*python, "-c", SCRIPT], check=False, capture_output=True, text=True, env=environment)
    killed = wanted is not None and wanted.startswith(("a:one", "a:two@1", "a:two@3"))
    assert done.returncode == (-signal.SIGKILL if killed else 0)
    assert done.stdout.splitlines() == PASSED[:num_passed]
