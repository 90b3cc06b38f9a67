"""Files and folders as documents: order, ids, and what is refused."""

import gzip
import json
import os
import re

import pytest

from textmill.base.errors import DataError
from textmill.text.documents import Document
from textmill.text.folders import LeftOut, expand, text_files
from textmill.text.readers import read_documents


def write(folder, **files):
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def test_a_folder_is_read_in_the_order_of_its_paths(tmp_path):
    write(tmp_path, b_dot_txt="two", a_dot_md="one", sub__c_dot_py="three", sub__picture_dot_png=b"\x89PNG")
    with pytest.warns(UserWarning, match=r"1 file was left out of the folders.*: .png \(1\)"):
        documents = list(read_documents(tmp_path, "web"))
    assert documents == [
        Document("one", "web", "a.md"),
        Document("two", "web", "b.txt"),
        Document("three", "web", "sub/c.py"),
    ]


def test_hidden_files_and_folders_are_left_out(tmp_path):
    write(tmp_path, a_dot_txt="seen", _dot_git__config_dot_txt="hidden", _dot_hidden_dot_txt="hidden")
    with pytest.warns(UserWarning, match=r"2 files were left out of the folders.*: \(hidden\) \(2\); give a file"):
        assert [d.text for d in read_documents(tmp_path, "s")] == ["seen"]


def test_links_are_followed_and_no_file_is_read_twice(tmp_path):
    write(tmp_path, data__b_dot_txt="b", elsewhere__c_dot_txt="c", elsewhere__sub__d_dot_txt="d")
    root = tmp_path / "data"
    (root / "a.txt").symlink_to("b.txt")
    (root / "loop").symlink_to(".")
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "again").symlink_to(tmp_path / "elsewhere" / "sub")
    (root / "gone.txt").symlink_to("nowhere")
    os.mkfifo(root / "pipe.txt")
    left_out = LeftOut()
    names = [path.relative_to(root).as_posix() for path in text_files(root, left_out)]
    assert names == ["again/d.txt", "b.txt", "linked/c.txt"]
    assert left_out.files == {"(link to nothing)": 1, "(no regular file)": 1}


def test_a_link_may_have_the_ending_that_its_file_lacks(tmp_path):
    """As in the cache of the Hugging Face hub: blobs without an ending, and links to them with one."""
    write(tmp_path, blobs__abc="of the hub", snapshots__r1__b_dot_txt="b")
    (tmp_path / "snapshots" / "r1" / "a.txt").symlink_to("../../blobs/abc")
    os.link(tmp_path / "blobs" / "abc", tmp_path / "blobs" / "abc.bin")
    left_out = LeftOut()
    names = [path.relative_to(tmp_path).as_posix() for path in text_files(tmp_path, left_out)]
    assert names == ["snapshots/r1/a.txt", "snapshots/r1/b.txt"]
    assert left_out == LeftOut()


def test_of_several_names_of_a_file_the_first_is_taken(tmp_path):
    write(tmp_path, c_dot_txt="same")
    os.link(tmp_path / "c.txt", tmp_path / "b.txt")
    os.link(tmp_path / "c.txt", tmp_path / "a.bin")
    assert text_files(tmp_path) == [tmp_path / "b.txt"]


def test_a_path_that_no_file_can_have_is_refused(tmp_path):
    with pytest.raises(DataError, match="is not the path of a text: File name too long"):
        list(read_documents("x" * 5000, "s"))


def test_a_glob_gives_each_file_once_whatever_links_lead_to_it(tmp_path):
    write(tmp_path, a_dot_txt="a", sub__b_dot_txt="b")
    (tmp_path / "sub" / "loop").symlink_to("..")
    assert expand(f"{tmp_path}/**/*.txt") == [tmp_path / "a.txt", tmp_path / "sub" / "b.txt"]


def test_a_folder_that_holds_only_hidden_files_is_refused(tmp_path):
    write(tmp_path, _dot_a_dot_txt="hidden")
    with pytest.raises(DataError, match="holds 1 file, and none is text"):
        text_files(tmp_path)


def test_a_single_file_is_read_whatever_it_is_called(tmp_path):
    path = tmp_path / "README"
    path.write_text("text")
    assert list(read_documents(path, "s")) == [Document("text", "s", "README")]


def test_a_list_of_paths_is_read_one_after_the_other(tmp_path):
    write(tmp_path, a_dot_txt="1", b_dot_txt="2")
    assert [d.text for d in read_documents([tmp_path / "b.txt", str(tmp_path / "a.txt")], "s")] == ["2", "1"]


