"""Fixtures that every room's tests may ask for, and how properties are tried."""

from hypothesis import HealthCheck, settings

from fakes.real_model import real_model

__all__ = ["real_model"]

# A busy machine makes examples slow to come by and to try, which says nothing of the code. The same examples every
# time: a change is judged by what it changes. `make test-long` tries others.
settings.register_profile("exploring", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("textmill", settings.get_profile("exploring"), derandomize=True)
settings.load_profile("textmill")
