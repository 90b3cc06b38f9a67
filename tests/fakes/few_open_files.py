"""A system that lets a process have few files open, for as long as a test wants it."""

import contextlib
import resource
from pathlib import Path


@contextlib.contextmanager
def few_open_files(num_more):
    """Let this process open so many files beside those that it has open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1 + num_more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
