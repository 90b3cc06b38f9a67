"""What the README says is there is there; its Python and its command lines are tried in ``tests/docs``."""

import re
from pathlib import Path

from textmill.cli.app import app

README = (Path(__file__).parents[2] / "README.md").read_text()


def test_the_pages_it_names_are_there():
    root = Path(__file__).parents[2]
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert (root / link).exists(), link


def test_commands_that_have_come_leave_the_list_of_what_has_not():
    missing = re.search(r"Not yet: (.*?)\. \[CHANGELOG", README, re.DOTALL).group(1)
    assert not set(re.findall(r"`([a-z]+)`", missing)) & set(app)
