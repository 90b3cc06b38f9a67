"""The fuzz targets know the named patterns without Python; they must be the same ones."""

import re
from pathlib import Path

from textmill.tokenizer.patterns import PATTERNS

SOURCE = Path(__file__).parents[2] / "cpp/fuzz/named_patterns.cpp"


def test_the_patterns_of_the_fuzz_targets_are_the_named_ones():
    entries = re.split(r'\{"([\w-]+)",', SOURCE.read_text(encoding="utf-8"))
    found = dict(zip(entries[1::2], map(stage_regexes, entries[2::2]), strict=True))
    assert set(found.values()) == {pattern.regexes for pattern in PATTERNS.values()}
    assert all(PATTERNS[name].regexes == regexes for name, regexes in found.items())


def stage_regexes(entry):
    """Literals that only space parts are one regex; a comma ends it."""
    stages = re.sub(r'\)"\s+R"\(', "", entry)
    return tuple(re.findall(r'R"\((.*?)\)"', stages, re.DOTALL))
