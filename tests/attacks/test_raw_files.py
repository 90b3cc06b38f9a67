"""Raw files that are wrong: each record that is bad is told of with its place, and all others are read."""

import csv
import gzip
import io
import json
import re
import subprocess
import sys
import tempfile
import zipfile

import numpy as np
import pytest

from fakes.small_files import small_files
from text.reading.reading_of import read_all, stop
from textmill.base.errors import DataError, StorageError
from textmill.text.reading import SourceInput, cut_units, list_files, read_chain


def lines_of(count):
    return [json.dumps({"text": f"text {i} " * 20}).encode() for i in range(count)]


def read_file(path, data, unit_bytes=64 << 20, **settings):
    path.write_bytes(data)
    units, bad, counts = read_all(SourceInput(path=str(path), **settings), unit_bytes)
    texts = [document[1] for documents in units.values() for document in documents]
    return texts, [message.removeprefix(str(path)) for message in bad], counts


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"text": "a"', r"line 2, byte 24 is not JSON: Expecting ',' delimiter.*Mend or remove the line"),
        (b"nonsense", r"line 2, byte 12 is not JSON: Expecting value"),
        (b'{"text": "a\xffb"}', r"line 2, byte 23 is not UTF-8 text: byte 0xff cannot be decoded\. Convert it \(iconv"),
        (b'{"text": "\xff\0"}', r"line 2, byte 22 looks like a binary: byte 0xff at offset 22 is not UTF-8"),
        (
            b'{"body": "a", "b": 1}',
            r'line 2, byte 12 has no field "text" \(fields: body, b\); name the text\'s field',
        ),
        (b"{}", r'has no field "text" \(fields: none\)'),
        (b'["a"]', r'line 2, byte 12 is a list, and must be an object with the field "text"'),
        (b"1", r"line 2, byte 12 is a number, and must be an object"),
        (b'{"text": 1}', r'line 2, byte 12 has in the field "text" a number, which must be a string'),
        (b'{"text": ["a"]}', r'has in the field "text" a list, which must be a string'),
        (b'{"text": "x\\ud83d"}', r'line 2, byte 12 has half of a surrogate pair at character 1 of "text"'),
        (b'{"text": "a", "n": {}}', r'has in the field "n" an object, which must be a string or a number'),
        (b'{"text": "a", "n": true}', r'has in the field "n" true or false, which must be a string or a number'),
        (b'{"text": "a", "x": ' + b"[" * 100_000 + b"}", r"line 2, byte 12 is not JSON: maximum recursion depth"),
    ],
)
def test_a_bad_line_is_told_of_and_the_others_are_read(tmp_path, line, message):
    first = b'{"text":""}\n'  # 12 bytes
    texts, bad, counts = read_file(tmp_path / "a.jsonl", first + line + b'\n{"text": "z"}\n', fields={"id": "n"})
    assert texts == ["z"]
    assert (counts.records, counts.empty, counts.bad) == (1, 1, 1)
    assert re.search(message, bad[0]), bad[0]


def test_stop_ends_at_the_first_bad_record(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "a"}\n{}\n{"text": "b"}\n')
    source = SourceInput(path=str(tmp_path / "a.jsonl"))
    (unit,) = cut_units(list_files(source))
    with pytest.raises(DataError, match=r'a.jsonl, line 2, byte 14 has no field "text"'):
        for reading in read_chain(unit, source, on_bad=stop):
            list(reading.batches)


