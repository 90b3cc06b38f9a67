"""The report: one page from the log alone, valid, without script or network."""

import html.parser
import json
import re

import pytest

from fakes.run_log import write_log
from textmill.base.events import EventLog
from textmill.train.compare_page import draw_comparison
from textmill.train.report import draw_report, write_report
from textmill.train.run_record import read_run

NASTY = '</pre></style></title><script>alert(1)</script><img src=x onerror="y">\'&amp;'
VOID = {"meta", "input", "img", "br", "hr"}


class Checked(html.parser.HTMLParser):
    """Checks that each element is closed where it must be, and keeps which there are."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.labels = [], set(), [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        found = dict(attributes)
        assert not any(name.startswith("on") for name in found)
        self.ids += [found["id"]] if "id" in found else []
        self.labels += [found["for"]] if "for" in found else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture
def run(tmp_path):
    folder = write_log(tmp_path / "my <run>", steps=300, planned=300, spike_at=133, eval_every=100)
    log = EventLog(folder / "events.jsonl")
    score = {"num_documents": 3, "num_bytes": 1000, "model_bits": 1500.0, "gzip_bits": 2100, "xz_bits": 2000}
    log.write("validation", 300, scores={"all": score})
    log.write("sample", 300, prompt="<b>", text="</pre><script>alert(1)</script>")
    log.close()
    return folder


def test_the_page_holds_what_happened(run):
    page = write_report(run).read_text()
    assert "300 of 300" in page
    assert "<td>1.500</td><td>2.100</td><td>2.000</td>" in page
    assert "held out: code 2.003" in page
    assert "step 133: spike (loss 9, limit 4; grad norm 7, limit 2); back to step 128" in page
    assert "75 % b, 25 % c" in page
    assert "<td>1 MB</td><td>100 ms</td><td>500 ms</td>" in page
    for title in (
        "Loss",
        "Bits per byte",
        "Learning rate",
        "Mixture by stage",
        "Gradient norm",
        "Speed",
        "MFU",
        "Memory",
    ):
        assert f"<figcaption>{title}</figcaption>" in page


def test_it_is_valid_and_asks_nobody(run):
    page = write_report(run).read_text()
    checked = Checked(page)
    assert "script" not in checked.tags
    assert len(set(checked.ids)) == len(checked.ids)
    assert set(checked.labels) <= set(checked.ids)
    assert not re.search(r"(src|href)=|https?://|@import|url\(", page)


def test_every_switch_shows_something(run):
    """Each chart for each x axis and scale that the switches name."""
    page = write_report(run).read_text()
    checked = Checked(page)
    for group, kind in (("x", "x"), ("s", "s")):
        keys = [one.removeprefix(f"{group}-") for one in checked.ids if one.startswith(f"{group}-")]
        assert len(keys) == 3
        assert len({page.count(f'class="{kind} {kind}-{key}"') for key in keys}) == 1
    assert page.count(" checked>") == 3


def test_hostile_text_stays_text(tmp_path):
    folder = write_log(tmp_path / "run", steps=20, name_of_source=NASTY)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"note": NASTY}))
    log = EventLog(folder / "events.jsonl")
    log.write("stage", 20, name=NASTY, mixture={NASTY: 1})
    log.write("sample", 20, prompt=NASTY, text=NASTY)
    log.write("discard", 20, reason=NASTY, skipped=[[1, 2]], documents=[NASTY])
    log.write("save_failed", 20, error=NASTY)
    log.write("validation", 20, scores={NASTY: {"num_bytes": 1, "num_documents": 1, "model_bits": 1}})
    log.close()
    runs = [read_run(folder), read_run(write_log(tmp_path / "other", steps=20, lr=2, name_of_source=NASTY))]
    for page in (draw_report(runs[0]), draw_comparison(runs)):
        checked = Checked(page)
        assert not {"script", "img"} & checked.tags
        assert "&lt;script&gt;alert(1)" in page


def test_the_same_log_gives_the_same_page(run):
    assert write_report(run).read_bytes() == write_report(run).read_bytes()


def test_a_run_without_steps_has_a_page(run):
    (run / "events.jsonl").write_text("")
    assert "No step has been taken yet" in write_report(run).read_text()


def test_an_old_or_damaged_run_has_a_page(tmp_path):
    log = EventLog(tmp_path / "events.jsonl")
    log.write("start", 0)
    for step in range(1, 5):
        log.write("step", step, loss=3.0, tokens_per_s=None, odd=1)
    log.write("eval", 4, bits_per_byte=None)
    log.write("spike", 4)
    log.close()
    (tmp_path / "config.json").write_text('{"recipe": ')
    page = write_report(tmp_path).read_text()
    Checked(page)
    assert "<figcaption>Loss</figcaption>" in page
    assert "<figcaption>MFU</figcaption>" not in page


def test_runs_on_one_page(tmp_path):
    runs = [read_run(write_log(tmp_path / name, lr=lr)) for name, lr in (("one", 1e-3), ("two", 2e-3))]
    page = draw_comparison(runs)
    checked = Checked(page)
    assert [one for one in checked.ids if one.startswith("x-")] == ["x-step", "x-tokens", "x-time", "x-flops"]
    assert "schedule.peak_lr" in page
    assert "one 2.117" in page
    assert not re.search(r"(src|href)=|https?://|@import|url\(", page)
