"""Shard sets with flipped, lost and added bytes: refused with an error that names the file, or right all the same."""

import json
import shutil

import numpy as np
import pytest

from fakes.token_set import token_set
from textmill.base.errors import DataError
from textmill.data.loader import BatchLoader
from textmill.data.manifest import read_manifest
from textmill.data.shards import ShardSet

LENGTHS = [30, 5, 17, 40, 8, 2, 2, 61, 1, 23] * 30
BINARY = ("00000.bin", "00001.bin", "index.bin", "documents.bin", "packing-64.bin")


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A set, and everything that is ever asked of it."""
    folder = tmp_path_factory.mktemp("good") / "set"
    folder.mkdir()
    token_set(folder, LENGTHS, file_documents=200, with_names=True)
    return folder, everything(folder)


def everything(folder):
    shards = ShardSet(folder)
    loader = BatchLoader({"s": shards}, {"s": 1}, rows=8, context=64, seed=1, packing="best-fit", document_masks=True)
    batches = [loader.batch(step) for step in range(8)]
    names = [shards.names[number] for number in range(0, 300, 13)]
    return (
        shards.tokens(0, shards.num_tokens).tolist(),
        [batch.targets.tolist() for batch in batches],
        shards.index.bytes_of_text().tolist(),
        names,
    )


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("kind", ["flip", "cut", "add", "zero"])
def test_a_damaged_file_is_refused_or_not_used(good, tmp_path, name, kind):
    folder, expected = good
    generator = np.random.default_rng(hash_of(name, kind))
    for number in range(12):
        copy = tmp_path / str(number)
        shutil.copytree(folder, copy)
        path = copy / name
        data = bytearray(path.read_bytes())
        at = int(generator.integers(len(data)))
        if kind == "flip":
            data[at] ^= 1 << int(generator.integers(8))
        elif kind == "cut":
            del data[at:]
        elif kind == "add":
            data[at:at] = bytes([7])
        else:
            data[at : at + 50] = bytes(len(data[at : at + 50]))
        path.write_bytes(data)
        try:
            found, message = everything(copy), ""
        except DataError as error:
            found, message = None, str(error)
        assert found == expected or name in message


def hash_of(*words):
    return sum(map(ord, "".join(words)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dtype": "uint16"}, r"00000.bin has \d+ bytes"),
        ({"dtype": "float16"}, 'tokens of "float16" are unknown'),
        ({"num_tokens": 5}, "documents have 5 tokens, and the files"),
        ({"num_documents": 0}, "0 documents have"),
        ({"num_documents": 299}, "speaks of 300 documents"),
        ({"format_version": 0}, "format 0 is unknown"),
        ({"format_version": -1}, "format -1 is unknown"),
        ({"surprise": 1}, 'unknown key "surprise"'),
        ({"files": []}, "and the files 0"),
        ({"index": {"name": "../index.bin", "num_tokens": 0, "sha256": ""}}, "no file of the set's folder"),
        ({"names": {"name": "/etc/passwd", "num_tokens": 0, "sha256": ""}}, "no file of the set's folder"),
    ],
)
def test_a_manifest_that_contradicts_itself(good, tmp_path, change, message):
    copy = tmp_path / "set"
    shutil.copytree(good[0], copy)
    manifest = json.loads((copy / "manifest.json").read_text())
    del manifest["sha256"]  # as an earlier release wrote it
    (copy / "manifest.json").write_text(json.dumps(manifest | change))
    with pytest.raises(DataError, match=message):
        ShardSet(copy)


@pytest.mark.parametrize("name", BINARY)
def test_a_flipped_bit_is_named_with_its_block_when_it_is_verified(good, tmp_path, name):
    """Of a big file, that is: each has blocks of its own."""
    copy = tmp_path / "set"
    shutil.copytree(good[0], copy)
    size = (copy / name).stat().st_size
    block_bytes = 1 << 16 if name[0] == "0" else 4096
    for at in sorted({0, 9, 100, size // 3, size // 2, size - 20, size - 9, size - 1}):
        flip(copy / name, at, 1 << (at % 8))
        with pytest.raises(DataError, match=name) as raised:
            ShardSet(copy).verify()
        # The end of a file of arrays holds the checksums themselves, and its first words say what it is.
        tables = "its checksums are not" in str(raised.value) or "not what it should be" in str(raised.value)
        assert tables or f"block {at // block_bytes}" in str(raised.value).replace("block: ", "block ")
        flip(copy / name, at, 1 << (at % 8))
    ShardSet(copy).verify()


def flip(path, at, bits):
    data = bytearray(path.read_bytes())
    data[at] ^= bits
    path.write_bytes(data)


def test_any_flipped_bit_of_a_manifest_is_noticed_when_a_set_is_opened(good, tmp_path):
    copy = tmp_path / "set"
    shutil.copytree(good[0], copy)
    path = copy / "manifest.json"
    whole = path.read_bytes()
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= 1 << (at % 8)
        path.write_bytes(changed)
        with pytest.raises(DataError, match="manifest.json"):
            read_manifest(copy)


def test_a_manifest_may_be_laid_out_anew_and_one_of_an_earlier_release_has_no_sha256(good, tmp_path):
    copy = tmp_path / "set"
    shutil.copytree(good[0], copy)
    table = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(table, sort_keys=True))
    assert read_manifest(copy) == read_manifest(good[0])
    del table["sha256"]
    (copy / "manifest.json").write_text(json.dumps(table))
    assert read_manifest(copy) == read_manifest(good[0])


def test_an_index_of_another_set(good, tmp_path):
    copy = tmp_path / "set"
    shutil.copytree(good[0], copy)
    (tmp_path / "other").mkdir()
    token_set(tmp_path / "other", [length + 1 for length in LENGTHS], file_documents=200)
    shutil.copy(tmp_path / "other" / "index.bin", copy / "index.bin")
    with pytest.raises(DataError, match="index.bin ends at token"):
        ShardSet(copy)


def test_files_in_each_others_places(good, tmp_path):
    copy = tmp_path / "set"
    shutil.copytree(good[0], copy)
    (copy / "packing-64.bin").write_bytes((copy / "index.bin").read_bytes())
    with pytest.raises(DataError, match=r"packing-64.bin is .*not what it should be"):
        everything(copy)
