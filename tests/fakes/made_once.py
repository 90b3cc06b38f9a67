"""What tests fetch or install once and keep: one process makes it, and those that want it meanwhile wait."""

import contextlib
import fcntl


@contextlib.contextmanager
def one_at_a_time(folder):
    """Hold a folder, which need not be there, against other processes and threads; not to be nested."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
