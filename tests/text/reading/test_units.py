"""Units: the same documents however a source is cut, from packed files too, and from the middle of a chain."""

import csv
import gzip
import io
import json
import pickle
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from text.reading.reading_of import documents_of, read_all
from textmill.text.reading import SourceInput, cut_units, list_files, read_chain
from textmill.text.reading.units import count_line_ends

FIELDS = {"id": "id"}


def json_lines(count, start=0):
    numbers = range(start, start + count)
    records = [{"id": f"n{i}" if i % 3 else None, "text": f"text {i} ü\n" * (i % 9)} for i in numbers]
    return "".join(json.dumps(record, ensure_ascii=bool(record["id"])) + "\n" for record in records).encode()


def rows(count):
    written = io.StringIO()
    table = csv.writer(written)
    table.writerow(["n", "text", "id"])
    table.writerows([i, f'text {i}, "quoted"\nand ü\r\n' * (i % 5), f"r{i}" if i % 3 else ""] for i in range(count))
    return written.getvalue().encode()


def zipped(**members):
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "/").replace("_dot_", "."), data)
    return written.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    zstandard = pytest.importorskip("zstandard")
    root = tmp_path_factory.mktemp("source")
    (root / "sub").mkdir()
    for name, data in {
        "a.jsonl": json_lines(300),
        "b.ndjson.gz": gzip.compress(json_lines(200, 300)),
        "c.jsonl.zst": zstandard.compress(json_lines(200, 500)),
        "d.csv": rows(200),
        "e.tsv.gz": gzip.compress(b"id\ttext\nx\tone\ny\ttwo\n" * 1),
        "f.csv.gz": gzip.compress(rows(150)),
        "g.zip": zipped(
            m__one_dot_txt=b"member", q_dot_jsonl=json_lines(100), r_dot_csv_dot_gz=gzip.compress(rows(90))
        ),
        "h.txt": b"\xef\xbb\xbfa text",
        "i.md.gz": gzip.compress("packed ü".encode()),
        "j.txt": b"",
        "k.jsonl": b"\xef\xbb\xbf" + json_lines(3, 1) + b'\n \n{"text": "no line end"}',
        "sub/l.py": b"print()\n",
        "m.jsonl": b"",
    }.items():
        (root / name).write_bytes(data)
    return SourceInput(path=str(root), fields=FIELDS)


@pytest.fixture(scope="module")
def whole(folder):
    return documents_of(folder)


def test_what_is_read(folder, whole):
    units, bad, counts = read_all(folder)
    assert bad == []
    assert len(units) == 1
    ids = [document[0] for document in whole]
    assert ids[:4] == ["n1", "n2", "a.jsonl:4", "n4"]
    assert whole[-2][:2] == ("k.jsonl:6", "no line end")
    by_id = {document[0]: document[1] for document in whole}
    assert by_id["h.txt"] == "a text"
    assert by_id["i.md.gz"] == "packed ü"
    assert by_id["g.zip/m/one.txt"] == "member"
    assert by_id["g.zip/r.csv.gz:4"] == 'text 3, "quoted"\nand ü\r\n' * 3
    assert by_id["sub/l.py"] == "print()\n"
    assert counts.empty == 34 + 22 + 22 + 40 + 30 + 12 + 18 + 1 + 1


@pytest.mark.parametrize("unit_bytes", [1, 7, 100, 1000, 4097, 30_000, 1 << 20])
def test_documents_do_not_depend_on_how_a_source_is_cut(folder, whole, unit_bytes):
    if unit_bytes < 100:
        paths = tuple(f"{folder.path}/{name}" for name in ("k.jsonl", "g.zip", "e.tsv.gz"))
        source = SourceInput(path=paths, fields=FIELDS)
        whole = documents_of(source)
    else:
        source = folder
    assert documents_of(source, unit_bytes) == whole


def test_documents_do_not_depend_on_threads(folder, whole):
    assert documents_of(folder, 1000, num_threads=3) == whole


@pytest.mark.parametrize("unit_bytes", [300, 5000])
def test_a_unit_does_not_depend_on_which_others_are_done(folder, unit_bytes):
    units, _, _ = read_all(folder, unit_bytes)
    keys = list(units)
    assert len(keys) > 20
    for done in (keys[::2], keys[1::2], keys[:-1], keys[5:]):
        rest, _, _ = read_all(folder, unit_bytes, done=set(done))
        assert rest == {key: documents for key, documents in units.items() if key not in done}


def test_units_can_be_sent_and_lines_counted_elsewhere(folder, whole):
    with ThreadPoolExecutor(2) as pool:
        units = cut_units(list_files(folder), 1000, pool.map)
    assert pickle.loads(pickle.dumps(units)) == units == cut_units(list_files(folder), 1000)
    assert count_line_ends((folder.path + "/a.jsonl", 0, 1 << 20)) == 300


def test_what_is_left_of_a_unit_is_read_before_the_next_one(folder):
    (unit,) = [unit for unit in cut_units(list_files(folder), 500) if unit.files[0].name == "c.jsonl.zst"]
    units, _, _ = read_all(SourceInput(path=folder.path + "/c.jsonl.zst", fields=FIELDS), 500)
    lengths = []
    for reading in read_chain(unit, folder, on_bad=print):
        next(reading.batches, None)
        lengths.append(reading.counts.records)
    assert len(lengths) == len(units)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from([b'{"text": "a"}', b'{"text": "' + b"long " * 9 + b'"}', b"", b"{}", b"\xff", b"[1]"]),
        max_size=12,
    ),
    st.booleans(),
    st.integers(1, 60),
)
def test_any_lines_cut_anywhere(tmp_path_factory, given_lines, ends, unit_bytes):
    root = tmp_path_factory.mktemp("lines")
    data = b"\n".join(given_lines) + b"\n" * ends
    (root / "a.jsonl").write_bytes(data)
    (root / "a.jsonl.gz").write_bytes(gzip.compress(data))
    source = SourceInput(path=str(root / "a.jsonl"))
    units, bad, counts = read_all(source)
    cut_units_, cut_bad, cut_counts = read_all(source, unit_bytes)
    assert [d for ds in cut_units_.values() for d in ds] == [d for ds in units.values() for d in ds]
    assert (cut_bad, cut_counts) == (bad, counts)
    _, packed_bad, packed_counts = read_all(SourceInput(path=str(root / "a.jsonl.gz")), unit_bytes)
    assert packed_counts == counts
    assert [text.replace(".gz", "") for text in packed_bad] == bad
