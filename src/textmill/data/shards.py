"""Shard sets: the tokens of one source on disk, mapped into memory, never read whole.

manifest.json    counts, dtype, the tokenizer's hash and a sha256 for every file
00000.bin ...    token ids, raw little-endian uint16 or uint32, documents one after the other, each ended by one id
index.bin        where documents begin, how many bytes of text each was, a checksum for every block of the .bin files
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from textmill.base.config import from_table, to_table
from textmill.base.errors import ConfigError, DataError
from textmill.base.files import new_folder, sha256_file
from textmill.data.index import BLOCK_BYTES, ShardIndex
from textmill.text.batches import in_batches
from textmill.text.documents import Document
from textmill.tokenizer.tokenizer import Tokenizer

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
INDEX = "index.bin"
SHARD_TOKENS = 1 << 27
_BATCH_CHARACTERS = 4 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardFile:
    """One file of a shard set; ``num_tokens`` is 0 for the index."""

    name: str
    num_tokens: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """What a shard set holds.

    ``num_tokens`` counts the ids that end documents too; ``num_bytes`` counts the text's UTF-8 bytes.
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


def write_shards(
    folder: Path,
    documents: Iterable[Document],
    tokenizer: Tokenizer,
    *,
    source: str,
    document_end: int,
    shard_tokens: int = SHARD_TOKENS,
    progress: Callable[[int], None] | None = None,
) -> Manifest:
    """Tokenize documents into a new shard set; the folder appears whole or not at all.

    Args:
        folder: where the set goes; what stood there is replaced when the new one is whole.
        documents: in the order they are to stand.
        tokenizer: gives ids and the hash that ties shards to it.
        source: the set's name in a recipe's mixture.
        document_end: the id that ends each document.
        shard_tokens: a file is closed once it holds this many tokens.
        progress: called with the bytes of text done so far.

    Raises:
        DataError: there are no documents.
        StorageError: the disk is full.
    """
    dtype = np.dtype("<u2" if tokenizer.vocab_size <= 1 << 16 else "<u4")
    index = ShardIndex.empty()
    files: list[ShardFile] = []
    with new_folder(folder) as temporary:
        num_bytes = 0
        texts_of_documents = (document.text for document in documents)
        batches = in_batches(texts_of_documents, len, _BATCH_CHARACTERS)
        while True:
            path = temporary / f"{len(files):05d}.bin"
            before = index.num_tokens
            with path.open("wb") as file:
                while index.num_tokens - before < shard_tokens and (texts := next(batches, None)):
                    ids, lengths = _encode(tokenizer, texts, document_end, dtype)
                    file.write(ids.tobytes())
                    text_bytes = [len(text.encode()) for text in texts]
                    index.add_documents(lengths, text_bytes)
                    num_bytes += sum(text_bytes)
                    if progress:
                        progress(num_bytes)
            if index.num_tokens == before:
                path.unlink()
                break
            files.append(_finish(path, index.num_tokens - before, index))
        if not files:
            raise DataError(f'the source "{source}" has no documents to tokenize; check its path')
        (temporary / INDEX).write_bytes(index.to_bytes())
        manifest = Manifest(
            format_version=FORMAT_VERSION,
            source=source,
            dtype=dtype.name,
            vocab_size=tokenizer.vocab_size,
            document_end=document_end,
            tokenizer_sha256=tokenizer.sha256,
            num_documents=index.num_documents,
            num_tokens=index.num_tokens,
            num_bytes=num_bytes,
            files=tuple(files),
            index=ShardFile(name=INDEX, num_tokens=0, sha256=sha256_file(temporary / INDEX)),
        )
        (temporary / MANIFEST).write_text(json.dumps(to_table(manifest), indent=2) + "\n")
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """Read a shard set's manifest; raises ``DataError`` where it is missing, damaged or of a newer format."""
    path = folder / MANIFEST
    if not path.is_file():
        raise DataError(f"{folder} holds no {MANIFEST}: it is not a shard set")
    try:
        manifest = from_table(Manifest, json.loads(path.read_text()))
    except (ConfigError, ValueError) as error:
        raise DataError(f"{path} is damaged: {error}; write the shards again") from error
    if manifest.format_version != FORMAT_VERSION:
        raise DataError(
            f"{path} has format {manifest.format_version}, and this textmill reads {FORMAT_VERSION}; "
            "write the shards again, or use the release that wrote them"
        )
    return manifest


