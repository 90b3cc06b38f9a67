"""Files and names that were made to mislead: pipes, loops of links, names that are no text, archives of all kinds."""

import gzip
import io
import json
import os
import resource
import stat
import warnings
import zipfile

import pytest

from text.reading.reading_of import read_all
from textmill.base.errors import DataError, StorageError
from textmill.cli import main
from textmill.text.folders import LeftOut
from textmill.text.reading import SourceInput, list_files


def documents_and_bad(path, **settings):
    units, bad, _ = read_all(SourceInput(path=str(path), **settings))
    return [document for documents in units.values() for document in documents], bad


def test_what_a_folder_may_hold(tmp_path):
    root = tmp_path / "root"
    (root / "folder.jsonl").mkdir(parents=True)
    (root / "folder.jsonl" / "in.txt").write_text("in a folder with the name of a file")
    (root / "loop").symlink_to("loop")
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    (root / "folder.jsonl" / "up").symlink_to("..")
    (root / "twice.txt").symlink_to("folder.jsonl/in.txt")
    os.mkfifo(root / "pipe.jsonl")
    (root / "device.txt").symlink_to("/dev/zero")
    left_out = LeftOut()
    files = list_files(SourceInput(path=str(root)), left_out)
    assert [file.name for file in files] == ["folder.jsonl/in.txt"]
    assert left_out.files == {"(link to nothing)": 3, "(no regular file)": 2}


def test_what_a_path_may_be(tmp_path):
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    for path, message in [
        ("pipe.jsonl", "neither a file nor a folder"),
        ("folder.jsonl", "is an empty folder"),
        ("loop", "does not exist"),
        ("x" * 300, "is not the path of a text: File name too long"),
        ("a\0b", "null|does not exist"),
    ]:
        with pytest.raises(DataError, match=message):
            list_files(SourceInput(path=f"{tmp_path}/{path}"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_files_that_may_not_be_read(tmp_path):
    (tmp_path / "a.txt").write_text("secret")
    (tmp_path / "a.txt").chmod(0)
    with pytest.raises(DataError, match=r"cannot read .*a.txt: Permission denied"):
        read_all(SourceInput(path=str(tmp_path)))


NAMES = [
    b"line\nend",
    b"no \xff\xfe text",
    b"'; rm -rf ~ #",
    b"\x1b[31mred",
    b"-o",
    "ü中🤖".encode(),
    b"a\\b",
    b"x" * 240,
]


def write_named(root):
    root.mkdir()
    for number, name in enumerate(NAMES):
        path = root / os.fsdecode(name + b".jsonl")
        path.write_text(json.dumps({"text": f"document {number}"}) + "\n{torn\n")


def test_names_of_any_bytes(tmp_path):
    write_named(tmp_path / "root")
    documents, bad = documents_and_bad(tmp_path / "root")
    assert sorted(text for _, text in documents) == [f"document {number}" for number in range(len(NAMES))]
    assert "no \\xff\\xfe text.jsonl:1" in [name for name, _ in documents]
    assert len(bad) == len(NAMES)
    for message in bad:
        message.encode()


def test_a_pipeline_over_names_of_any_bytes(tmp_path, capsys):
    write_named(tmp_path / "root")
    (tmp_path / "root" / "link.jsonl").symlink_to(os.fsdecode(b"no \xff\xfe text.jsonl"))
    (tmp_path / "p.toml").write_text(
        f'[output]\ndir = "{tmp_path}/out"\n[sources.s]\npath = "{tmp_path}/root"\n[tokenizer]\nvocab_size = 300\n'
    )
    assert main(["data", "prepare", str(tmp_path / "p.toml"), "--workers", "1"]) == 0
    assert f"{len(NAMES)} bad records passed over" in capsys.readouterr().err
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["sources"]["s"]["counts"]["read"] == report["sources"]["s"]["counts"]["bad"] == len(NAMES)
    assert main(["data", "prepare", str(tmp_path / "p.toml"), "--workers", "1", "--set", "run.on_bad=stop"]) == 3
    assert "is not JSON" in capsys.readouterr().err


def test_an_ending_of_any_bytes_is_told(tmp_path):
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / os.fsdecode(b"left.\xff\xfe")).touch()
    left_out = LeftOut()
    list_files(SourceInput(path=str(tmp_path)), left_out)
    with pytest.warns(UserWarning, match=r"1 file was left out .*: \.\\xff\\xfe \(1\)"):
        left_out.warn(stacklevel=1)


def zip_of(*members):
    written = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are there twice
        with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members:
                archive.writestr(name, data)
    return written.getvalue()


def test_members_outside_of_an_archive_are_read_and_never_written(tmp_path):
    (tmp_path / "in").mkdir()
    names = ["/tmp/abs.txt", "C:\\c.txt", "a//b.txt", "link.txt"]
    above = ["../up.txt", "a/../../b.txt"]
    (tmp_path / "in" / "a.zip").write_bytes(zip_of(*((name, f"text of {name}") for name in names + above)))
    link = zipfile.ZipInfo("linked.txt")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "in" / "a.zip", "a") as archive:
        archive.writestr(link, "/etc/passwd")
    before = sorted(tmp_path.rglob("*"))
    documents, bad = documents_and_bad(tmp_path / "in")
    assert {text for _, text in documents} == {f"text of {name}" for name in names} | {"/etc/passwd"}
    assert bad == []
    left_out = LeftOut()
    list_files(SourceInput(path=str(tmp_path / "in")), left_out)
    assert left_out.files["(hidden)"] == len(above)
    assert sorted(tmp_path.rglob("*")) == before