@pytest.mark.parametrize("unit_bytes", [2000, 64 << 20])
@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst"])
def test_what_comes_before_the_end_of_a_packed_file_that_is_cut_is_read(tmp_path, name, unit_bytes):
    zstandard = pytest.importorskip("zstandard")
    rng = np.random.default_rng(1)
    lines = [json.dumps({"text": rng.bytes(300).hex()}).encode() for _ in range(600)]
    pack = gzip.compress if name.endswith("gz") else zstandard.compress
    packed = pack(b"\n".join(lines[:300]) + b"\n") + pack(b"\n".join(lines[300:]) + b"\n")
    whole = [json.loads(line)["text"] for line in lines]
    assert read_file(tmp_path / name, packed, unit_bytes)[:2] == (whole, [])
    for wrong in (packed[:-3], packed[: len(packed) * 3 // 4], packed + b"more", b"nonsense" * 9):
        texts, bad, _ = read_file(tmp_path / name, wrong, unit_bytes)
        assert texts == whole[: len(texts)]
        assert len(texts) >= (300 if len(wrong) > 1000 else 0)
        (message,) = bad
        assert message.startswith(", byte ")
        assert "and all that follows cannot be unpacked: " in message


def test_a_damaged_file_says_the_same_however_it_is_cut_and_continued(tmp_path):
    data = gzip.compress(b"\n".join(lines_of(2000)))[:-2000]
    (tmp_path / "a.jsonl.gz").write_bytes(data)
    source = SourceInput(path=str(tmp_path / "a.jsonl.gz"))
    _, bad, counts = read_all(source)
    assert (len(bad), counts.bad) == (1, 1)
    units, cut_bad, cut_counts = read_all(source, 3000)
    assert (cut_bad, cut_counts) == (bad, counts)
    keys = list(units)
    rest, rest_bad, _ = read_all(source, 3000, done=keys[:-1])
    assert rest == {keys[-1]: units[keys[-1]]}
    assert rest_bad == bad
    assert read_all(source, 3000, done=keys) == ({}, [], type(counts)())


@pytest.mark.parametrize("unit_bytes", [10, 64 << 20])
def test_files_without_a_byte_are_counted_whatever_their_kind(tmp_path, unit_bytes):
    zstandard = pytest.importorskip("zstandard")
    pytest.importorskip("pyarrow")
    pytest.importorskip("trafilatura")
    for name in ("a.jsonl", "b.csv", "c.parquet", "d.txt", "e.html", "f.jsonl.gz", "g.md.zst", "h.ndjson.zst"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "i.jsonl.gz").write_bytes(gzip.compress(b""))
    (tmp_path / "j.csv.zst").write_bytes(zstandard.compress(b""))
    with zipfile.ZipFile(tmp_path / "k.zip", "w") as archive:
        for name in ("a.jsonl", "b.csv", "c.parquet", "d.txt"):
            archive.writestr(name, b"")
    (tmp_path / "l.jsonl").write_bytes(b'{"text": "good"}')
    units, bad, counts = read_all(SourceInput(path=str(tmp_path)), unit_bytes)
    assert [document for documents in units.values() for document in documents] == [("l.jsonl:1", "good")]
    assert (counts.empty, bad) == (14, [])


def test_text_files_that_are_no_text(tmp_path):
    for name, data in {
        "a.txt": "naïve".encode("latin-1"),
        "b.txt": "text".encode("utf-16"),
        "c.txt": b"\x89PNG\r\n\0\0",
        "d.txt": b"good",
        "e.txt.gz": gzip.compress(b"text" * 100)[:-4],
        "f.txt": b"",
    }.items():
        (tmp_path / name).write_bytes(data)
    units, bad, counts = read_all(SourceInput(path=str(tmp_path)))
    assert units == {(0, 0): [("d.txt", "good")]}
    assert [message.removeprefix(f"{tmp_path}/").split(". ")[0] for message in bad] == [
        "a.txt, line 1, byte 2 is not UTF-8 text: byte 0xef cannot be decoded",
        "b.txt, line 1, byte 0 is UTF-16, not UTF-8",
        "c.txt, line 1, byte 0 looks like a binary: byte 0x89 at offset 0 is not UTF-8, and zeros follow",
        "e.txt.gz, byte 0 and all that follows cannot be unpacked: it ends in the middle; is the file complete?",
    ]
    assert (counts.empty, counts.bad) == (1, 4)


@pytest.mark.parametrize("unit_bytes", [10, 64 << 20])
def test_csv_that_is_wrong(tmp_path, unit_bytes):
    def read(data, **settings):
        texts, bad, _ = read_file(tmp_path / "a.csv", data, unit_bytes, **settings)
        return texts, bad

    texts, bad = read(b'a,text\n1,x\n2\n"3"4,y\n5,\xff\n6,z\n')
    assert texts == ["x", "z"]
    assert bad[0] == ", row 2, line 3 has 1 values, and there are 2 columns"
    assert bad[1].startswith(", row 3, line 4 is not CSV: ',' expected after '\"'")
    assert bad[2].startswith(", row 4, line 5 is not UTF-8 text: byte 0xff cannot be decoded")
    texts, bad = read(b'a,text\n1,x\n2,"y\nz\n')
    assert (texts, bad) == (["x"], [", row 2, line 3 is not CSV: unexpected end of data. Mend or remove the row"])
    texts, bad = read(b"a,b\n1,x\n2,y\n")
    assert texts == []
    assert bad == [', line 1 has no column "text"; the columns are a, b. Say which of them holds the text: fields.text']
    assert read(b"") == ([], [])
    texts, bad = read(b"text\n" + b"x" * 50 + b"\ny\n", max_document_bytes=20)
    assert texts == ["y"]
    assert bad[0].startswith(", row 1, line 2 is a ")
    assert "of 50" in bad[0]


@pytest.mark.parametrize("unit_bytes", [5000, 64 << 20])
def test_a_row_of_csv_does_not_grow_without_end(tmp_path, unit_bytes):
    """Each line closes a value and opens another: to the parser it is all one row."""
    data = b'text,b\none,1\n"' + b'","\n' * 5000 + b"two,2\n"
    texts, bad, _ = read_file(tmp_path / "a.csv", data, unit_bytes, max_document_bytes=5000)
    assert texts == ["one", "two"]
    what = " is a row of 5004 bytes, more than max_document_bytes = 5000; cut it, or raise the limit"
    assert bad[0].startswith(f", row 2, line 3{what}")
    assert all("has 1 values, and there are 2 columns" in message for message in bad[1:])


@pytest.mark.parametrize("max_document_bytes", [1000, 200_000])  # the csv module's own limit lies between them
@pytest.mark.parametrize("character", ["x", "ü", "🤖"])
def test_a_row_of_csv_has_as_many_bytes_as_it_may_and_no_more(tmp_path, character, max_document_bytes):
    per_line = (max_document_bytes - 2) // 4 // len(character.encode()) - 1
    lines = [character * per_line for _ in range(4)]
    lines[0] += "y" * (max_document_bytes - 2 - len("\n".join(lines).encode()))
    for text in ("\n".join(lines), "z".join(lines)):  # a value over several lines, and one on a single line
        rows = [f'"{text}"', f'"{text}y"', f'"y{text}"', "last"]
        texts, bad, _ = read_file(
            tmp_path / "a.csv", "\n".join(["text", *rows]).encode(), max_document_bytes=max_document_bytes
        )
        assert texts == [text, "last"]
        what = f" is a row of {max_document_bytes + 1} bytes, more than max_document_bytes = {max_document_bytes}; cut "
        places = [f", row {row}, line {2 + (row - 1) * (1 + text.count(chr(10)))}" for row in (2, 3)]
        assert [message[: len(place + what)] for place, message in zip(places, bad, strict=True)] == [
            place + what for place in places
        ]


@pytest.mark.parametrize("name", ["a.parquet.gz", "a.parquet.zst", "a.zip"])
def test_a_packed_parquet_file_that_never_ends_does_not_fill_the_disk(tmp_path, monkeypatch, name):
    zstandard = pytest.importorskip("zstandard")
    parquet, pyarrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    parquet.write_table(pyarrow.table({"text": ["a" * 400_000]}), tmp_path / "honest", compression=None)
    honest, bomb = (tmp_path / "honest").read_bytes(), bytes(20 << 20)
    written = []

    class Measured(io.BytesIO):
        def write(self, data):
            written.append(len(data))
            return super().write(data)

    def pack(content):
        if not name.endswith(".zip"):
            return (gzip.compress if name.endswith("gz") else zstandard.compress)(content)
        with zipfile.ZipFile(tmp_path / "packed", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.parquet", content)
        return (tmp_path / "packed").read_bytes()

    monkeypatch.setattr(tempfile, "TemporaryFile", Measured)
    texts, bad, _ = read_file(tmp_path / name, pack(honest), max_document_bytes=500_000)  # well packed, and short
    assert (texts, bad) == (["a" * 400_000], [])
    for max_document_bytes in (1000, 5 << 20):
        written.clear()
        packed = pack(bomb)
        texts, bad, _ = read_file(tmp_path / name, packed, max_document_bytes=max_document_bytes)
        limit = max(100 * len(packed), max_document_bytes)
        assert sum(written) <= limit < len(bomb)
        assert texts == []
        assert len(bad) == 1
        assert re.search(
            rf"row 1 and all that follows .* more than {limit} bytes.* {len(packed)} bytes.*; unpack", bad[0]
        )


@pytest.mark.parametrize("num_bytes", [0, 100_000])
def test_a_full_disk_of_temporary_files_names_their_folder(tmp_path, monkeypatch, num_bytes):
    """A file that may not grow is what a disk without room is; it fails once more when it is closed."""
    parquet, pyarrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    parquet.write_table(pyarrow.table({"text": [tempfile.gettempdir() * 50_000]}), tmp_path / "a", compression=None)
    packed = gzip.compress((tmp_path / "a").read_bytes())
    (tmp_path / "a.parquet.gz").write_bytes(packed)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    message = rf"temporary files \({tmp_path}\): .*Free some space there, or set TMPDIR"
    with pytest.raises(StorageError, match=message), small_files(num_bytes):
        read_all(SourceInput(path=str(tmp_path / "a.parquet.gz")))


def test_no_folder_of_temporary_files(tmp_path, monkeypatch):
    parquet, pyarrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    parquet.write_table(pyarrow.table({"text": ["a"]}), tmp_path / "a")
    (tmp_path / "a.parquet.gz").write_bytes(gzip.compress((tmp_path / "a").read_bytes()))

    def refuse():
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(StorageError, match="no usable temporary directory found .* set TMPDIR"):
        read_all(SourceInput(path=str(tmp_path / "a.parquet.gz")))


def test_a_value_of_csv_that_is_never_closed_is_a_row_that_is_too_long(tmp_path):
    """In a file of one column the parser could meet its own limit of a value first, which is as many characters."""
    csv.field_size_limit(128 << 10)  # as it is in a new process
    data = b'text\none\n"' + (b"x" * 100 + b"\n") * 3000 + b"two\n"
    texts, bad, _ = read_file(tmp_path / "a.csv", data, max_document_bytes=200_000)
    assert texts[0] == "one"
    assert texts[-1] == "two"
    assert [message.partition(";")[0] for message in bad] == [
        ", row 2, line 3 is a row of 200081 bytes, more than max_document_bytes = 200000"
    ]


def test_parquet_that_is_wrong(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")

    def written(**columns):
        parquet.write_table(pyarrow.table(columns), tmp_path / "w", row_group_size=100, compression=None)
        return (tmp_path / "w").read_bytes()

    whole = written(text=[f"text {i}" for i in range(500)])
    path = tmp_path / "a.parquet"
    assert read_file(path, whole)[0] == [f"text {i}" for i in range(500)]
    for wrong in (whole[:-1], whole[: len(whole) // 2], b"nonsense", b"PAR1PAR1", whole.replace(b"PAR1", b"PAR2")):
        for unit_bytes in (1, 64 << 20):
            texts, bad, _ = read_file(path, wrong, unit_bytes)
            assert texts == []
            assert bad[0].startswith(", row 1 and all that follows cannot be read as parquet: ")
            assert len(bad) == 1
    middle = whole.index(b"text 350")
    for unit_bytes in (1, 64 << 20):
        texts, bad, _ = read_file(path, whole[:middle] + b"\xff" * 60 + whole[middle + 60 :], unit_bytes)
        assert texts == [f"text {i}" for i in range(500) if not 300 <= i < 400]
        assert len(bad) == 1
        assert bad[0].startswith(", row 301 and all up to row 400 cannot be read as parquet: ")
    assert read_file(path, b"")[:2] == ([], [])
    _, bad, _ = read_file(path, written(body=["a"], more=[1]))
    assert bad == [
        ', row 1 and all that follows has no column "text"; the columns are body, more. '
        "Say which of them holds the text: fields.text"
    ]
    _, bad, _ = read_file(path, written(text=[["a"]]))
    assert bad == [', row 1 and all that follows has list<element: string> in the column "text", which must be text']
    raw = pyarrow.array([b"good", b"b\xffd", None, b"long" * 9, b"too"], pyarrow.binary())
    texts, bad, counts = read_file(path, written(text=raw), max_document_bytes=20)
    assert (texts, counts.empty) == (["good", "too"], 1)
    assert sorted(message[:8] for message in bad) == [", row 2 ", ", row 4 "]
    _, bad, _ = read_file(tmp_path / "a.parquet.gz", gzip.compress(whole)[:-9])
    assert bad[0].startswith(", row 1 and all that follows cannot be unpacked: ")


def test_archives_that_are_wrong(tmp_path):
    with zipfile.ZipFile(tmp_path / "good", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jsonl", b"\n".join(lines_of(3000)))
        archive.writestr("b.txt", "good")
    good = (tmp_path / "good").read_bytes()
    path = tmp_path / "a.zip"
    for unit_bytes in (5000, 64 << 20):
        texts, bad, _ = read_file(path, good, unit_bytes)
        assert (len(texts), bad) == (3001, [])
        texts, bad, _ = read_file(path, good[:-10], unit_bytes)
        assert (texts, bad) == ([], [", byte 0 and all that follows cannot be unpacked: File is not a zip file"])
        middle = len(good) // 2
        texts, bad, _ = read_file(path, good[:middle] + b"\0" * 50 + good[middle + 50 :], unit_bytes)
        assert texts[-1] == "good"
        assert texts[0] == "text 0 " * 20
        assert len(bad) >= 1
        assert "/a.jsonl, byte " in bad[-1]
        header = good.index(b"PK\x01\x02") + 8
        locked = bytearray(good)
        locked[6] |= 1
        locked[header] |= 1
        texts, bad, _ = read_file(path, bytes(locked), unit_bytes)
        assert texts == ["good"]
        assert "is encrypted" in bad[0]


@pytest.mark.parametrize("unit_bytes", [5000, 64 << 20])
def test_documents_that_are_too_long(tmp_path, unit_bytes):
    long = json.dumps({"text": "x" * 9_000_000}).encode()
    data = b'{"text": "a"}\n' + long + b"\n" + b'{"text": "b"}\n' + long
    for name, content in {"a.jsonl": data, "a.jsonl.gz": gzip.compress(data, 1)}.items():
        texts, bad, _ = read_file(tmp_path / name, content, unit_bytes, max_document_bytes=5000)
        assert texts == ["a", "b"]
        what = "is a line of 9000012 bytes, more than max_document_bytes = 5000; cut it, or raise the limit "
        what += "(in a pipeline run.max_document_mb)"
        assert bad == [f", line 2, byte 14 {what}", f", line 4, byte {14 + len(long) + 15} {what}"]
    texts, bad, _ = read_file(tmp_path / "a.txt", b"x" * 6000, unit_bytes, max_document_bytes=5000)
    assert (texts, len(bad)) == ([], 1)
    assert bad[0].startswith(", byte 0 is a document of 6000 bytes, more than max_document_bytes = 5000")


def test_a_line_of_a_gigabyte_takes_no_memory(tmp_path):
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        file.write(b'{"text": "a"}\n{"text": "')
        file.seek(1 << 30)
        file.write(b'"}\n{"text": "b"}\n')
    code = f"""
import resource
from textmill.text.reading import *
source = SourceInput(path={str(path)!r}, max_document_bytes=1 << 24)
texts, bad = [], []
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for unit in cut_units(list_files(source), 1 << 29):
    for reading in read_chain(unit, source, on_bad=bad.append):
        texts += [text for batch in reading.batches for text in batch.texts.texts()]
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
assert texts == ["a", "b"], texts
assert len(bad) == 1 and "of 1073741812 bytes" in bad[0].what, bad
assert grown < 100 << 10, grown
"""
    subprocess.run([sys.executable, *(["-S"] if sys.flags.no_site else []), "-c", code], check=True)
