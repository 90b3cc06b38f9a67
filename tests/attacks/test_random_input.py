"""Bytes of any kind as input of every format: read, or told of as bad, and good files beside them are all read."""

import gzip
import io
import json
import os
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from text.reading.reading_of import read_all
from textmill.text.reading import SourceInput

MAX_EXAMPLES = int(os.environ.get("TEXTMILL_MAX_EXAMPLES", "60"))
examples = settings(
    max_examples=MAX_EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
TEXTS = [f"text {number} of a good file, which is read" for number in range(40)]
LINES = "".join(json.dumps({"text": text, "id": number}) + "\n" for number, text in enumerate(TEXTS)).encode()


def rows():
    return b"id,text\n" + b"".join(f'{number},"{text}"\n'.encode() for number, text in enumerate(TEXTS))


def parquet(**options):
    pyarrow = pytest.importorskip("pyarrow")
    written = io.BytesIO()
    table = pyarrow.table({"text": TEXTS, "id": list(range(len(TEXTS)))})
    pytest.importorskip("pyarrow.parquet").write_table(table, written, row_group_size=15, **options)
    return written.getvalue()


def zipped(method):
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", method) as archive:
        for name in ("a.jsonl", "b.jsonl"):
            archive.writestr(name, LINES)
        archive.writestr("c.txt", "text " * 100)
    return written.getvalue()


def zstandard(data):
    return pytest.importorskip("zstandard").ZstdCompressor(write_checksum=True).compress(data)


GOOD = {
    "a.txt": lambda: b"a text, na\xc3\xafve",
    "a.jsonl": lambda: LINES,
    "a.csv": rows,
    "a.tsv": lambda: rows().replace(b",", b"\t"),
    "a.html": lambda: b"<html><body><article><p>" + b"The main text of a page. " * 20 + b"</p></article></body></html>",
    "a.jsonl.gz": lambda: gzip.compress(LINES),
    "a.csv.gz": lambda: gzip.compress(rows()),
    "a.txt.gz": lambda: gzip.compress(b"text " * 100),
    "a.jsonl.zst": lambda: zstandard(LINES),
    "a.parquet": parquet,
    "b.parquet": lambda: parquet(compression="none", use_dictionary=False),
    "c.parquet": lambda: parquet(compression="zstd", data_page_version="2.0"),
    "a.parquet.gz": lambda: gzip.compress(parquet()),
    "a.zip": lambda: zipped(zipfile.ZIP_DEFLATED),
    "b.zip": lambda: zipped(zipfile.ZIP_STORED),
    "c.zip": lambda: zipped(zipfile.ZIP_BZIP2),
    "d.zip": lambda: zipped(zipfile.ZIP_LZMA),
}
MAGIC = [
    b"",
    b"\x1f\x8b\x08\x00",
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"PAR1",
    b"\x28\xb5\x2f\xfd",
    b"\xef\xbb\xbf",
    b'{"text": "',
    b"<html>",
]


@st.composite
def damage(draw):
    """What is done to bytes: some are changed, cut out, put in or made zero, at a share of their length."""
    kinds = draw(st.lists(st.sampled_from(["flip", "cut", "end", "put", "zero", "twice"]), min_size=1, max_size=3))
    return [
        (kind, draw(st.floats(0, 1, width=32)), draw(st.integers(0, 255)), draw(st.binary(max_size=9)))
        for kind in kinds
    ]


def damaged(data, changes):
    for kind, share, number, more in changes:
        at = min(int(share * len(data)), max(len(data) - 1, 0))
        if kind == "flip" and data:
            data = data[:at] + bytes([data[at] ^ (number or 1)]) + data[at + 1 :]
        elif kind == "cut":
            data = data[:at] + data[at + number :]
        elif kind == "end":
            data = data[:at]
        elif kind == "put":
            data = data[:at] + more + data[at:]
        elif kind == "zero":
            data = data[:at] + bytes(len(data[at : at + number])) + data[at + number :]
        else:
            data = data[:at] + data[at : at + number] * 2 + data[at + number :]
    return data


def check(root, name, data, unit_bytes):
    """Good files before and behind are read; what is between gives documents, and is told of where it is bad."""
    for good in ("0.jsonl", "z.jsonl"):
        (root / good).write_bytes(LINES)
    (root / name).write_bytes(data)
    source = SourceInput(path=str(root), fields={"score": "id"}, max_document_bytes=1 << 20)
    units, bad, counts = read_all(source, unit_bytes)
    documents = [document for documents in units.values() for document in documents]
    for good in ("0.jsonl", "z.jsonl"):
        assert [document[1] for document in documents if document[0].startswith(f"{good}:")] == TEXTS
    assert counts.records == len(documents)
    assert all(f"/{name}" in message for message in bad)
    for message in bad:
        message.encode()
    (root / name).unlink()
    return documents, bad


@pytest.mark.parametrize("name", GOOD)
@examples
@given(damage(), st.sampled_from([1000, 64 << 20]))
def test_damaged_files(tmp_path_factory, name, changes, unit_bytes):
    root = tmp_path_factory.mktemp("damaged")
    check(root, name, damaged(GOOD[name](), changes), unit_bytes)


@pytest.mark.parametrize("name", GOOD)
@examples
@given(st.sampled_from(MAGIC), st.binary(max_size=300), st.sampled_from([100, 64 << 20]))
def test_random_bytes(tmp_path_factory, name, magic, data, unit_bytes):
    root = tmp_path_factory.mktemp("random")
    check(root, name, magic + data + (b"PAR1" if magic == b"PAR1" else b""), unit_bytes)


@pytest.mark.parametrize("name", GOOD)
def test_good_files(tmp_path, name):
    documents, bad = check(tmp_path, name, GOOD[name](), 64 << 20)
    assert bad == []
    assert len(documents) > 2 * len(TEXTS)
