"""Fixtures that every room's tests may ask for, and how properties are tried."""

from hypothesis import HealthCheck, settings

from fakes.real_model import real_model

__all__ = ["real_model"]

# A busy machine makes examples slow to come by and to try, which says nothing of the code.
settings.register_profile("textmill", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("textmill")
