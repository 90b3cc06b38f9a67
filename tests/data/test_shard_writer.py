"""Files of tokens, written piece by piece, become a set whatever the pieces were."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.base.errors import DataError, StorageError
from textmill.data.assemble import assemble
from textmill.data.shard_writer import ShardPart, ShardWriter
from textmill.data.shards import ShardSet
from textmill.text.text_batch import TextBatch

END = 9


def documents(lengths):
    """Documents of given lengths in tokens, ends included."""
    lengths = np.array(lengths, np.int64)
    ids = np.arange(lengths.sum()) % 7
    ids[np.cumsum(lengths) - 1] = END
    return ids, lengths


def names(first, last):
    return TextBatch.of([f"ö{number}" for number in range(first, last)])


def put(folder, parts, **options):
    options = {"source": "s", "dtype": "uint16", "vocab_size": 10, "document_end": END, **options}
    return assemble(folder, parts, tokenizer_sha256="0" * 64, **options)


@settings(deadline=None, max_examples=25)
@given(
    pieces=st.lists(st.lists(st.integers(1, 30_000), min_size=1, max_size=4), min_size=1, max_size=4),
    dtype=st.sampled_from(["uint16", "uint32"]),
)
def test_pieces_do_not_show(tmp_path_factory, pieces, dtype):
    folder = tmp_path_factory.mktemp("set")
    with ShardWriter(folder / "piecewise.bin", dtype) as writer:
        for lengths in pieces:
            ids, lengths = documents(lengths)
            writer.add(ids, lengths, 2 * lengths)
        piecewise = writer.finish()
    everything = [documents(lengths) for lengths in pieces]
    ids = np.concatenate([ids for ids, _ in everything])
    lengths = np.concatenate([lengths for _, lengths in everything])
    with ShardWriter(folder / "whole.bin", dtype) as writer:
        writer.add(ids, lengths, 2 * lengths)
        whole = writer.finish()
    data = (folder / "piecewise.bin").read_bytes()
    assert data == (folder / "whole.bin").read_bytes() == ids.astype(dtype).tobytes()
    assert piecewise.file.sha256 == whole.file.sha256 == hashlib.sha256(data).hexdigest()
    assert piecewise.checksums.tolist() == whole.checksums.tolist()
    assert piecewise.lengths.tolist() == whole.lengths.tolist() == lengths.tolist()
    put(folder, [piecewise], dtype=dtype)
    shards = ShardSet(folder)
    assert (shards.tokens(0, len(ids)) == ids).all()
    shards.verify()


def test_parts_are_saved_and_put_together_in_their_order(tmp_path):
    first = 0
    for number, lengths in enumerate(([3, 1], [], [5])):
        with ShardWriter(tmp_path / f"{number}.bin", "uint16") as writer:
            if lengths:
                ids, array = documents(lengths)
                sizes = np.arange(first, first + len(lengths), dtype=np.uint32)
                writer.add(ids, array, array, cluster_sizes=sizes, names=names(first, first + len(lengths)))
            writer.finish().save(tmp_path / f"{number}.part")
        first += len(lengths)
    parts = [ShardPart.load(tmp_path / f"{number}.part") for number in range(3)]
    manifest = put(tmp_path, parts, made_by={"pipeline_sha256": "abc"})
    assert [file.name for file in manifest.files] == ["0.bin", "2.bin"]
    assert [(file.num_documents, file.num_bytes) for file in manifest.files] == [(2, 4), (1, 5)]
    shards = ShardSet(tmp_path)
    assert shards.manifest == manifest
    assert manifest.made_by == {"pipeline_sha256": "abc"}
    assert [shards.names[number] for number in range(len(shards.names))] == ["ö0", "ö1", "ö2"]
    assert shards.cluster_sizes.tolist() == [0, 1, 2]
    assert shards.file_place(4) == ("2.bin", 0)
    assert shards.file_place(3) == ("0.bin", 6)
    shards.verify()
    (tmp_path / "documents.bin").write_bytes(b"")
    with pytest.raises(DataError, match="documents.bin is missing, cut short or not what it should be"):
        shards.verify()


def test_a_file_is_there_whole_or_not_at_all(tmp_path):
    with pytest.raises(ZeroDivisionError), ShardWriter(tmp_path / "a.bin", "uint16") as writer:
        writer.add(*documents([3]), np.array([3]))
        raise ZeroDivisionError
    with pytest.raises(RuntimeError, match="was not finished"), ShardWriter(tmp_path / "b.bin", "uint16") as writer:
        writer.add(*documents([3]), np.array([3]))
    assert not list(tmp_path.iterdir())


def test_a_full_disk(tmp_path, monkeypatch):
    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("textmill.base.files.os.fsync", no_space)
    with pytest.raises(StorageError, match="no space left"), ShardWriter(tmp_path / "a.bin", "uint16") as writer:
        writer.add(*documents([3]), np.array([3]))
        writer.finish()
    assert not list(tmp_path.iterdir())


def test_a_part_that_is_damaged(tmp_path):
    with ShardWriter(tmp_path / "a.bin", "uint16") as writer:
        writer.add(*documents([3, 4]), np.array([3, 4]))
        writer.finish().save(tmp_path / "a.part")
    data = bytearray((tmp_path / "a.part").read_bytes())
    data[300] ^= 1
    (tmp_path / "a.part").write_bytes(data)
    with pytest.raises(DataError, match="a.part is damaged"):
        ShardPart.load(tmp_path / "a.part")


def test_no_documents(tmp_path):
    with pytest.raises(DataError, match='source "s" has no documents'):
        put(tmp_path, [])
