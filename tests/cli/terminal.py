"""A terminal of the system, as a user has it."""

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path


class Terminal:
    """A program at a real terminal of the system."""

    def __init__(self, program, *arguments):
        self.master, slave = pty.openpty()
        environment = os.environ | {"TERM": "xterm", "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", program, *map(str, arguments)]
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True
        )
        os.close(slave)
        self.seen = ""

    def type(self, text):
        os.write(self.master, text.encode())

    def wait_for(self, text, seconds=120):
        """Read until a text has come since the last time; returns what came. The limit ends a hang."""
        end = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < end, f"{text!r} did not come: {self.seen!r}"
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.master, 4096).decode(errors="replace")
                except OSError:  # the program has ended
                    break
        before, found, self.seen = self.seen.partition(text)
        assert found, f"{text!r} did not come: {before!r}"
        return before + found

    def wait_until_it_listens(self, seconds=120):
        """Wait until the program sleeps at its prompt: only then does readline heed a signal."""
        end = time.monotonic() + seconds
        while Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(") ")[2][0] != "S":
            assert time.monotonic() < end, "the program does not wait for anything"
            time.sleep(0.01)

    def close(self):
        """End the program, wherever it is."""
        self.process.kill()
        self.process.wait()
        os.close(self.master)
