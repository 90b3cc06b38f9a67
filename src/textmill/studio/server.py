"""The studio from its start to its end: a socket of this machine, the page, a signal."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable

from uvicorn.server import ServerState

from textmill.serve.server import EXIT_CODES, loop_factory, protocol_factory
from textmill.serve.stepper import Stepper
from textmill.studio.app import App
from textmill.studio.loaded import Loaded
from textmill.studio.routes import Desk
from textmill.studio.subjects import Subjects

HOST = "127.0.0.1"
_LAST_STEP_S = 2.0
_log = logging.getLogger(__name__)


def run(sock: socket.socket, subjects: Subjects, on_ready: Callable[[], object]) -> int:
    """Serve until a signal; returns the exit code of that signal. ``on_ready`` is called when requests are taken."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_serve(sock, subjects, on_ready))


async def _serve(sock: socket.socket, subjects: Subjects, on_ready: Callable[[], object]) -> int:
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[signal.Signals] = loop.create_future()
    for number in EXIT_CODES:
        loop.add_signal_handler(number, lambda number=number: stopped.done() or stopped.set_result(number))
    stepper = Stepper(loop, on_failure=lambda error: _log.error("the engine failed", exc_info=error))
    connections = ServerState()
    app = App(Desk(Loaded(subjects), stepper))
    listener = await loop.create_server(protocol_factory(app, connections), sock=sock)
    on_ready()
    number = await stopped
    listener.close()
    tasks = set(connections.tasks)
    for task in tasks:  # streams have no end of their own
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=_LAST_STEP_S)
    for connection in list(connections.connections):
        connection.shutdown()
    stepper.stop(_LAST_STEP_S)
    return EXIT_CODES[number]
