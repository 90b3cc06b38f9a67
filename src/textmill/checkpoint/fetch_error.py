"""The error of a model that could not be fetched."""

from __future__ import annotations

from textmill.base.errors import TextmillError


class FetchError(TextmillError):
    """A model could not be fetched: no network, no such model, no permission, or not what was promised. Exit code 1."""
