"""Models by name, loaded when they are asked for, within a budget of memory.

A model that somebody uses stays; of the others, the one that was used longest ago makes room. Who asks for a model that
is being loaded waits for that. An adapter's folder (LoRA) is a model as others are: its base with it merged into it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from textmill.base import units
from textmill.serve.api_error import ApiError

M = TypeVar("M")
_RETRY_AFTER_S = 5


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Pooled(Generic[M]):
    """A model that can be had.

    Attributes:
        name: what clients call it.
        num_bytes: what it takes in memory, weights and cache.
        load: reads it; errors are told to whoever waits for it.
    """

    name: str
    num_bytes: int
    load: Callable[[], M]


class ModelPool(Generic[M]):
    """Any thread may lease; loading happens in the thread of the first who asks."""

    def __init__(self, models: Sequence[Pooled[M]], *, memory: int) -> None:
        """Take models, of which the first is meant where no name is given, and ``memory`` bytes for all of them."""
        self._places = {model.name: _Place(model) for model in models}
        self._memory = memory
        self._changed = threading.Condition()
        self._clock = 0

    @property
    def names(self) -> list[str]:
        """All names, in the order in which they were given."""
        return list(self._places)

    @property
    def memory(self) -> int:
        """Bytes that all may take together."""
        return self._memory

    @property
    def unloaded(self) -> dict[str, int]:
        """What those would take, by name, that are not in memory now."""
        with self._changed:
            return {name: place.model.num_bytes for name, place in self._places.items() if place.loaded is None}

    @property
    def loaded(self) -> list[M]:
        """Those that are in memory now, in that order."""
        with self._changed:
            return [place.loaded for place in self._places.values() if place.loaded is not None]

    @property
    def num_bytes(self) -> int:
        """What those take that are in memory, or being loaded."""
        with self._changed:
            return self._num_bytes()

    @contextlib.contextmanager
    def lease(self, name: str | None = None) -> Iterator[M]:
        """Keep a model in memory while the block runs, loading it first if need be.

        Raises:
            ApiError: there is no model of that name (404), it is larger than the budget (400), or there is no room
                for it beside those in use (503).
        """
        lease = self.take(name)
        try:
            yield lease.model
        finally:
            lease.give_back()

    def try_take(self, name: str | None = None) -> Lease[M] | None:
        """A lease on a model that is in memory; None where it has to be loaded. It never waits; raises as ``lease``."""
        with self._changed:
            place = self._find(name)
            return None if place.loaded is None else self._lease(place, place.loaded)

    def take(self, name: str | None = None) -> Lease[M]:
        """A lease on a model, loaded first if need be; raises as ``lease``."""
        with self._changed:
            place = self._find(name)
            while place.is_loading:
                self._changed.wait()
                if place.error is not None and place.loaded is None and not place.is_loading:
                    raise place.error
            if place.loaded is not None:
                return self._lease(place, place.loaded)
            self._make_room(place.model)
            place.is_loading, place.error = True, None
        loaded: M | None = None
        try:
            loaded = place.model.load()
        except BaseException as error:
            place.error = error if isinstance(error, Exception) else None  # an interruption is this thread's alone
            raise
        finally:
            with self._changed:
                place.is_loading, place.loaded = False, loaded
                lease = None if loaded is None else self._lease(place, loaded)
                self._changed.notify_all()
        assert lease is not None
        return lease

    def _find(self, name: str | None) -> _Place[M]:
        name = name or self.names[0]
        if name not in self._places:
            raise unknown_model(name, self.names)
        return self._places[name]

    def _make_room(self, model: Pooled[M]) -> None:
        """Forget models that nobody uses, until there is room."""
        if model.num_bytes > self._memory:
            raise ApiError(
                400,
                f'"{model.name}" takes {units.num_bytes(model.num_bytes)}, and this server has '
                f"{units.num_bytes(self._memory)} for all models; it was started with too small a --memory",
                code="model_too_large",
                param="model",
            )
        idle = sorted(
            (place for place in self._places.values() if place.loaded is not None and place.num_users == 0),
            key=lambda place: place.used_at,
        )
        free = self._memory - self._num_bytes()
        if free + sum(place.model.num_bytes for place in idle) < model.num_bytes:
            raise ApiError(
                503,
                f'"{model.name}" takes {units.num_bytes(model.num_bytes)}, and '
                f"{units.num_bytes(max(free, 0))} of {units.num_bytes(self._memory)} are free of models in use. "
                f"Try again in {_RETRY_AFTER_S} s",
                code="no_room_for_model",
                headers=[(b"retry-after", str(_RETRY_AFTER_S).encode())],
            )
        for place in idle:
            if free >= model.num_bytes:
                break
            place.loaded = None
            free += place.model.num_bytes

    def _num_bytes(self) -> int:
        return sum(
            place.model.num_bytes for place in self._places.values() if place.loaded is not None or place.is_loading
        )

    def _lease(self, place: _Place[M], loaded: M) -> Lease[M]:
        place.num_users += 1
        return Lease(loaded, lambda: self._give_back(place))

    def _give_back(self, place: _Place[M]) -> None:
        with self._changed:
            place.num_users -= 1
            self._clock += 1
            place.used_at = self._clock
            self._changed.notify_all()


class Lease(Generic[M]):
    """A model that stays in memory until the lease is given back."""

    def __init__(self, model: M, give_back: Callable[[], None]) -> None:
        self.model = model
        self._give_back: Callable[[], None] | None = give_back

    def give_back(self) -> None:
        """Say that the model is not used any more; a second time says nothing."""
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back()


def unknown_model(name: str, names: list[str]) -> ApiError:
    """What a client is told that asks for a model which is not here."""
    known = ", ".join(f'"{known}"' for known in names)
    return ApiError(404, f'there is no model "{name}"; this server has {known}', code="model_not_found", param="model")


@dataclasses.dataclass(eq=False)
class _Place(Generic[M]):
    """What there is of a model now; guarded by the pool's lock."""

    model: Pooled[M]
    loaded: M | None = None
    is_loading: bool = False
    num_users: int = 0
    used_at: int = 0
    error: Exception | None = None
