"""A server from its start to its end: a socket, models that load behind it, signals, requests that are let finish."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import TextIO, TypeAlias

from uvicorn.config import Config
from uvicorn.server import ServerState

from textmill.base.errors import ConfigError
from textmill.serve.access_log import AccessLog
from textmill.serve.app import App
from textmill.serve.exchange import Receive, Scope, Send
from textmill.serve.metrics import Metrics
from textmill.serve.models import Models
from textmill.serve.protocol import Connection
from textmill.serve.service import Service
from textmill.serve.settings import Settings
from textmill.serve.stepper import Stepper

Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
# Browsers and proxies keep connections for a minute.
_KEEP_ALIVE_S = 75
_BACKLOG = 2048
# What is written already is let go out for so long, after all is done.
_FLUSH_S = 5.0
# A step of the engine is over sooner.
_LAST_STEP_S = 5.0


def listen(host: str, port: int) -> socket.socket:
    """Open the socket that a server listens on.

    Raises:
        ConfigError: the address is none of this machine's, or somebody listens there.
    """
    try:
        family, kind, number, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, kind, number)
    except (OSError, UnicodeError) as error:
        raise ConfigError(f'--host is "{host}", which is no address of this machine: {error}') from error
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    except (OSError, OverflowError) as error:
        sock.close()
        raise ConfigError(
            f"cannot listen on {host}, port {port}: {getattr(error, 'strerror', None) or error}. Another --port may be "
            "free; --port 0 takes one that is"
        ) from error
    sock.setblocking(False)
    return sock


def address_of(sock: socket.socket, host: str) -> str:
    """The address of a server for people and programs on this machine."""
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{name}:{sock.getsockname()[1]}"


def run(
    sock: socket.socket,
    settings: Settings,
    open_models: Callable[[], Models],
    on_ready: Callable[[Models], object],
    *,
    log: TextIO | None,
) -> int:
    """Serve until a signal says that it is enough; returns the exit code of that signal.

    Args:
        sock: of ``listen``.
        settings: limits and doors.
        open_models: loads what is to be served, while requests are answered with 503.
        on_ready: hears that it is done.
        log: where a line for each request goes.

    Raises:
        whatever ``open_models`` raises.
    """
    _allow_many_connections()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_Server(settings, AccessLog(log)).serve(sock, open_models, on_ready))


def _allow_many_connections() -> None:
    """Raise the number of open files to what this process may have: shells set 1,024, and a connection is one."""
    try:
        import resource
    except ImportError:  # not Unix
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The quickest event loop that there is here."""
    try:
        import uvloop
    except ImportError:  # not made for Windows
        return None
    return uvloop.new_event_loop


def protocol_factory(app: Application, connections: ServerState) -> Callable[[], asyncio.Protocol]:
    """What makes the connections of an application; ``connections`` knows those that are open, and their requests."""
    logging.getLogger("uvicorn").addHandler(logging.NullHandler())
    logging.getLogger("uvicorn").propagate = False
    config = Config(
        app,
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        interface="asgi3",
        timeout_keep_alive=_KEEP_ALIVE_S,
    )
    config.load()
    return lambda: Connection(config, connections, {})


class _Server:
    """One run of a server."""

    def __init__(self, settings: Settings, log: AccessLog) -> None:
        self._settings = settings
        self._log = log
        self._connections = ServerState()
        self._stopped: asyncio.Future[signal.Signals]
        self._service: Service

    async def serve(
        self, sock: socket.socket, open_models: Callable[[], Models], on_ready: Callable[[Models], object]
    ) -> int:
        loop = asyncio.get_running_loop()
        self._stopped = loop.create_future()
        for number in EXIT_CODES:
            loop.add_signal_handler(number, self._stop, number)
        stepper = Stepper(loop, on_failure=lambda error: self._log.event("engine_failed", error=repr(error)))
        self._service = Service(self._settings, stepper=stepper, metrics=Metrics(self._settings.metrics_prefix))
        listener = await loop.create_server(
            protocol_factory(App(self._service, self._log), self._connections), sock=sock, backlog=_BACKLOG
        )
        loading = asyncio.ensure_future(stepper.run(open_models))
        await asyncio.wait([loading, self._stopped], return_when=asyncio.FIRST_COMPLETED)
        if not self._stopped.done():
            models = loading.result()
            self._service.open(models)
            on_ready(models)
        number = await self._stopped
        await self._drain(listener)
        if not stepper.stop(_LAST_STEP_S):
            self._exit_now(number)
        return EXIT_CODES[number]

    def _stop(self, number: signal.Signals) -> None:
        """The first signal lets requests finish, the second one does not."""
        self._service.phase = "draining"
        if self._stopped.done():
            self._exit_now(number)
        self._log.event("stopping", signal=number.name, requests=len(self._connections.tasks))
        self._stopped.set_result(number)

    async def _drain(self, listener: asyncio.Server) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + self._settings.drain_s
        while self._connections.tasks and loop.time() < end:
            await asyncio.wait(set(self._connections.tasks), timeout=end - loop.time())
        listener.close()
        tasks = set(self._connections.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_FLUSH_S)
        for connection in list(self._connections.connections):
            connection.shutdown()
        end = loop.time() + _FLUSH_S
        while self._connections.connections and loop.time() < end:
            await asyncio.sleep(0.02)

    def _exit_now(self, number: signal.Signals) -> None:
        """End without waiting for anything, threads that compute included."""
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        os._exit(EXIT_CODES[number])
