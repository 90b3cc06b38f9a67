"""How long a piece of work keeps the processor."""

import math
import time

_TRIES = 3


def cpu_seconds(work, *, most):
    """Seconds of the processor that a call takes: the first that are below ``most``, or the least of three tries.

    Time that goes to other processes does not count. What they do to caches, and to the other half of a core, does,
    and passes: work that is slow by itself is slow every time.
    """
    least = math.inf
    for _ in range(_TRIES):
        begin = time.process_time()
        work()
        least = min(least, time.process_time() - begin)
        if least < most:
            break
    return least
