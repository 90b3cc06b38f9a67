"""A disk that is full, for as long as a test wants it."""

import contextlib
import resource


@contextlib.contextmanager
def small_files(num_bytes):
    """Let no file grow beyond so many bytes meanwhile, as a disk that is full lets none."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
