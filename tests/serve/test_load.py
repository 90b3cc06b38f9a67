"""Many clients at once, most of them rude: every answer is what the model gives alone, and nothing is left behind.

``make test-long`` does it for 5 minutes: TEXTMILL_LOAD_SECONDS=300.
"""

import asyncio
import collections
import os
import time

import pytest

from serve.live_server import LiveServer
from serve.load_clients import Client, questions

SECONDS = float(os.environ.get("TEXTMILL_LOAD_SECONDS", "30"))
CLIENTS = 64
# What an allocator keeps, and what a thread of Python's takes when it is first needed.
GROWTH_BYTES = 16 << 20


async def load(server, asked, seconds, seed):
    """All clients for so long; returns what they saw, and what was wrong."""
    clients = [Client(server.port, asked, seed * CLIENTS + number) for number in range(CLIENTS)]
    await asyncio.gather(*(client.run(seconds) for client in clients))
    seen = collections.Counter()
    for client in clients:
        seen.update(client.seen)
    return seen, [wrong for client in clients for wrong in client.wrong]


def wait_until_idle(server):
    """Nothing runs, nothing waits, no block is held: within a moment of the last client's leaving."""
    end = time.monotonic() + 120
    names = ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc")
    while left := {name: value for name in names if (value := server.metric(name))}:
        assert time.monotonic() < end, f"still there: {left}"
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.timeout(300 + 3 * SECONDS)
def test_answers_hold_under_load(folder, lm):
    asked = questions(lm, 300, seed=1)
    with LiveServer(folder, "--no-access-log") as server:
        seen, wrong = asyncio.run(load(server, asked, SECONDS / 3, 1))
        wait_until_idle(server)
        before = server.resident_bytes()
        more, also_wrong = asyncio.run(load(server, asked, 2 * SECONDS / 3, 2))
        wait_until_idle(server)
        after = server.resident_bytes()
        seen.update(more)
        print(f"{dict(seen)}; {before >> 20} MiB after a third of the time, {after >> 20} MiB at its end")
        assert wrong + also_wrong == []
        assert seen[200] > 100
        assert after - before < GROWTH_BYTES


@pytest.mark.slow
def test_a_short_queue_turns_clients_away_and_harms_nobody(folder, lm):
    asked = questions(lm, 100, seed=2)
    with LiveServer(folder, "--no-access-log", "--queue", "4") as server:
        seen, wrong = asyncio.run(load(server, asked, min(SECONDS / 3, 30), 3))
        wait_until_idle(server)
        assert wrong == []
        assert seen[200] > 20
        assert seen[429] > 0
