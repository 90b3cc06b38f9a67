"""Shard sets: the tokens of one source on disk, mapped into memory, never read whole.

manifest.json      counts, dtype, the tokenizer's hash and a sha256 for every file
00000.bin ...      token ids, raw little-endian uint16 or uint32, documents one after the other, each ended by one id
index.bin          where documents begin, how many bytes of text each was, a checksum for every 64 KiB of the .bin files
documents.bin      the documents' ids (optional)
cluster_sizes.bin  how many near-duplicates each stands for (optional)
packing-*.bin      tables that packing made of the set (``packing``)
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from textmill.base.errors import DataError
from textmill.base.files import new_folder, sha256_file
from textmill.data.array_file import ArrayFile, check_array_file
from textmill.data.assemble import CLUSTER_SIZES_KIND, INDEX, assemble
from textmill.data.document_names import DocumentNames
from textmill.data.index import REMEDY, ShardIndex
from textmill.data.index_format_1 import ShardIndex1
from textmill.data.manifest import MANIFEST, Manifest, ShardFile, read_manifest
from textmill.data.mapped_file import map_file
from textmill.data.packing_table import REMEDY as PACKING_REMEDY
from textmill.data.packing_table import packing_files
from textmill.data.shard_writer import ShardPart, ShardWriter
from textmill.text.batches import in_batches
from textmill.text.checked_files import CheckedFiles
from textmill.text.documents import Document
from textmill.text.token_stream import TokenStream
from textmill.tokenizer.tokenizer import Tokenizer

__all__ = ["INDEX", "MANIFEST", "Manifest", "ShardFile", "ShardSet", "dtype_for", "read_manifest", "write_shards"]
SHARD_TOKENS = 1 << 27
_BATCH_CHARACTERS = 4 << 20
_READ_BYTES = 1 << 20


def dtype_for(vocab_size: int) -> str:
    """Name the dtype that holds the ids of a vocabulary."""
    return "uint16" if vocab_size <= 1 << 16 else "uint32"


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
    dtype = dtype_for(tokenizer.vocab_size)
    parts: list[ShardPart] = []
    with new_folder(folder) as temporary:
        batches = in_batches((document.text for document in documents), len, _BATCH_CHARACTERS)
        texts = next(batches, None)
        num_bytes = 0
        while texts:
            with ShardWriter(temporary / f"{len(parts):05d}.bin", dtype) as writer:
                while texts and writer.num_tokens < shard_tokens:
                    ids, lengths = _encode(tokenizer, texts, document_end, dtype)
                    text_bytes = np.array([len(text.encode()) for text in texts])
                    writer.add(ids, lengths, text_bytes)
                    num_bytes += int(text_bytes.sum())
                    if progress:
                        progress(num_bytes)
                    texts = next(batches, None)
                parts.append(writer.finish())
        return assemble(
            temporary,
            parts,
            source=source,
            dtype=dtype,
            vocab_size=tokenizer.vocab_size,
            document_end=document_end,
            tokenizer_sha256=tokenizer.sha256,
        )


class ShardSet:
    """A shard set opened for reading; its files are mapped, so opening one costs nothing whatever its size.

    Every block is checked when it is first touched (in sets of format 1 by ``verify`` alone).

    Attributes:
        folder: where it is.
        manifest: what it holds.
        index: where its documents begin.
        stream: its tokens, file after file.

    Raises:
        DataError: a file is missing, not as long as the manifest says, or damaged where it was read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = read_manifest(folder)
        self.token_bytes = np.dtype(self.manifest.dtype).itemsize
        self._contents = [self._map(file) for file in self.manifest.files]
        self._file_starts = np.cumsum([0, *(file.num_tokens for file in self.manifest.files)])
        index_kind = ShardIndex1 if self.manifest.format_version == 1 else ShardIndex
        self.index = index_kind(folder / INDEX)
        if (self.index.num_documents, self.index.num_files) != (self.manifest.num_documents, len(self._contents)):
            raise DataError(
                f"{folder / INDEX} speaks of {self.index.num_documents} documents in {self.index.num_files} files, and "
                f"its manifest of {self.manifest.num_documents} in {len(self._contents)}; {REMEDY}"
            )
        if self.index.num_tokens != self.manifest.num_tokens:
            raise DataError(
                f"{folder / INDEX} ends at token {self.index.num_tokens}, and the manifest has "
                f"{self.manifest.num_tokens}; {REMEDY}"
            )
        files = CheckedFiles(
            [folder / file.name for file in self.manifest.files],
            self._contents,
            [self.index.checksums(number) for number in range(len(self._contents))],
            self.index.block_bytes,
            REMEDY,
        )
        self.stream = TokenStream(files, self.token_bytes)

    def __reduce__(self) -> tuple[type[ShardSet], tuple[Path]]:
        return ShardSet, (self.folder,)

    @property
    def num_tokens(self) -> int:
        """Tokens in all files, the ids that end documents among them."""
        return self.manifest.num_tokens

    @cached_property
    def manifest_sha256(self) -> str:
        """A hash of the manifest, which holds those of all files: what was made from this set names it so."""
        return sha256_file(self.folder / MANIFEST)

    @cached_property
    def names(self) -> DocumentNames | None:
        """The documents' ids, where the set has them."""
        return None if self.manifest.names is None else DocumentNames(self.folder / self.manifest.names.name)

    @cached_property
    def cluster_sizes(self) -> NDArray[np.uint32] | None:
        """How many near-duplicates each document stands for, uint32[documents], where the set has it."""
        file = self.manifest.cluster_sizes
        return None if file is None else ArrayFile(self.folder / file.name, CLUSTER_SIZES_KIND, REMEDY).read("sizes")

    def tokens(self, start: int, stop: int) -> NDArray[np.int64]:
        """Copy the tokens in [start, stop), whichever files they lie in; returns int64[stop - start]."""
        assert 0 <= start <= stop <= self.num_tokens, (start, stop, self.num_tokens)
        return self.stream.tokens(start, stop)

    def document(self, number: int) -> NDArray[np.int64]:
        """Copy a document's tokens without the id that ends it; returns int64[n]."""
        start, stop = self.index.span(number)
        return self.tokens(start, stop - 1)

    def documents(self) -> Iterator[NDArray[np.int64]]:
        """Copy each document's tokens in turn."""
        for number in range(self.manifest.num_documents):
            yield self.document(number)

    def file_place(self, token: int) -> tuple[str, int]:
        """Tell the name of the file that a token lies in, and its first byte there."""
        file = int(np.searchsorted(self._file_starts, token, side="right")) - 1
        return self.manifest.files[file].name, (token - int(self._file_starts[file])) * self.token_bytes

    def verify(self, progress: Callable[[int], None] | None = None) -> None:
        """Hash every file, and check the blocks of packing tables, which no manifest knows.

        Args:
            progress: called with the bytes done so far.

        Raises:
            DataError: a file is not what the manifest says; it is named, and its first damaged block.
        """
        done = 0
        for file in self.manifest.all_files:
            path = self.folder / file.name
            if _sha256(path, done, progress) != file.sha256:
                if file not in self.manifest.files and self.manifest.format_version > 1:
                    check_array_file(path, REMEDY)  # which says where
                raise DataError(
                    f"{path} is damaged: its sha256 is not the manifest's{self._first_wrong(file)}; {REMEDY}"
                )
            done += path.stat().st_size
        for path in packing_files(self.folder):
            check_array_file(path, PACKING_REMEDY)

    @property
    def num_file_bytes(self) -> int:
        """Bytes of all files but the manifest."""
        return sum((self.folder / file.name).stat().st_size for file in self.manifest.all_files)

    def _map(self, file: ShardFile) -> NDArray[np.uint8]:
        path = self.folder / file.name
        content, wanted = map_file(path), file.num_tokens * self.token_bytes
        if len(content) != wanted:
            raise DataError(
                f"{path} has {len(content)} bytes, and its manifest says {wanted}; copy it or write it again"
            )
        return content

    def _first_wrong(self, file: ShardFile) -> str:
        if file not in self.manifest.files:
            return ""
        number = self.manifest.files.index(file)
        block = self.index.first_damaged_block(number, self._contents[number])
        return f" (first wrong block: {block}, of {self.index.block_bytes} bytes each)"


def _sha256(path: Path, done: int, progress: Callable[[int], None] | None) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
            done += len(block)
            if progress:
                progress(done)
    return digest.hexdigest()


def _encode(tokenizer: Tokenizer, texts: list[str], document_end: int, dtype: str) -> tuple[NDArray, NDArray[np.int64]]:
    """Encode texts, ``document_end`` behind each; returns the ids and int64 lengths of documents, ends included."""
    batch = tokenizer.encode_batch(texts)
    lengths = np.diff(batch.offsets) + 1
    ids = np.full(len(batch.ids) + len(texts), document_end, dtype)
    is_text = np.ones(len(ids), bool)
    is_text[np.cumsum(lengths) - 1] = False
    ids[is_text] = batch.ids
    return ids, lengths
