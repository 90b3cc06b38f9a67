"""The report in a real browser: it renders, it fits, and it asks nobody for anything."""

import json
import re
import shutil
import subprocess

import pytest

from fakes.run_log import write_log
from fakes.tiny_run import write_recipe

pytest.importorskip("torch")

from fakes.listener import Silent
from textmill.train.pipeline import run_recipe
from textmill.train.recipe import load_recipe
from textmill.train.report import REPORT, write_report

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: sudo make system installs it"),
]
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --window-size=1100,1600"
).split()


@pytest.fixture
def look(tmp_path):
    """What a browser makes of a page: called with the page and more flags, it gives what was printed."""

    def call(page, *flags):
        command = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", *flags, page.as_uri()]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=560).stdout

    return call


def test_the_report_renders(tmp_path, look):
    run_recipe(load_recipe(write_recipe(tmp_path)), Silent())
    report = tmp_path / "run" / REPORT
    look(report, f"--screenshot={tmp_path / 'page.png'}")
    assert (tmp_path / "page.png").stat().st_size > 20_000, "an empty page compresses to less"
    dumped = look(report, "--dump-dom")
    assert dumped.count("<polyline") >= 4
    assert "12 of 12" in dumped


MEASURE = """
<iframe src="{page}" style="width:{width}px;height:900px;border:0"></iframe><pre id="found"></pre>
<script>
const frame = document.querySelector("iframe");
frame.onload = () => {{
  const page = frame.contentDocument, root = page.documentElement;
  const shown = () => [...page.querySelectorAll(".plot")].filter(plot => plot.offsetHeight > 0);
  const title = plot => plot.parentNode.querySelector(".axes span:last-child").textContent;
  const titles = () => [...new Set(shown().map(title))];
  const smooth = () => [...page.querySelectorAll("polyline")].filter(line => line.getClientRects().length > 0).length;
  const found = {{over: root.scrollWidth - root.clientWidth, charts: shown().length, at_first: titles()}};
  const small = [...page.querySelectorAll(".plot span")].map(span => parseFloat(getComputedStyle(span).fontSize));
  found.smallest_px = Math.min(...small);
  found.lines = smooth();
  page.getElementById("m-0").click(); found.raw_lines = smooth();
  page.getElementById("x-tokens").click(); found.by_tokens = titles();
  page.getElementById("s-log").click(); found.charts_by_log = shown().length;
  document.getElementById("found").textContent = JSON.stringify(found);
}};
</script>
"""


@pytest.mark.parametrize("width", [360, 1000])
def test_it_fits_a_phone_and_its_switches_work(tmp_path, look, width):
    page = write_report(write_log(tmp_path / "run", steps=300, planned=300, spike_at=133))
    frame = tmp_path / "frame.html"
    frame.write_text(MEASURE.format(page=page.relative_to(tmp_path), width=width))
    flags = ("--allow-file-access-from-files", "--virtual-time-budget=5000", "--dump-dom")
    found = json.loads(re.search(r'<pre id="found">(.*?)</pre>', look(frame, *flags))[1])
    assert found["over"] == 0, "nothing is wider than the page"
    assert found["smallest_px"] >= 11
    assert found["charts"] == found["charts_by_log"] == 8
    assert (found["at_first"], found["by_tokens"]) == (["by step"], ["by tokens"])
    assert found["raw_lines"] < found["lines"]
