"""What commands take a MODEL to be, and how they name it."""

from __future__ import annotations

from pathlib import Path

from textmill.base.errors import ConfigError
from textmill.cli.arguments import STANDARD_INPUT
from textmill.cli.output import Output
from textmill.cli.server_address import SCHEMES


def find_model(name: str, out: Output) -> Path:
    """Find the folder or file that a MODEL argument means, warning of damaged checkpoints that are passed over."""
    from textmill.checkpoint.sources import resolve_model

    if name == STANDARD_INPUT:
        raise ConfigError("a model is a folder, a file or a name, and cannot be read from standard input")
    if name.startswith(SCHEMES):
        raise ConfigError(f'"{name}" is the address of a server: textmill chat talks to one. Give a model here')
    return resolve_model(name, on_damage=lambda error: out.warning(f"{error}; taking the checkpoint before it"))
