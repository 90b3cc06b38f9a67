"""A Ray cluster: tasks run on any of its machines, all of which see input and output at the same place."""

from __future__ import annotations

import itertools
import os
import socket
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from textmill.base import units
from textmill.base.errors import ConfigError, TextmillError, require_extra
from textmill.data.engines.engine import POLL_S

TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")
# Tasks that wait in Ray for each of its processors: enough that none is idle, few enough that an error stops soon.
_TASKS_PER_CPU = 2
_MAX_RETRIES = 3
_CONNECTED_WITHIN_S = 10.0
_ENDED_WITHIN_S = 60.0  # of being asked to end, and of being forced to
_TOLD_AFTER_S = 2.0  # most tasks end sooner, and nobody has to know


class RayEngine:
    """Tasks on a Ray cluster, one processor each.

    Args:
        address: of a cluster that runs ("auto" finds the one of this machine, or ``RAY_ADDRESS``); None starts one
            here.
        tell: is told what is waited for, where that takes longer than a moment.

    Raises:
        MissingExtraError: Ray is not installed.
        ConfigError: there is no cluster at the address.
    """

    threads = 1
    threads_here = os.cpu_count() or 1

    def __init__(self, address: str | None = None, tell: Callable[[str], Any] = lambda message: None) -> None:
        self._tell = tell
        self._ray: Any = require_extra("ray", "ray", "--engine ray")
        self._started_here = not self._ray.is_initialized()
        if self._started_here:
            try:
                _connect(address or "")
                self._ray.init(address=address, log_to_driver=False, include_dashboard=False, logging_level="error")
            except (OSError, OverflowError, ValueError) as error:
                raise ConfigError(
                    f"there is no Ray cluster at {address}: {error}. Start one with: ray start --head"
                ) from error

    def run(
        self, function: Callable[[TaskT], ResultT], tasks: Sequence[TaskT], poll: Callable[[], Any]
    ) -> Iterator[ResultT]:
        """Yield each task's result as it is there. A task whose machine is lost runs again on another."""
        ray = self._ray
        remote = ray.remote(num_cpus=1, max_retries=_MAX_RETRIES)(function)
        following = iter(tasks)
        most = _TASKS_PER_CPU * max(1, int(ray.cluster_resources().get("CPU", 1)))
        waiting = [remote.remote(task) for task in itertools.islice(following, most)]
        try:
            while waiting:
                done, waiting = ray.wait(waiting, num_returns=1, timeout=POLL_S)
                poll()
                waiting += [remote.remote(task) for task in itertools.islice(following, len(done))]
                for reference in done:
                    yield self._result(reference)
        finally:
            self._end(waiting)  # whoever goes on from here may rely on it that nobody writes any more

    def close(self) -> None:
        """Leave the cluster."""
        if self._started_here:
            self._ray.shutdown()

    def _end(self, references: list[Any]) -> None:
        """Stop what is at work, by force where it does not end by itself: a result is a folder, whole or absent."""
        for force in (False, True):
            for reference in references:
                self._ray.cancel(reference, force=force)
            references = self._wait(references, _TOLD_AFTER_S)
            if references:
                what = "is forced to end" if force else "was asked to end, and finishes what it is at"
                self._tell(
                    f"waiting up to {_ENDED_WITHIN_S:.0f} s for {_tasks(references)} on the Ray cluster: each {what}, "
                    "so that none writes into the output folder later"
                )
                references = self._wait(references, _ENDED_WITHIN_S - _TOLD_AFTER_S)
        if references:
            warnings.warn(
                f"{_tasks(references)} on the Ray cluster did not end within {2 * _ENDED_WITHIN_S:.0f} s and may still "
                "write into the output folder. Before the next start end what still runs (ray stop on its machine), "
                "or set another output.dir",
                stacklevel=3,
            )

    def _wait(self, references: list[Any], timeout_s: float) -> list[Any]:
        """Wait for tasks to end; returns those that did not."""
        if not references:
            return []
        return self._ray.wait(references, num_returns=len(references), timeout=max(0.0, timeout_s))[1]

    def _result(self, reference: Any) -> Any:
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, TextmillError):
                raise error.cause from error
            raise
        except self._ray.exceptions.RayError as error:
            raise TextmillError(f"Ray lost a piece of work {_MAX_RETRIES} times: {error}") from error


def _tasks(references: list[Any]) -> str:
    return f"{len(references)} {units.plural(len(references), 'task')}"


def _connect(address: str) -> None:
    """See that somebody listens at ``HOST:PORT``, since Ray tries for many minutes; raises ``OSError`` if not."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), _CONNECTED_WITHIN_S).close()
