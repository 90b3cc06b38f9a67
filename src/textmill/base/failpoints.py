"""Named places where a test lets a process die, to prove that what is on the disk is whole whatever happens.

``TEXTMILL_FAILPOINT=checkpoint:before-rename@3`` kills the process, as ``kill -9`` does, when it comes by that place
for the third time; without ``@`` it is the first time. Where the variable is not set a failpoint is one comparison.
"""

from __future__ import annotations

import os
import signal

_name, _, _times = os.environ.get("TEXTMILL_FAILPOINT", "").partition("@")
_left = {_name: int(_times or "1")} if _name else {}


def failpoint(name: str) -> None:
    """Die here, where the environment asks for it."""
    if name not in _left:
        return
    _left[name] -= 1
    if _left[name] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
