"""``TEXTMILL_ISA``: the environment variable that says which instructions native code may use at most."""

from __future__ import annotations

import os

from textmill.base.errors import ConfigError, did_you_mean

NAME = "TEXTMILL_ISA"
TIERS = ("amx", "avx512", "avx2", "portable")


def check_isa() -> None:
    """Raise ``ConfigError`` where the variable is set to what is no tier; no file or model is to blame for that."""
    asked = os.environ.get(NAME, "")
    if asked and asked not in TIERS:
        raise ConfigError(
            f'the environment variable {NAME} is "{asked}"{did_you_mean(asked, TIERS)} It may be {", ".join(TIERS)}, '
            "or unset for the best that this processor has"
        )
