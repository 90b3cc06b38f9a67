"""Shard sets as textmill 0.1 wrote them are read as they were."""

import hashlib
import json
import struct
import zlib

import numpy as np
import pytest

from textmill.base.errors import DataError
from textmill.data.shards import ShardSet

TEXTS = [b"first", b"", "naïve".encode(), b"x" * 700_000, b"last"]
END = 256
BLOCK_BYTES = 1 << 20


def write_format_1(folder):
    """Write the bytes that release 0.1 wrote, by its own description of them."""
    folder.mkdir()
    files, starts, blocks, file_blocks = [], [0], [], [0]
    for number, texts in enumerate((TEXTS[:3], TEXTS[3:])):
        ids = [token for text in texts for token in [*text, END]]
        data = np.array(ids, "<u2").tobytes()
        (folder / f"{number:05d}.bin").write_bytes(data)
        blocks += [zlib.crc32(data[at : at + BLOCK_BYTES]) for at in range(0, len(data), BLOCK_BYTES)]
        file_blocks.append(len(blocks))
        for text in texts:
            starts.append(starts[-1] + len(text) + 1)
        files.append({"name": f"{number:05d}.bin", "num_tokens": len(ids), "sha256": hashlib.sha256(data).hexdigest()})
    index = struct.pack("<8sQQQ", b"TMINDEX1", len(TEXTS), len(files), len(blocks))
    for values, kind in ((starts, "<u8"), (map(len, TEXTS), "<u8"), (file_blocks, "<u8"), (blocks, "<u4")):
        index += np.array(list(values), kind).tobytes()
    (folder / "index.bin").write_bytes(index)
    manifest = {
        "format_version": 1,
        "source": "s",
        "dtype": "uint16",
        "vocab_size": 257,
        "document_end": END,
        "tokenizer_sha256": "0" * 64,
        "num_documents": len(TEXTS),
        "num_tokens": starts[-1],
        "num_bytes": sum(map(len, TEXTS)),
        "files": files,
        "index": {"name": "index.bin", "num_tokens": 0, "sha256": hashlib.sha256(index).hexdigest()},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.fixture
def old_set(tmp_path):
    write_format_1(tmp_path / "s")
    return tmp_path / "s"


def test_documents_come_back(old_set):
    shards = ShardSet(old_set)
    assert [bytes(document.tolist()) for document in shards.documents()] == TEXTS
    assert shards.index.bytes_of_text().tolist() == [len(text) for text in TEXTS]
    shards.verify()


def test_verify_names_the_block(old_set):
    path = old_set / "00001.bin"
    data = bytearray(path.read_bytes())
    data[BLOCK_BYTES + 5] ^= 4
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"00001.bin is damaged.*first wrong block: 1, of 1048576 bytes"):
        ShardSet(old_set).verify()


@pytest.mark.parametrize("cut", [0, 5, 31, 40, -1])
def test_an_index_that_is_cut_short(old_set, cut):
    path = old_set / "index.bin"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match=r"index.bin is"):
        ShardSet(old_set)


def test_an_index_whose_header_lies(old_set):
    path = old_set / "index.bin"
    data = bytearray(path.read_bytes())
    data[8:16] = (2**63).to_bytes(8, "little")
    path.write_bytes(data)
    with pytest.raises(DataError, match="not a whole index"):
        ShardSet(old_set)
