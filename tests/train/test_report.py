"""The report: one page from the log alone, valid, without script or network."""

import json
import re
import xml.etree.ElementTree as ET

import pytest

from textmill.base.events import EventLog
from textmill.train.chart import Series, line_chart

pytest.importorskip("torch")

from textmill.train.report import write_report


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "my <run>"
    folder.mkdir()
    plan = {"precision": "f32", "context": 64, "num_steps": 300}
    (folder / "config.json").write_text(json.dumps({"recipe": {"run": {"dir": "x"}}, "plan": plan}))
    log = EventLog(folder / "events.jsonl")
    log.write("start", 0)
    for step in range(1, 301):
        fields = {"loss": 8 / step**0.2, "bits_per_byte": 3 / step**0.2, "grad_norm": 1.0, "lr": 1e-3}
        log.write("step", step, **fields, tokens=step * 64, tokens_per_s=1000.0 + step, flops_per_s=1e9)
        if step % 100 == 0:
            log.write("eval", step, bits_per_byte={"code": 2.0, "all": 2.1})
    score = {"num_documents": 3, "num_bytes": 1000, "model_bits": 1500.0, "gzip_bits": 2100, "xz_bits": 2000}
    log.write("validation", 300, scores={"all": score})
    log.write("sample", 300, prompt="<b>", text="</pre><script>alert(1)</script>")
    log.close()
    return folder


def test_the_page_holds_what_happened(run):
    page = write_report(run).read_text()
    assert "300 of 300" in page
    assert "<td><b>1.500</b></td><td>2.100</td><td>2.000</td>" in page
    assert page.count("<svg") == 4
    assert "held out: code 2.000" in page


def test_untrusted_text_stays_text_and_nothing_is_fetched(run):
    page = write_report(run).read_text()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "my &lt;run&gt;" in page
    assert not re.search(r"(src|href)=|https?://|@import|url\(", page)


def test_the_same_log_gives_the_same_page(run):
    assert write_report(run).read_bytes() == write_report(run).read_bytes()


def test_a_run_without_steps_has_a_page(run):
    (run / "events.jsonl").write_text("")
    assert "No step has been taken yet" in write_report(run).read_text()


@pytest.mark.parametrize(
    "points",
    [
        [(1, 2.0)],
        [(1, 0.0), (2, 0.0)],
        [(i, 1e-5 * i) for i in range(5000)],
        [(1, 1e9), (2, 1.0)],
        [(0, -3.0), (5, 4.0)],
    ],
)
def test_charts_are_well_formed_and_inside_their_frame(points):
    svg = line_chart([Series("a & b", points)], "y", "x")
    root = ET.fromstring(svg)
    for line in root.iter("polyline"):
        for pair in line.get("points").split():
            x, y = map(float, pair.split(","))
            assert 0 <= x <= 960
            assert -1 <= y <= 321
    assert len(svg) < 100_000


def test_nothing_to_draw():
    assert line_chart([Series("a", [])], "y", "x") == ""
