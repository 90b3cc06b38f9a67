"""Shard sets: written whole, read back by token and by document, damage named."""

import json

import numpy as np
import pytest

from fakes.byte_tokenizer import ByteTokenizer
from textmill.base.errors import DataError, StorageError
from textmill.data.index import BLOCK_BYTES
from textmill.data.shards import ShardSet, read_manifest, write_shards
from textmill.text.documents import Document

END = 256
TEXTS = ["first", "", "naïve", "x" * 1000, "last"]


def write(folder, texts=TEXTS, vocab_size=257, **options):
    documents = [Document(text, "s", str(i)) for i, text in enumerate(texts)]
    return write_shards(folder, documents, ByteTokenizer(vocab_size), source="s", document_end=END, **options)


@pytest.mark.parametrize(("vocab_size", "dtype"), [(257, "uint16"), (65_536, "uint16"), (65_537, "uint32")])
def test_tokens_come_back(tmp_path, vocab_size, dtype):
    manifest = write(tmp_path / "s", vocab_size=vocab_size)
    shards = ShardSet(tmp_path / "s")
    expected = [token for text in TEXTS for token in [*text.encode(), END]]
    assert manifest.dtype == dtype
    assert shards.tokens(0, shards.num_tokens).tolist() == expected
    assert shards.tokens(3, 9).tolist() == expected[3:9]
    assert [bytes(document.tolist()).decode() for document in shards.documents()] == TEXTS
    assert manifest.num_bytes == sum(len(text.encode()) for text in TEXTS)
    assert shards.index.bytes_of_text().tolist() == [len(text.encode()) for text in TEXTS]
    shards.verify()


def test_files_are_raw_little_endian(tmp_path):
    write(tmp_path / "s", ["ab"])
    assert (tmp_path / "s" / "00000.bin").read_bytes() == b"a\0b\0\0\1"


def test_reading_crosses_files(tmp_path, monkeypatch):
    monkeypatch.setattr("textmill.data.shards._BATCH_CHARACTERS", 50)
    texts = [f"document number {i}" for i in range(200)]
    manifest = write(tmp_path / "s", texts, shard_tokens=300)
    assert len(manifest.files) > 5
    shards = ShardSet(tmp_path / "s")
    expected = np.array([token for text in texts for token in [*text.encode(), END]])
    for start in range(0, shards.num_tokens - 700, 97):
        assert (shards.tokens(start, start + 700) == expected[start : start + 700]).all()
    assert [bytes(document.tolist()).decode() for document in shards.documents()] == texts
    shards.verify()


def test_the_same_documents_give_the_same_bytes(tmp_path):
    assert write(tmp_path / "a") == write(tmp_path / "b")
    for name in ("manifest.json", "index.bin", "00000.bin"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_no_documents(tmp_path):
    with pytest.raises(DataError, match='source "s" has no documents'):
        write(tmp_path / "s", [])
    assert not (tmp_path / "s").exists()


def test_a_full_disk_leaves_no_half_set(tmp_path, monkeypatch):
    write(tmp_path / "s", ["old"])

    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("textmill.base.files.os.fsync", no_space)
    with pytest.raises(StorageError, match="no space left"):
        write(tmp_path / "s", ["new"])
    assert [path.name for path in tmp_path.iterdir()] == ["s"]
    assert bytes(ShardSet(tmp_path / "s").document(0).tolist()) == b"old"


def test_damage_is_found_and_named(tmp_path):
    write(tmp_path / "s")
    path = tmp_path / "s" / "00000.bin"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"00000.bin is damaged.*first wrong block: 0"):
        ShardSet(tmp_path / "s").verify()


def test_a_file_that_is_cut_short_is_refused_at_once(tmp_path):
    write(tmp_path / "s")
    path = tmp_path / "s" / "00000.bin"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(DataError, match=r"00000.bin has \d+ bytes, and its manifest says \d+"):
        ShardSet(tmp_path / "s")
    path.unlink()
    with pytest.raises(DataError, match=r"00000.bin has 0 bytes"):
        ShardSet(tmp_path / "s")


