"""Adapters by their names, and what keeps a run safe from them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from textmill.base.errors import ConfigError, MissingExtraError, did_you_mean
from textmill.base.events import Event

# By name: only the module of a tool that is asked for is imported.
ADAPTERS = {
    "tensorboard": "tensorboard:TensorBoardAdapter",
    "wandb": "wandb:WandbAdapter",
    "trackio": "trackio:TrackioAdapter",
}


class Adapter(Protocol):
    """Hears of a run's events, in their order, and hands them to a tool."""

    def __call__(self, event: Event) -> None:
        """Take an event."""

    def close(self) -> None:
        """Hand over what is left; no event comes after it."""


def open_adapter(name: str, run_folder: Path, config: Mapping[str, Any]) -> Adapter:
    """Open the adapter of a name.

    Args:
        name: ``tensorboard``, ``wandb`` or ``trackio``.
        run_folder: the run, whose folder's name is the run's name in the tool.
        config: what the run was asked, as ``config.json`` has it.

    Raises:
        ConfigError: there is no such adapter.
        MissingExtraError: the tool is not installed.
    """
    check_adapter(name)
    module, _, kind = ADAPTERS[name].partition(":")
    adapter: Adapter = getattr(importlib.import_module(f"textmill.train.adapters.{module}"), kind)(run_folder, config)
    return adapter


def check_adapter(name: str) -> None:
    """Refuse the name of no adapter, with the one that may be meant."""
    if name not in ADAPTERS:
        raise ConfigError(
            f'run.log_to names "{name}", which is no adapter{did_you_mean(name, ADAPTERS)} There are: '
            f"{', '.join(ADAPTERS)}"
        )


class Adapters:
    """Several adapters as one observer that never raises: one that fails is dropped, with one warning."""

    def __init__(
        self, names: Sequence[str], run_folder: Path, config: Mapping[str, Any], warn: Callable[[str], None]
    ) -> None:
        """Open them.

        Raises:
            ConfigError: a name is wrong.
            MissingExtraError: a tool is not installed.
        """
        self._warn = warn
        self._open: dict[str, Adapter] = {}
        for name in dict.fromkeys(names):
            try:
                self._open[name] = open_adapter(name, run_folder, config)
            except (ConfigError, MissingExtraError):
                self.close()
                raise
            except Exception as error:  # noqa: BLE001  a tool's trouble (no network, no login) is not the run's
                self._tell(name, error)

    def __call__(self, event: Event) -> None:
        """Hand an event to each adapter."""
        for name, adapter in list(self._open.items()):
            try:
                adapter(event)
            except Exception as error:  # noqa: BLE001  as above
                del self._open[name]
                self._tell(name, error)
                self._close(name, adapter)

    def close(self) -> None:
        """Close them all."""
        while self._open:
            self._close(*self._open.popitem(), tell=True)

    def _close(self, name: str, adapter: Adapter, *, tell: bool = False) -> None:
        try:
            adapter.close()
        except Exception as error:  # noqa: BLE001  as above
            if tell:
                self._tell(name, error)

    def _tell(self, name: str, error: Exception) -> None:
        self._warn(
            f"{name} failed and is left out from here on; the run goes on, and events.jsonl has all of it: "
            f"{type(error).__name__}: {error}"
        )
