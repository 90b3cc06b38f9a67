"""Fixtures that every room's tests may ask for."""

from fakes.real_model import real_model

__all__ = ["real_model"]
