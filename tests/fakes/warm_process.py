"""Child processes that have torch imported already: one starts in milliseconds, and may be killed."""

import multiprocessing

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "textmill.train.pipeline",
        "textmill.cli.run_sampler",
        "textmill.train.sharded",
        "textmill.train.tensor_parallel",
        "textmill.train.overlapped",
    ]
)


def start(function, *args, **kwargs):
    """Call a function in a child; returns the process, whose ``exitcode`` is -9 where it was killed."""
    process = _CONTEXT.Process(target=function, args=args, kwargs=kwargs, daemon=True)
    process.start()
    return process


def finish(process, timeout_s=280):
    """Wait for a child; returns its exit code."""
    process.join(timeout_s)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise AssertionError(f"a child did not end within {timeout_s} s")
    return process.exitcode
