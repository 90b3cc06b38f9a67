"""A line far longer than a document may be: passed over or the end, told with its place, and never held.

``TEXTMILL_LONG_LINE_MB=1024`` makes it a gigabyte.
"""

import gzip
import json
import os
import shutil
import subprocess
import sys

import pytest

LINE_BYTES = int(os.environ.get("TEXTMILL_LONG_LINE_MB", "96")) << 20
SCRIPT = """
import json, resource, sys, time
from textmill.base.config import from_table
from textmill.base.errors import DataError
from textmill.data.engines.local import LocalEngine
from textmill.data.pipeline import Pipeline
from textmill.data.prepare import prepare
begin = time.monotonic()
try:
    report = prepare(from_table(Pipeline, json.loads(sys.argv[1])), LocalEngine(1)).to_table()
except DataError as error:
    report = {"error": str(error)}
peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
print(json.dumps(report | {"peak_mb": peak_mb, "seconds": time.monotonic() - begin}))
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Lines as they are, packed, and without the long one; and a table."""
    root = tmp_path_factory.mktemp("lines")
    short = [json.dumps({"text": f"document {number} of a few words"}).encode() for number in range(2000)]
    (root / "short.jsonl").write_bytes(b"\n".join(short) + b"\n")
    with (root / "long.jsonl").open("wb") as file:
        file.write(b"\n".join(short[:1000]) + b'\n{"text": "')
        file.seek(LINE_BYTES - len(b'{"text": ""}'), os.SEEK_CUR)  # a hole
        file.write(b'"}\n' + b"\n".join(short[1000:]))
    with (root / "long.jsonl").open("rb") as plain, gzip.open(root / "long.jsonl.gz", "wb", 1) as packed:
        shutil.copyfileobj(plain, packed, 1 << 20)
    with (root / "long.csv").open("wb") as file:
        file.write(b"text\none two\n")
        file.writelines([b"word " * 10_000] * (LINE_BYTES // 50_000))
        file.write(b"\nthree four\n")
    return root


def prepare_file(path, out, on_bad):
    pipeline = {
        "output": {"dir": str(out)},
        "sources": {"s": {"path": str(path)}},
        "tokenizer": {"vocab_size": 300},
        "run": {"unit_mb": 1, "max_document_mb": 1, "on_bad": on_bad},
    }
    python = [sys.executable, *(["-S"] if sys.flags.no_site else [])]
    done = subprocess.run([*python, "-c", SCRIPT, json.dumps(pipeline)], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def short_mb(files):
    return prepare_file(files / "short.jsonl", files / "out", "skip")["peak_mb"]


@pytest.mark.parametrize(
    ("name", "num_documents", "place"),
    [
        ("long.jsonl", 2000, "line 1001, byte "),
        ("long.jsonl.gz", 2000, "line 1001, byte "),
        ("long.csv", 2, "row 2, line 3 is a line"),
    ],
)
@pytest.mark.parametrize("on_bad", ["skip", "stop"])
def test_a_pipeline_does_not_hold_it(files, short_mb, tmp_path, *, name, num_documents, place, on_bad):
    report = prepare_file(files / name, tmp_path / "out", on_bad)
    print(name, on_bad, f"{report['peak_mb']} MB, {report['seconds']:.1f} s; of short lines alone {short_mb} MB")
    if on_bad == "stop":
        told = report["error"]
    else:
        assert report["sources"]["s"]["counts"]["read"] == num_documents
        told = report["sources"]["s"]["bad"][0]
    assert f"{name}, {place}" in told
    assert "more than max_document_bytes = 1048576" in told
    if name != "long.csv":
        assert f"is a line of {LINE_BYTES} bytes" in told
    assert report["peak_mb"] < short_mb + 48