@pytest.mark.parametrize("cut", [0, 5, 31, 40, -1])
def test_an_index_that_is_cut_short(tmp_path, cut):
    write(tmp_path / "s")
    path = tmp_path / "s" / "index.bin"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match=r"index.bin is"):
        ShardSet(tmp_path / "s")


def test_an_index_whose_header_lies(tmp_path):
    write(tmp_path / "s")
    path = tmp_path / "s" / "index.bin"
    data = bytearray(path.read_bytes())
    data[8:16] = (2**63).to_bytes(8, "little")
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"index.bin is damaged: its block 0"):
        ShardSet(tmp_path / "s")


def test_a_folder_that_is_no_shard_set(tmp_path):
    with pytest.raises(DataError, match="it is not a shard set"):
        read_manifest(tmp_path)
    for content in ("{", "[]", json.dumps({"format_version": 1})):
        (tmp_path / "manifest.json").write_text(content)
        with pytest.raises(DataError, match=r"manifest.json is damaged"):
            read_manifest(tmp_path)


def test_a_newer_format_is_refused(tmp_path):
    write(tmp_path / "s")
    path = tmp_path / "s" / "manifest.json"
    path.write_text(path.read_text().replace('"format_version": 2', '"format_version": 3'))
    with pytest.raises(DataError, match="has format 3, and this textmill reads 1 and 2"):
        read_manifest(tmp_path / "s")


def test_every_flipped_bit_is_found_before_a_token_is_used(tmp_path, monkeypatch):
    """In a file of several blocks: only the damaged block is refused, and it is named with its bytes."""
    texts = ["".join(chr(97 + (i * j) % 26) for j in range(3000)) for i in range(30)]
    write(tmp_path / "s", texts)
    path = tmp_path / "s" / "00000.bin"
    data = path.read_bytes()
    assert len(data) > 2 * BLOCK_BYTES
    for byte in (0, BLOCK_BYTES - 1, BLOCK_BYTES, len(data) - 1):
        damaged = bytearray(data)
        damaged[byte] ^= 1 << (byte % 8)
        path.write_bytes(damaged)
        shards = ShardSet(tmp_path / "s")
        block = byte // BLOCK_BYTES
        with pytest.raises(
            DataError, match=rf"00000.bin is damaged: its block {block} \(bytes {block * BLOCK_BYTES:,} "
        ):
            shards.tokens(byte // 2, byte // 2 + 1)
        other = (block + 1) % 2 * BLOCK_BYTES // 2
        assert shards.tokens(other, other + 5).tolist() == np.frombuffer(data, "<u2")[other : other + 5].tolist()
        with pytest.raises(DataError, match=f"first wrong block: {block}, of {BLOCK_BYTES} bytes"):
            shards.verify()


def test_verify_tells_how_far_it_is(tmp_path):
    write(tmp_path / "s")
    shards = ShardSet(tmp_path / "s")
    seen = []
    shards.verify(seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == shards.num_file_bytes


def test_verify_looks_at_the_index_too(tmp_path):
    write(tmp_path / "s")
    shards = ShardSet(tmp_path / "s")
    path = tmp_path / "s" / "index.bin"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(DataError, match="index.bin is missing, cut short or not what it should be"):
        shards.verify()


def test_tokens_of_documents(tmp_path):
    write(tmp_path / "s")
    index = ShardSet(tmp_path / "s").index
    starts = np.cumsum([0, *(len(text.encode()) + 1 for text in TEXTS)])
    assert index.starts(0, len(TEXTS) + 1).tolist() == starts.tolist()
    places = np.arange(starts[-1])
    expected = np.searchsorted(starts, places, side="right") - 1
    assert index.documents_at(places).tolist() == expected.tolist()
    assert index.ends_document(places).tolist() == np.isin(places + 1, starts).tolist()
    before, begins, lengths = index.pieces(np.array([2, 7]), np.array([14, 8]))
    assert before.tolist() == [0, 3, 4]
    assert begins.tolist() == [2, 6, 7, 7]
    assert lengths.tolist() == [4, 1, 7, 1]
