"""The models that a server has, by the names that clients call them."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from textmill.base.errors import ConfigError, TextmillError
from textmill.checkpoint.sampling_defaults import load_sampling_defaults
from textmill.infer.engine import LanguageModel, load, planned_memory
from textmill.model.machine import memory as free_memory
from textmill.serve.api_error import ApiError
from textmill.serve.model_pool import Lease, ModelPool, Pooled, unknown_model


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ServedModel:
    """A model that is ready to answer.

    Attributes:
        name: what clients call it.
        lm: the model.
        defaults: how its makers say to draw, by the names of ``Request``'s options.
    """

    name: str
    lm: LanguageModel
    defaults: Mapping[str, Any]

    def with_adapter(self, name: str) -> ServedModel:
        """The same model as one of its adapters changes it, under that one's name."""
        return dataclasses.replace(self, name=name, lm=self.lm.with_adapter(name))


class Models:
    """The models of a server, by name; the first answers where a request names none.

    Adapters that share weights go by names of their own: they are had with the first model, which was loaded with them.
    """

    def __init__(self, pool: ModelPool[ServedModel], adapters: Sequence[str] = ()) -> None:
        self._pool = pool
        self._adapters = tuple(adapters)
        self._loading: dict[str, asyncio.Future[None]] = {}

    @property
    def names(self) -> list[str]:
        """All names, in the order in which they were given, those of adapters last."""
        return [*self._pool.names, *self._adapters]

    def base_of(self, name: str) -> str | None:
        """The name of the model whose weights an adapter shares; None for what is no adapter."""
        return self._pool.names[0] if name in self._adapters else None

    @property
    def loaded(self) -> list[ServedModel]:
        """Those that are in memory now."""
        return self._pool.loaded

    @property
    def unloaded(self) -> dict[str, int]:
        """Bytes that the others would take, by name."""
        return self._pool.unloaded

    @property
    def memory(self) -> int:
        """Bytes that all may take together."""
        return self._pool.memory

    def try_take(self, name: str | None) -> Lease[ServedModel] | None:
        """A lease on a model that is in memory; None where it has to be loaded. ``ApiError`` for no such name."""
        name = name or self.names[0]
        if name not in self.names:
            raise unknown_model(name, self.names)
        base = self.base_of(name)
        lease = self._pool.try_take(base or name)
        if lease is None or base is None:
            return lease
        return Lease(lease.model.with_adapter(name), lease.give_back)

    async def take(self, name: str | None) -> Lease[ServedModel]:
        """A lease on a model, loaded first where it is not in memory: in a thread of its own, for all who wait.

        Raises:
            ApiError: there is none of that name, no room for it, or it cannot be loaded.
        """
        name = name or self.names[0]
        loaded = self.base_of(name) or name
        while (lease := self.try_take(name)) is None:
            loading = self._loading.get(loaded)
            if loading is None or loading.done():
                loading = asyncio.get_running_loop().run_in_executor(None, self._load, loaded)
                loading.add_done_callback(functools.partial(self._forget, loaded))
                self._loading[loaded] = loading
            try:
                await asyncio.shield(loading)
            except TextmillError as error:
                raise ApiError(503, f"the model cannot be loaded: {error}", code="model_not_loaded") from error
        return lease

    def _forget(self, name: str, loading: asyncio.Future[None]) -> None:
        if self._loading.get(name) is loading:
            del self._loading[name]
        if not loading.cancelled():
            loading.exception()  # those who waited have it, and maybe nobody waits any more

    def _load(self, name: str) -> None:
        """Have a model in memory; whoever wants it takes it then, unless another has taken its place already."""
        self._pool.take(name).give_back()


def pool_of(
    found: Mapping[str, Path], memory: int | None, *, adapters: Mapping[str, Path] | None = None, **loading: Any
) -> ModelPool[ServedModel]:
    """A pool of models that lie on the disk; none is loaded yet.

    Args:
        found: their paths by the names that clients call them.
        memory: bytes that they may take together, weights and caches; None is what is free now.
        adapters: folders of adapters that share the first model's weights, by the names that clients call them.
        **loading: other options of ``textmill.load``.

    Raises:
        ConfigError: a model does not fit by itself, or another device than the CPU has a budget.
        DataError: a model is damaged.
    """
    is_cpu = loading.get("device", "cpu") == "cpu"
    if memory is not None and not is_cpu:
        raise ConfigError(f'memory is what models take of the CPU\'s, and the device is "{loading["device"]}"')
    budget = free_memory().available if memory is None else memory
    place = functools.partial(_on_disk, budget=budget) if is_cpu else _on_device
    models = [
        place(name, path, loading if number else loading | {"adapters": adapters})
        for number, (name, path) in enumerate(found.items())
    ]
    return ModelPool(models, memory=budget)


def holding(models: Sequence[ServedModel]) -> ModelPool[ServedModel]:
    """A pool of models that are loaded already, and stay."""
    pool = ModelPool([Pooled(name=model.name, num_bytes=0, load=lambda m=model: m) for model in models], memory=0)
    for model in models:
        pool.take(model.name).give_back()
    return pool


def _on_disk(name: str, path: Path, loading: Mapping[str, Any], *, budget: int) -> Pooled[ServedModel]:
    """A model for the CPU, with what it takes: its cache is as large as if it had the budget for itself."""
    plan = planned_memory(path, free=budget, **loading)

    def load() -> ServedModel:
        return _served(name, path, {**loading, "kv_memory": plan.cache_bytes})

    return Pooled(name=name, num_bytes=plan.weight_bytes + plan.cache_bytes, load=load)


def _on_device(name: str, path: Path, loading: Mapping[str, Any]) -> Pooled[ServedModel]:
    return Pooled(name=name, num_bytes=0, load=lambda: _served(name, path, loading))


def _served(name: str, path: Path, loading: Mapping[str, Any]) -> ServedModel:
    return ServedModel(name=name, lm=load(path, **loading), defaults=load_sampling_defaults(path))