def test_each_line_of_jsonl_is_a_document(tmp_path):
    lines = [{"text": "one", "n": 1}, {"text": "two\nlines"}, {"text": ""}]
    path = tmp_path / "x.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    assert list(read_documents(path, "s")) == [
        Document("one", "s", "x.jsonl:1"),
        Document("two\nlines", "s", "x.jsonl:2"),
    ]


def test_a_jsonl_text_may_hold_other_line_separators(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"text": "a\u2028b\x85c"}, ensure_ascii=False) + "\n", encoding="utf-8")
    assert [d.text for d in read_documents(path, "s")] == ["a\u2028b\x85c"]


def test_each_row_of_parquet_is_a_document(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"text": ["one", None, "three"], "n": [1, 2, 3]}), tmp_path / "x.parquet")
    with pytest.warns(UserWarning, match="1 record holds no text"):
        documents = [(d.text, d.id) for d in read_documents(tmp_path, "s")]
    assert documents == [("one", "x.parquet:1"), ("three", "x.parquet:3")]
    parquet.write_table(pyarrow.table({"body": ["one"]}), tmp_path / "y.parquet")
    with pytest.raises(DataError, match=r'y.parquet has no column "text"; its columns are body'):
        list(read_documents(tmp_path / "y.parquet", "s"))


def test_gz_is_unpacked(tmp_path):
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"packed"))
    assert [d.text for d in read_documents(tmp_path, "s")] == ["packed"]
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b"packed")[:-3])
    with pytest.raises(DataError, match="cannot read .*b.txt.gz"):
        list(read_documents(tmp_path / "b.txt.gz", "s"))


def test_a_byte_order_mark_is_no_text(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfabc")
    assert [d.text for d in read_documents(tmp_path, "s")] == ["abc"]


def test_line_ends_stay_as_they_are(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"a\r\nb\rc\n")
    assert [d.text for d in read_documents(tmp_path, "s")] == ["a\r\nb\rc\n"]


def test_a_folder_that_is_missing_is_named(tmp_path):
    with pytest.raises(DataError, match=re.escape(f"{tmp_path / 'nowhere'} does not exist")):
        list(read_documents(tmp_path / "nowhere", "s"))


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="is an empty folder; put text files into it"):
        text_files(tmp_path)


def test_a_folder_without_text_is_refused_with_what_is_in_it(tmp_path):
    write(tmp_path, a_dot_png=b"\x89", b_dot_zip=b"PK")
    with pytest.raises(DataError, match="holds 2 files, and none is text"):
        text_files(tmp_path)


def test_a_file_that_is_not_utf8_is_refused_with_the_place(tmp_path):
    (tmp_path / "latin.txt").write_bytes("first\nna\xefve".encode("latin-1"))
    with pytest.raises(DataError, match=r"latin.txt is not UTF-8 text: byte 0xef at offset 8 \(line 2\).*iconv"):
        list(read_documents(tmp_path, "s"))


def test_text_in_another_encoding_is_told_from_what_is_no_text(tmp_path):
    path = tmp_path / "my text.txt"
    path.write_text("word", "utf-16")
    with pytest.raises(DataError, match=r"is UTF-16, not UTF-8.*\(iconv -f UTF-16 -t UTF-8 '.*/my text.txt' >"):
        list(read_documents(path, "s"))
    path.write_bytes(b"\x7fELF\x02\xff\0\0\0")
    with pytest.raises(DataError, match=r"looks like a binary: byte 0xff at offset 5 .*zeros follow. Leave it out"):
        list(read_documents(path, "s"))


def test_null_in_place_of_text_is_passed_over_and_told(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"text": null}\n{"text": "one"}\n{"text": null}\n')
    with pytest.warns(UserWarning, match="2 records hold no text"):
        assert [d.text for d in read_documents(path, "s")] == ["one"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1 is not JSON"),
        ('{"text": "never closed\n', "line 1 is not JSON: Unterminated string"),
        ('"just text"', "is a string, and must be an object"),
        ('{"body": "x"}', r'has no field "text" \(fields: body\)'),
        ('{"text": 3}', 'the field "text" is a number'),
        ("null", "is null, and must be an object"),
        ('{"text": "\\ud800"}', "half of a surrogate pair"),
        ("[" * 100_000, "line 1 is not JSON"),
    ],
)
def test_a_bad_record_is_refused_with_its_line(tmp_path, line, message):
    path = tmp_path / "x.jsonl"
    path.write_text(line)
    with pytest.raises(DataError, match=message):
        list(read_documents(path, "s"))
