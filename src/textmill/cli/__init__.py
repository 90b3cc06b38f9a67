"""The command line: thin over the library, one module a command."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the ``textmill`` command; returns its exit code."""
    from textmill.cli.app import run

    code = run(list(sys.argv[1:] if arguments is None else arguments))
    if code and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        # Threads of torch may wait for a rank that is gone, and the interpreter's shutdown aborts where they do.
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        os._exit(code)
    return code
