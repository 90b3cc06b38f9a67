"""The texts to score, by source: files, folders and globs, each with a name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from textmill.base.errors import ConfigError
from textmill.eval.results import names_a_file
from textmill.text.folders import paths_of, text_files


@dataclass(frozen=True, slots=True)
class TextSource:
    """Texts that are told of together.

    Attributes:
        name: what they are called.
        paths: files, folders and globs.
    """

    name: str
    paths: tuple[str, ...]

    @property
    def num_bytes(self) -> int:
        """Of its files, as they lie on the disk."""
        return sum(file.stat().st_size for root in paths_of(self.paths) for file in text_files(root))


def text_sources(arguments: Sequence[str]) -> list[TextSource]:
    """Read arguments: a path, whose name without its ending names the source, or ``NAME=PATH``; equal names join.

    Raises:
        ConfigError: a name that cannot be that of a file.
    """
    found: dict[str, list[str]] = {}
    for argument in arguments:
        name, equals, path = argument.partition("=")
        if not equals or Path(argument).exists():
            name, path = _name_of(argument), argument
        if not names_a_file(name) or name == "all":
            raise ConfigError(
                f'"{argument}" gives a source the name "{name}", which is the name of no file or stands for all; write '
                "NAME=PATH with another one"
            )
        found.setdefault(name, []).append(path)
    return [TextSource(name, tuple(paths)) for name, paths in found.items()]


def _name_of(path: str) -> str:
    """A file's or folder's name without its endings; of a glob, that of the folder before its first sign."""
    parts = [part for part in Path(path).parts if not set(part) & set("*?[")]
    name = (parts[-1] if parts else "").strip("/")
    if name in ("", "..", "."):
        name = Path(path).resolve().name
    return name.partition(".")[0] if not name.startswith(".") else name[1:]
