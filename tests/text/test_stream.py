"""Files as a stream: parts that put together are the files, and what is refused."""

import gzip
import json
from collections import Counter

import pytest

from textmill.base.errors import DataError, MissingExtraError
from textmill.text import stream
from textmill.text.folders import LeftOut
from textmill.text.readers import read_documents
from textmill.text.stream import read_parts, size_on_disk


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(stream, "_BLOCK_BYTES", 64)


def before_last_space(block):
    return max(block.rfind(b" "), 0)


def texts_of(source, *, last_cut=before_last_space):
    texts, parts = [], []
    for part in read_parts(source, last_cut=last_cut):
        parts.append(part.data)
        if part.ends_text:
            texts.append(b"".join(parts).decode())
            parts = []
    assert not parts
    return texts


TEXT = "naïve words and more words, 中文\r\n" * 40


@pytest.mark.parametrize("last_cut", [before_last_space, None])
def test_parts_put_together_are_the_file(tmp_path, last_cut):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    (tmp_path / "b.md").write_text("x" * 1000)
    (tmp_path / "empty.txt").write_text("")
    assert texts_of(tmp_path, last_cut=last_cut) == [TEXT, "x" * 1000]
    assert (len(list(read_parts(tmp_path, last_cut=last_cut))) > 2) == (last_cut is not None)


def test_parts_are_cut_where_they_may_be(tmp_path):
    (tmp_path / "a.txt").write_text(TEXT)
    parts = [part.data for part in read_parts(tmp_path, last_cut=before_last_space)]
    assert len(parts) > 20
    assert all(part.startswith(b" ") for part in parts[1:])


def test_all_kinds_are_read_as_documents_are(tmp_path):
    zstandard = pytest.importorskip("zstandard")
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    records = "\n".join(json.dumps({"text": text}) for text in ["one\ntwo", "", "three"])
    (tmp_path / "a.jsonl").write_text(records)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(records.encode()))
    (tmp_path / "c.jsonl.zst").write_bytes(zstandard.compress(records.encode()))
    (tmp_path / "d.txt.zst").write_bytes(zstandard.compress(TEXT.encode()) + zstandard.compress(b"more"))
    parquet.write_table(pyarrow.table({"text": ["one", None, "three"]}), tmp_path / "e.parquet")
    (tmp_path / "f.parquet.gz").write_bytes(gzip.compress((tmp_path / "e.parquet").read_bytes()))
    with pytest.warns(UserWarning, match="2 records hold no text"):
        documents = [document.text for document in read_documents(tmp_path, "s")]
    assert documents == ["one\ntwo", "three"] * 3 + [TEXT + "more"] + ["one", "three"] * 2
    assert texts_of(tmp_path) == documents


def test_globs_are_expanded_in_the_order_of_names(tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    for name in ("b.md", "a.txt", "sub/c.md", ".hidden.md"):
        (tmp_path / name).write_text(name)
    monkeypatch.chdir(tmp_path)
    assert texts_of("**/*.md") == ["b.md", "sub/c.md"]
    assert texts_of([str(tmp_path / "*.txt"), "sub"]) == ["a.txt", "sub/c.md"]
    assert {part.source for part in read_parts(["**/*.md", "a.txt"])} == {"**/*.md (.md)", "a.txt"}
    (tmp_path / "[1].txt").write_text("a name with brackets")
    assert texts_of("[1].txt") == ["a name with brackets"]
    with pytest.raises(DataError, match=r"no file matches \*.rst"):
        texts_of("*.rst")


def test_progress_ends_at_the_size_on_disk(tmp_path):
    (tmp_path / "a.txt").write_text(TEXT)
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(TEXT.encode()))
    seen = [part.disk_bytes for part in read_parts(tmp_path, last_cut=before_last_space)]
    assert seen == sorted(seen)
    assert seen[-1] == size_on_disk(tmp_path)


@pytest.mark.parametrize("last_cut", [before_last_space, None])
def test_a_wrong_byte_is_named_with_its_place_in_the_file(tmp_path, last_cut):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf" + b"words and\n" * 50 + b"\xff" + b" words" * 50)
    with pytest.raises(DataError, match=r"a.txt is not UTF-8 text: byte 0xff at offset 503 \(line 51\)"):
        texts_of(tmp_path, last_cut=last_cut)
    (tmp_path / "a.txt").write_bytes("中".encode()[:2])
    with pytest.raises(DataError, match=r"byte 0xe4 at offset 0 \(line 1\)"):
        texts_of(tmp_path, last_cut=last_cut)


@pytest.mark.parametrize("ending", ["gz", "zst"])
def test_a_packed_file_that_is_cut_short_or_damaged_is_refused(tmp_path, ending):
    zstandard = pytest.importorskip("zstandard")
    packed = (gzip.compress if ending == "gz" else zstandard.compress)(TEXT.encode())
    path = tmp_path / f"a.txt.{ending}"
    for wrong in (packed[:-3], packed[: len(packed) // 2], b"no such format", packed + b"more"):
        path.write_bytes(wrong)
        with pytest.raises(DataError, match="cannot read"):
            texts_of(path)
        with pytest.raises(DataError, match="cannot read"):
            list(read_documents(path, "s"))


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "zstandard", None)
    (tmp_path / "a.txt.zst").write_bytes(b"")
    with pytest.raises(MissingExtraError, match=r"reading a.txt.zst needs zstandard.*textmill\[data\]"):
        texts_of(tmp_path)


def test_what_is_left_out_is_counted(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"text": ["one", None, "", None]}), tmp_path / "a.parquet")
    for name in ("b.txt", "c.png", "d.PNG", "e.bin.gz", "LICENSE", ".hidden"):
        (tmp_path / name).write_text("some text")
    left_out = LeftOut()
    assert [part.data for part in read_parts(tmp_path, left_out=left_out)] == [b"one", b"some text"]
    assert left_out == LeftOut(Counter({".png": 2, ".bin": 1, "(no ending)": 1, "(hidden)": 1}), 2)


@pytest.mark.parametrize("source", ["", [""]])
def test_an_empty_path_is_not_the_folder_that_one_is_in(source):
    with pytest.raises(DataError, match=r'a path of text is empty \(""\)'):
        texts_of(source)
