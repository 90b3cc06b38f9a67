"""The site that ``make docs`` builds: whole, linked, and all of it from this folder."""

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("sphinx", reason="Sphinx is not here: make docs installs it")

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(page.relative_to(DOCS) for page in DOCS.rglob("*.md"))


def build(source, out):
    """What ``make docs`` runs; the result, and what it said."""
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", out / "doctrees", "-b", "html"]
    result = subprocess.run([*command, source, out / "site"], capture_output=True, text=True, check=False)
    return result.returncode, result.stderr


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("docs")
    returncode, said = build(DOCS, out)
    assert returncode == 0, said
    return out / "site"


class Loads(HTMLParser):
    """Addresses that a browser fetches by itself, other than links that are clicked."""

    def __init__(self):
        super().__init__()
        self.addresses = []

    def handle_starttag(self, tag, attrs):
        names = ("src", "srcset", "data", "poster", "action", *(("href",) if tag in ("link", "image", "use") else ()))
        self.addresses += [value for name, value in attrs if name in names and value]


def test_every_page_is_built(site):
    assert {page.with_suffix(".html") for page in PAGES} <= {page.relative_to(site) for page in site.rglob("*.html")}


def test_nothing_is_fetched_from_another_host(site):
    foreign = []
    for page in site.rglob("*.html"):
        loads = Loads()
        loads.feed(page.read_text())
        foreign += [(page.name, address) for address in loads.addresses if re.match(r"([a-z]+:)?//", address)]
    for file in [*site.rglob("*.css"), *site.rglob("*.html"), *site.rglob("*.svg")]:
        foreign += [
            (file.name, a)
            for a in re.findall(r"(?:url\(|@import)\s*['\"]?((?:https?:)?//[^'\")\s]*)", file.read_text())
        ]
    for file in site.rglob("*.js"):
        # Names of XML's vocabularies look like addresses, and are not fetched.
        found = re.findall(r"['\"`]((?:https?:)?//[\w.-]+\.[^'\"`\s]*)", file.read_text())
        foreign += [(file.name, address) for address in found if not address.startswith("http://www.w3.org/")]
    assert not foreign


LEADS_NOWHERE = {
    "[a page](nowhere-1.md)": "nowhere-1.md",
    "[a heading](index.md#nowhere-2)": "nowhere-2",
    "[a heading here](#nowhere-3)": "nowhere-3",
    "![a picture](nowhere-4.svg)": "nowhere-4.svg",
}


@pytest.fixture
def source(tmp_path):
    """A folder with the settings of the site, and no page."""
    shutil.copytree(DOCS / "_static", tmp_path / "source" / "_static")
    return Path(shutil.copy(DOCS / "conf.py", tmp_path / "source")).parent


def test_what_leads_nowhere_is_an_error(source, tmp_path):
    """With the settings of the site, on a page that nothing names."""
    (source / "index.md").write_text("# Index\n")
    (source / "page.md").write_text("# Page\n\n" + "\n\n".join(LEADS_NOWHERE))
    returncode, errors = build(source, tmp_path)
    assert returncode != 0
    assert [said for said in (*LEADS_NOWHERE.values(), "toc.not_included") if said not in errors] == []


def test_pages_that_are_named_and_linked_are_fine(source, tmp_path):
    (source / "page.md").write_text("# Page\n\n[A heading](index.md#the-index).\n")
    (source / "index.md").write_text("# The index\n\n```{toctree}\npage\n```\n")
    assert build(source, tmp_path) == (0, "")
