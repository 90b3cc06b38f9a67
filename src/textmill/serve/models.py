"""The models that a server has, by the names that clients call them."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Mapping
from typing import Any

from textmill.infer.engine import LanguageModel
from textmill.serve.api_error import ApiError


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


class Models:
    """Models that are loaded, the first of which answers where a request names none."""

    def __init__(self, models: list[ServedModel]) -> None:
        self._models = {model.name: model for model in models}

    @property
    def names(self) -> list[str]:
        """All names, in the order in which they were given."""
        return list(self._models)

    @property
    def loaded(self) -> list[ServedModel]:
        """Those that are in memory now."""
        return list(self._models.values())

    @contextlib.asynccontextmanager
    async def lease(self, name: str | None) -> AsyncIterator[ServedModel]:
        """Keep a model in memory while a request needs it.

        Raises:
            ApiError: there is none of that name.
        """
        chosen = name or next(iter(self._models))
        if chosen not in self._models:
            raise unknown_model(chosen, self.names)
        yield self._models[chosen]


def unknown_model(name: str, names: list[str]) -> ApiError:
    """What a client is told that asks for a model which is not here."""
    known = ", ".join(f'"{known}"' for known in names)
    return ApiError(404, f'there is no model "{name}"; this server has {known}', code="model_not_found", param="model")
