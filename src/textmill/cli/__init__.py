"""The command line: thin over the library, one module a command."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the ``textmill`` command; returns its exit code."""
    from textmill.cli.app import run

    return run(list(sys.argv[1:] if arguments is None else arguments))
