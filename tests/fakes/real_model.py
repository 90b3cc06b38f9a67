"""The real SmolLM2-135M-Instruct for tests, as ``textmill model get`` keeps it: fetched once, then in the cache."""

import contextlib
import functools

import pytest

from textmill.checkpoint.fetch import fetch_model
from textmill.checkpoint.fetch_error import FetchError

NAME = "smollm2-135m-instruct"


class SilentBar:
    def update(self, done, note=""): ...


def open_silent_bar(what, total):
    return contextlib.nullcontext(SilentBar())


@functools.cache
def _fetch():
    """Its path, or why it cannot be had; asked once for all tests."""
    try:
        return fetch_model(NAME, open_bar=open_silent_bar, on_wait=lambda: None).path
    except FetchError as error:
        return f"needs the real {NAME}: {error}"


@pytest.fixture(scope="session")
def real_model():
    """The path of its GGUF file; skips, with the reason, where it is not in the cache and cannot be fetched."""
    found = _fetch()
    if isinstance(found, str):
        pytest.skip(found)
    return found
