"""The texts to score, by source: files, folders, globs and shard sets, each with a name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from textmill.base.errors import ConfigError
from textmill.data.manifest import read_manifest
from textmill.eval.results import names_a_file
from textmill.eval.shard_texts import is_shard_set, read_shard_texts, shard_sets
from textmill.text.documents import Document
from textmill.text.folders import paths_of, text_files
from textmill.text.readers import read_documents
from textmill.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class TextSource:
    """Texts that are told of together.

    Attributes:
        name: what they are called.
        paths: files, folders and globs of text.
        sets: folders that hold documents as tokens.
    """

    name: str
    paths: tuple[str, ...]
    sets: tuple[Path, ...] = ()

    @property
    def num_bytes(self) -> int:
        """Of its files as they lie on the disk, and of the text that tokens stand for."""
        files = (file for root in paths_of(self.paths) for file in text_files(root))
        return sum(file.stat().st_size for file in files) + sum(read_manifest(one).num_bytes for one in self.sets)

    def documents(self, tokenizer: Tokenizer) -> Iterator[Document]:
        """Read its documents, always in the same order.

        Args:
            tokenizer: the model's.

        Raises:
            DataError: something of it cannot be read as text.
        """
        if self.paths:
            yield from read_documents(self.paths, self.name)
        for folder in self.sets:
            yield from read_shard_texts(folder, self.name, tokenizer)


def text_sources(arguments: Sequence[str]) -> list[TextSource]:
    """Read arguments: a path, whose name without its ending names the source, or ``NAME=PATH``; equal names join.

    A folder of shard sets is a source for each of them.

    Raises:
        ConfigError: a name that cannot be that of a file.
    """
    found: dict[str, TextSource] = {}
    for argument in arguments:
        name, equals, path = argument.partition("=")
        if not equals or Path(argument).exists():
            name, path = "", argument
        sets = [Path(path)] if is_shard_set(Path(path)) else shard_sets(Path(path))
        if sets and not name:
            parts = [TextSource(_name_of(str(one)), (), (one,)) for one in sets]
        else:
            parts = [TextSource(name or _name_of(path), () if sets else (path,), tuple(sets))]
        for one in parts:
            if not names_a_file(one.name) or one.name == "all":
                raise ConfigError(
                    f'"{argument}" gives a source the name "{one.name}", which is the name of no file or stands for '
                    "all; write NAME=PATH with another one"
                )
            before = found.get(one.name, TextSource(one.name, ()))
            found[one.name] = TextSource(one.name, before.paths + one.paths, before.sets + one.sets)
    return list(found.values())


def _name_of(path: str) -> str:
    """A file's or folder's name without its endings; of a glob, that of the folder before its first sign."""
    parts = [part for part in Path(path).parts if not set(part) & set("*?[")]
    name = (parts[-1] if parts else "").strip("/")
    if name in ("", "..", "."):
        name = Path(path).resolve().name
    return name.partition(".")[0] if not name.startswith(".") else name[1:]
