"""The one door that stages know."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")

# How often somebody who waits looks at how far the work is.
POLL_S = 0.25


class Engine(Protocol):
    """Runs tasks; a function of a module and picklable tasks in, picklable results out."""

    def run(
        self, function: Callable[[TaskT], ResultT], tasks: Sequence[TaskT], poll: Callable[[], Any]
    ) -> Iterator[ResultT]:
        """Yield each task's result as it is there, in any order, calling ``poll`` several times a second meanwhile.

        An error of a task stops the others and is raised here.
        """
        ...

    @property
    def threads(self) -> int:
        """Threads that one task may use."""
        ...

    @property
    def threads_here(self) -> int:
        """Threads that this process may use while no task runs."""
        ...

    def close(self) -> None:
        """Let go of processes."""
