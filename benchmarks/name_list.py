"""Names with commas between, as an option of a command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def names(allowed: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    """Make what reads such an option: some of the names that are allowed, in their order."""

    def parse(text: str) -> tuple[str, ...]:
        given = text.split(",")
        unknown = sorted(set(given) - set(allowed))
        if unknown:
            raise argparse.ArgumentTypeError(f"{unknown[0]} is none of {', '.join(allowed)}")
        return tuple(name for name in allowed if name in given)

    return parse