def test_names_that_are_there_twice(tmp_path):
    (tmp_path / "a.zip").write_bytes(zip_of(("a.txt", "old"), ("b.txt", "b"), ("a.txt", "new")))
    assert documents_and_bad(tmp_path)[0] == [("a.zip/a.txt", "new"), ("a.zip/b.txt", "b")]
    left_out = LeftOut()
    list_files(SourceInput(path=str(tmp_path)), left_out)
    assert left_out.files == {"(replaced in its archive)": 1}


def test_archives_in_archives_are_counted_and_left_out(tmp_path):
    inner = zip_of(("deep.txt", "deep"))
    (tmp_path / "a.zip").write_bytes(zip_of(("a.txt", "text"), ("inner.zip", inner)))
    left_out = LeftOut()
    assert [file.name for file in list_files(SourceInput(path=str(tmp_path)), left_out)] == ["a.zip/a.txt"]
    assert left_out.files["(archive in an archive)"] == 1


def bomb(num_mb, pack):
    """Zeros, which pack about 1000 to 1."""
    return pack(bytes(num_mb << 20))


@pytest.mark.parametrize("inner", ["a.txt", "a.jsonl", "a.csv", "a.html", "a.jsonl.gz"])
def test_zip_bombs_are_not_unpacked_whole(tmp_path, inner):
    data = bomb(64, lambda zeros: gzip.compress(zeros, 1) if inner.endswith(".gz") else zeros)
    (tmp_path / "a.zip").write_bytes(zip_of((inner, data), ("good.txt", "good")))
    documents, bad = documents_and_bad(tmp_path, max_document_bytes=1 << 16)
    assert documents == [("a.zip/good.txt", "good")]
    assert len(bad) == 1
    assert "more than max_document_bytes = 65536" in bad[0]


def test_a_size_that_an_archive_claims_is_not_believed(tmp_path):
    """The list says 3 bytes, or 4 GB; what is there decides."""
    data = zip_of(("a.txt", "text " * 50), ("good.txt", "good"))
    at = data.index(b"PK\x01\x02") + 24
    for claimed in (3, 0xFFFFFFF0):
        (tmp_path / "a.zip").write_bytes(data[:at] + claimed.to_bytes(4, "little") + data[at + 4 :])
        documents, bad = documents_and_bad(tmp_path)
        assert ("a.zip/good.txt", "good") in documents
        assert [text for _, text in documents[:-1]] == ([] if claimed == 3 else ["text " * 50])
        assert len(bad) == (claimed == 3)


def test_a_packed_table_that_fills_the_disk(tmp_path):
    """It is unpacked into a temporary file, which a small limit of files' size stands in for a full disk."""
    pytest.importorskip("pyarrow")
    (tmp_path / "a.parquet.gz").write_bytes(bomb(8, lambda zeros: gzip.compress(zeros, 1)))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(StorageError, match="Free some space"):
            read_all(SourceInput(path=str(tmp_path)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    "page",
    [
        "<div>" * 20_000 + "words " * 50,
        "<p " + "a='b' " * 20_000 + ">words",
        "&" * 50_000,
        "<" * 50_000,
        "<!--" * 20_000,
        "]]>" * 20_000,
    ],
    ids=range(6),
)
def test_pages_made_to_be_slow(tmp_path, page):
    pytest.importorskip("trafilatura")
    (tmp_path / "a.html").write_text(page)
    (tmp_path / "b.txt").write_text("good")
    documents, _ = documents_and_bad(tmp_path)
    assert documents[-1] == ("b.txt", "good")
