"""The report in a real browser: it renders, it fits, and it asks nobody for anything."""

import shutil
import subprocess

import pytest

from fakes.tiny_run import write_recipe

pytest.importorskip("torch")

from fakes.listener import Silent
from textmill.train.pipeline import run_recipe
from textmill.train.recipe import load_recipe
from textmill.train.report import REPORT

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: sudo make system installs it"),
]
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --window-size=1100,1600"
).split()


def test_the_report_renders(tmp_path):
    run_recipe(load_recipe(write_recipe(tmp_path)), Silent())
    report = tmp_path / "run" / REPORT
    profile = tmp_path / "profile"
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", f"--screenshot={tmp_path / 'page.png'}"]
    subprocess.run([*command, report.as_uri()], check=True, capture_output=True, timeout=120)
    assert (tmp_path / "page.png").stat().st_size > 20_000, "an empty page compresses to less"
    dumped = subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "--dump-dom", report.as_uri()],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    ).stdout
    assert dumped.count("<polyline") >= 4
    assert "12 of 12" in dumped
