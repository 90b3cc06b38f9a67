"""Parts of a corpus: disjoint, whole together, and the same everywhere."""

import pytest

from textmill.data.document_parts import is_in_part
from textmill.data.holdout import is_held_out
from textmill.text.documents import Document

DOCUMENTS = [Document(f"text {number}", "s", f"folder/{number}.txt") for number in range(2000)]


def in_part(documents, low, high):
    return [document for document in documents if is_in_part(document.origin, low, high)]


def ids(low, high):
    return [document.id for document in in_part(DOCUMENTS, low, high)]


def test_parts_share_nothing_and_together_are_all():
    parts = [ids(0, 0.3), ids(0.3, 0.31), ids(0.31, 1)]
    assert sorted(id_ for part in parts for id_ in part) == sorted(document.id for document in DOCUMENTS)
    assert [len(part) / 2000 for part in parts] == pytest.approx([0.3, 0.01, 0.69], abs=0.03)
    assert ids(0, 1) == [document.id for document in DOCUMENTS]


def test_what_comes_from_one_file_stays_together():
    documents = [Document("x", "s", f"a/{number}.py::part{part}") for number in range(50) for part in range(3)]
    kept = [document.origin for document in in_part(documents, 0.2, 0.5)]
    assert kept
    assert all(kept.count(origin) == 3 for origin in kept)


def test_a_part_has_its_share_of_what_is_held_out():
    part = in_part(DOCUMENTS, 0, 0.5)
    assert sum(is_held_out(document.origin, 0.2) for document in part) / len(part) == pytest.approx(0.2, abs=0.04)


def test_it_is_the_same_part_on_every_machine():
    numbers = (93, 108, 296, 915, 1305, 1355, 1645, 1968)
    assert ids(0.3, 0.305) == [f"folder/{number}.txt" for number in numbers]
