"""What is held out is held out by name, the same every time."""

import pytest

from textmill.base.errors import ConfigError, DataError
from textmill.data.holdout import is_held_out, split_holdout
from textmill.text.documents import Document


def documents(count):
    return [Document(f"text {i}", "s", f"{i}.txt") for i in range(count)]


def test_about_the_fraction_is_held_out():
    held_out = [i for i in range(10_000) if is_held_out(f"{i}.txt", 0.05)]
    assert 400 < len(held_out) < 600
    assert held_out[:3] == [i for i in range(10_000) if is_held_out(f"{i}.txt", 0.05)][:3]


def test_a_larger_fraction_holds_out_the_same_and_more():
    small = {i for i in range(1000) if is_held_out(str(i), 0.05)}
    assert small < {i for i in range(1000) if is_held_out(str(i), 0.2)}


def test_the_two_sides_are_the_whole():
    train, held_out = split_holdout(documents(500), 0.1)
    assert sorted(d.id for d in train + held_out) == sorted(d.id for d in documents(500))


def test_parts_of_one_file_stay_together():
    parts = [Document(f"{i}.{j}", "prose", f"{i}.py::f{j}") for i in range(300) for j in range(3)]
    train, held_out = split_holdout(parts, 0.1)
    assert not {d.origin for d in train} & {d.origin for d in held_out}


def test_the_tail_is_the_last_part_in_characters():
    train, held_out = split_holdout([Document("naïve text", "s", "one")], 0.3, "tail")
    assert [d.text for d in train] == ["naïve t"]
    assert [d.text for d in held_out] == ["ext"]


def test_few_documents_give_their_tails_and_many_are_taken_whole():
    _, held_out = split_holdout(documents(99), 0.2, "auto")
    assert len(held_out) == 99
    _, held_out = split_holdout(documents(100), 0.2, "auto")
    assert {d.text for d in held_out} < {d.text for d in documents(100)}


def test_nothing_held_out_is_an_error_with_the_fix():
    with pytest.raises(DataError, match='of 1 documents none is held out.*eval.holdout_kind = "tail"'):
        split_holdout([d for d in documents(100) if not is_held_out(d.origin, 0.05)][:1], 0.05)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 2])
def test_a_fraction_that_is_none(fraction):
    with pytest.raises(ConfigError, match="must be between 0 and 1"):
        split_holdout(documents(3), fraction)
