"""Ways run in turn, each a process of its own: A B, B A, so that what the machine does besides hits all alike."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

Runs = dict[str, list[dict[str, Any]]]


def in_turn(ways: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[Any]]:
    """Run all ways in each round, forwards and backwards; what each returned, in the order of the rounds."""
    results: dict[str, list[Any]] = {name: [] for name in ways}
    for number in range(rounds):
        for name in list(ways)[:: -1 if number % 2 else 1]:
            results[name].append(ways[name]())
    return results


def commands_in_turn(commands: Mapping[str, list[Any]], rounds: int) -> Runs:
    """Run all commands in each round; the JSON that each printed."""
    return in_turn({name: lambda command=command: run(command) for name, command in commands.items()}, rounds)


def run(command: list[Any]) -> dict[str, Any]:
    """Run a command once, and read the JSON that it prints last; what it said is shown where it fails."""
    done = subprocess.run([*map(str, command)], check=False, capture_output=True, text=True)
    if done.returncode:
        print(done.stderr[-4000:], file=sys.stderr)
        done.check_returncode()
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures
