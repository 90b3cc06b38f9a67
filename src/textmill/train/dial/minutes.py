"""How large a model a machine trains best in the time there is: by its measured speed and a compute-optimal length."""

from __future__ import annotations

import math
from collections.abc import Callable

_LARGEST = 1e12
# Each halves the range on a logarithmic scale: after these it is far narrower than a layer.
_HALVINGS = 40
# Speed changes slowly with size: the second look is close, as a rule.
_MOST_LOOKS = 3
_CLOSE = 0.1
# Of a slow core. The first look is at a model that is too small, and so a quick one.
_FIRST_FLOPS_PER_S = 2e10


def largest_affordable(flops: float, cost: Callable[[float], float], smallest: float) -> float:
    """Find the most parameters that cost no more than ``flops`` floating-point operations.

    Args:
        flops: what there is.
        cost: the operations that so many parameters take; it grows with them.
        smallest: the fewest parameters there can be; they are the answer where even they cost more.
    """
    low, high = smallest, max(smallest, _LARGEST)
    if cost(low) >= flops:
        return low
    for _ in range(_HALVINGS):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if cost(middle) <= flops else (low, middle)
    return low


def settled_speed(seconds: float, measure: Callable[[float], float]) -> float:
    """Measure how many operations a second this machine does on a model that fits the time there is.

    How fast a model is trained depends on its size, and its size on how fast it is: so it is looked at again until two
    looks agree to within a tenth, three times at most.

    Args:
        seconds: the time there is.
        measure: operations a second on the model that so many operations in all are right for.
    """
    speed = _FIRST_FLOPS_PER_S
    for _ in range(_MOST_LOOKS):
        before, speed = speed, measure(speed * seconds)
        if abs(math.log(speed / before)) <= _CLOSE:
            break
    return speed
