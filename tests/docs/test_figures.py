"""The figures in the pages are those that textmill's code draws."""

import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_figures_are_drawn_the_same(tmp_path):
    command = [sys.executable, DOCS / "figures", tmp_path]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    kept = {file.name: file.read_text(encoding="utf-8") for file in (DOCS / "images" / "concepts").iterdir()}
    drawn = {file.name: file.read_text(encoding="utf-8") for file in tmp_path.iterdir()}
    assert kept.keys() == drawn.keys()
    changed = [name for name in kept if kept[name] != drawn[name]]
    assert not changed, "look at what `make figures` makes of them, and commit it"


def test_each_is_on_a_page():
    pages = "".join(page.read_text() for page in (DOCS / "concepts").glob("*.md"))
    assert [file.name for file in (DOCS / "images" / "concepts").iterdir() if file.name not in pages] == []