class ShardSet:
    """A shard set opened for reading; its files are mapped, so opening one costs nothing whatever its size.

    Raises:
        DataError: a file is missing, or not as long as the manifest says.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = read_manifest(folder)
        dtype = np.dtype(self.manifest.dtype).newbyteorder("<")
        self._parts = []
        for file in self.manifest.files:
            path = folder / file.name
            wanted = file.num_tokens * dtype.itemsize
            actual = path.stat().st_size if path.is_file() else 0
            if actual != wanted:
                raise DataError(f"{path} has {actual} bytes, and its manifest says {wanted}; copy it or write it again")
            self._parts.append(np.memmap(path, dtype, "r"))
        self._starts = np.concatenate([[0], np.cumsum([len(part) for part in self._parts])])
        self.index = ShardIndex.read(folder / INDEX)

    @property
    def num_tokens(self) -> int:
        """Tokens in all files, the ids that end documents among them."""
        return self.manifest.num_tokens

    def tokens(self, start: int, stop: int) -> np.ndarray:
        """Copy the tokens in [start, stop), whichever files they lie in; returns int64[stop - start]."""
        assert 0 <= start <= stop <= self.num_tokens, (start, stop, self.num_tokens)
        pieces = []
        first = int(np.searchsorted(self._starts, start, side="right")) - 1
        for part, begin in zip(self._parts[first:], self._starts[first:], strict=False):
            if begin >= stop:
                break
            pieces.append(part[max(start - begin, 0) : stop - begin])
        return np.concatenate(pieces).astype(np.int64) if pieces else np.empty(0, np.int64)

    def document(self, number: int) -> np.ndarray:
        """Copy a document's tokens without the id that ends it; returns int64[n]."""
        start, stop = self.index.span(number)
        return self.tokens(start, stop - 1)

    def documents(self) -> Iterator[np.ndarray]:
        """Copy each document's tokens in turn."""
        for number in range(self.manifest.num_documents):
            yield self.document(number)

    def verify(self) -> None:
        """Hash every file; raises ``DataError`` that names the file and the first damaged block."""
        for file in self.manifest.files:
            path = self.folder / file.name
            if sha256_file(path) != file.sha256:
                block = self.index.first_damaged_block(path, self.manifest.files.index(file))
                raise DataError(
                    f"{path} is damaged: its sha256 is not the manifest's (first wrong block: {block}, of "
                    f"{BLOCK_BYTES} bytes each); copy it again or write the shards again"
                )
        if sha256_file(self.folder / INDEX) != self.manifest.index.sha256:
            raise DataError(
                f"{self.folder / INDEX} is damaged: its sha256 is not the manifest's; write the shards again"
            )


def _encode(
    tokenizer: Tokenizer, texts: list[str], document_end: int, dtype: np.dtype
) -> tuple[np.ndarray, np.ndarray]:
    """Encode texts, ``document_end`` behind each; returns the ids and int64 lengths of documents, ends included."""
    batch = tokenizer.encode_batch(texts)
    lengths = np.diff(batch.offsets) + 1
    ids = np.full(len(batch.ids) + len(texts), document_end, dtype)
    is_text = np.ones(len(ids), bool)
    is_text[np.cumsum(lengths) - 1] = False
    ids[is_text] = batch.ids
    return ids, lengths


def _finish(path: Path, num_tokens: int, index: ShardIndex) -> ShardFile:
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            index.add_block(zlib.crc32(block))
    index.end_file()
    return ShardFile(name=path.name, num_tokens=num_tokens, sha256=sha256_file(path))
