"""What adapters share: their tools are imported when they are asked for, and a run is one run there, too."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import re
from pathlib import Path
from types import ModuleType

from textmill.base.errors import MissingExtraError

PROJECT = "textmill"


def import_tool(module: str, package: str | None = None) -> ModuleType:
    """Import a tool's module.

    Raises:
        MissingExtraError: it is not installed, with the command that installs it.
    """
    package = package or module
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f'run.log_to names "{package}", which is not installed or not whole: pip install {package} ({error})'
        ) from error


def check_installed(package: str) -> None:
    """Refuse a tool that is not there, without importing it.

    Raises:
        MissingExtraError: with the command that installs it.
    """
    if importlib.util.find_spec(package) is None:
        raise MissingExtraError(f'run.log_to names "{package}", which is not installed: pip install {package}')


def run_id(run_folder: Path) -> str:
    """A name that is the same whenever the run of this folder goes on, and another for a run of another folder."""
    folder = run_folder.resolve()
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", folder.name)[:48]
    return f"{name}-{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"
