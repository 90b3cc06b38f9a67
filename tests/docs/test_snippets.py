"""Python in the pages of concepts: what has a prompt is run, and what has none stands in the file that it names."""

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONCEPTS = sorted((ROOT / "docs" / "concepts").glob("*.md"))
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run(text, name):
    """Run the blocks of a page in one namespace, as doctests; how many failed, and what was said."""
    source = "\n\n".join(block for block in BLOCK.findall(text) if ">>>" in block)
    test = doctest.DocTestParser().get_doctest(source, {}, name, name, 0)
    said = []
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test, out=said.append)
    return result.failed, "".join(said)


def quoted(text):
    """The blocks that quote: the file each names, and the code."""
    return [block.partition("\n")[::2] for block in BLOCK.findall(text) if ">>>" not in block]


@pytest.mark.parametrize("page", CONCEPTS, ids=lambda page: page.stem)
def test_what_is_shown_to_be_typed_answers_so(page):
    failed, said = run(page.read_text(), page.name)
    assert not failed, said


@pytest.mark.parametrize("page", CONCEPTS, ids=lambda page: page.stem)
def test_what_is_quoted_is_the_code(page):
    for first, code in quoted(page.read_text()):
        file = ROOT / first.removeprefix("# ")
        assert file.is_file(), f"a block without a prompt begins with the file that it quotes, not with {first!r}"
        assert code in file.read_text(), f"{first} has changed: quote it again"


def test_a_wrong_answer_is_found():
    assert run("```python\n>>> 1 + 1\n3\n```\n", "page")[0] == 1
