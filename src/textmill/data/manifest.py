"""What a shard set holds: ``manifest.json``, the one file that says what the others are, and the sha256 of itself."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from textmill.base.config import from_table, to_table
from textmill.base.errors import ConfigError, DataError
from textmill.base.files import write_file

FORMAT_VERSION = 2
READ_VERSIONS = (1, 2)
MANIFEST = "manifest.json"
_OWN_SHA256 = "sha256"


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardFile:
    """One file of a shard set.

    Attributes:
        name: the file's, in the set's folder.
        num_tokens: 0 where it holds none.
        sha256: of its bytes.
        num_documents: documents in it (0 in sets of format 1, which do not say).
        num_bytes: bytes of UTF-8 that their texts had.
    """

    name: str
    num_tokens: int
    sha256: str
    num_documents: int = 0
    num_bytes: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """What a shard set holds.

    Attributes:
        format_version: 2, or 1 in sets of textmill 0.1.
        source: the set's name in a recipe's mixture.
        dtype: uint16 or uint32.
        vocab_size: ids are below it.
        document_end: the id that ends each document.
        tokenizer_sha256: ties the set to its tokenizer.
        num_documents: in all files.
        num_tokens: in all files, the ids that end documents among them.
        num_bytes: bytes of UTF-8 that the texts had.
        files: in the order of their tokens.
        index: where documents begin, and checksums.
        names: the documents' ids, where they were kept.
        cluster_sizes: how many near-duplicates each document stands for, where that was found out.
        made_by: how the set was made, for whoever asks.
    """

    format_version: int
    source: str
    dtype: str
    vocab_size: int
    document_end: int
    tokenizer_sha256: str
    num_documents: int
    num_tokens: int
    num_bytes: int
    files: tuple[ShardFile, ...]
    index: ShardFile
    names: ShardFile | None = None
    cluster_sizes: ShardFile | None = None
    made_by: dict[str, Any] = field(default_factory=dict)

    @property
    def all_files(self) -> tuple[ShardFile, ...]:
        """Every file beside the manifest, those of tokens first."""
        return (*self.files, *(file for file in (self.index, self.names, self.cluster_sizes) if file is not None))


def read_manifest(folder: Path) -> Manifest:
    """Read a shard set's manifest; raises ``DataError`` where it is missing, damaged or of a newer format."""
    path = folder / MANIFEST
    if not path.is_file():
        raise DataError(f"{folder} holds no {MANIFEST}: it is not a shard set")
    try:
        table = json.loads(path.read_text())
        version = table.get("format_version") if isinstance(table, dict) else None
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise DataError(
                f"{path} has format {version}, and this textmill reads {' and '.join(map(str, READ_VERSIONS))}; "
                "write the shards again, or use the release that wrote them"
            )
        own_sha256 = table.pop(_OWN_SHA256, None) if isinstance(table, dict) else None
        manifest = from_table(Manifest, table)
    except (ConfigError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is damaged: {error}; write the shards again") from error
    if (wrong := _contradiction(manifest)) is not None:
        raise DataError(f"{path} is damaged: {wrong}; write the shards again")
    # Manifests of earlier releases do not have it.
    if own_sha256 is not None and own_sha256 != _sha256_of(table):
        raise DataError(
            f"{path} is damaged: it says that the sha256 of what it holds is {own_sha256}, and that is "
            f"{_sha256_of(table)}; copy it again, or write the shards again"
        )
    return manifest


def _contradiction(manifest: Manifest) -> str | None:
    """Say what in a manifest cannot be, if anything."""
    if manifest.format_version not in READ_VERSIONS:
        return f"format {manifest.format_version} is unknown"
    if manifest.dtype not in ("uint16", "uint32"):
        return f'tokens of "{manifest.dtype}" are unknown'
    for file in manifest.all_files:
        if Path(file.name).name != file.name or file.num_tokens < 0:
            return f'"{file.name}" with {file.num_tokens} tokens is no file of the set\'s folder'
    in_files = sum(file.num_tokens for file in manifest.files)
    if in_files != manifest.num_tokens or manifest.num_documents < 1:
        return f"{manifest.num_documents} documents have {manifest.num_tokens} tokens, and the files {in_files}"
    return None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write a shard set's manifest, which makes it one."""
    table = json.loads(json.dumps(to_table(manifest)))
    write_file(folder / MANIFEST, json.dumps(table | {_OWN_SHA256: _sha256_of(table)}, indent=2) + "\n")


def _sha256_of(table: dict[str, Any]) -> str:
    """Hash what a manifest holds, however it is laid out."""
    return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()
