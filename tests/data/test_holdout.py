"""What is held out is held out by name, the same every time."""

import numpy as np

from textmill.data.holdout import is_held_out
from textmill.data.kept_batch import KeptBatch
from textmill.data.token_units import split
from textmill.text.text_batch import TextBatch


def batch(texts, names):
    return KeptBatch(TextBatch.of(texts), TextBatch.of(names), np.zeros(len(texts), np.float32))


def parts(documents, kind, fraction):
    """The texts that are trained on and those that are held out, each with its document's name."""
    names = [name.decode() for name in documents.names]
    return [
        [(text, name) for text, name, is_there in zip(texts.texts(), names, chosen, strict=True) if is_there]
        for texts, chosen in split(documents, kind, fraction)
    ]


def test_about_the_fraction_is_held_out():
    held_out = [i for i in range(10_000) if is_held_out(f"{i}.txt", 0.05)]
    assert 400 < len(held_out) < 600
    assert held_out[:3] == [i for i in range(10_000) if is_held_out(f"{i}.txt", 0.05)][:3]


def test_a_larger_fraction_holds_out_the_same_and_more():
    small = {i for i in range(1000) if is_held_out(str(i), 0.05)}
    assert small < {i for i in range(1000) if is_held_out(str(i), 0.2)}


def test_the_two_sides_are_the_whole():
    documents = batch([f"text {i}" for i in range(500)], [f"{i}.txt" for i in range(500)])
    train, held_out = parts(documents, "documents", 0.1)
    assert 20 < len(held_out) < 90
    assert sorted(train + held_out) == sorted((f"text {i}", f"{i}.txt") for i in range(500))
    assert parts(documents, "all", 0.1)[0] == parts(documents, "none", 0.1)[1] == []


def test_parts_of_one_file_stay_together():
    names = [f"{i}.py::f{j}" for i in range(300) for j in range(3)]
    train, held_out = parts(batch(names, names), "documents", 0.1)
    assert held_out
    assert not {name.partition("::")[0] for _, name in train} & {name.partition("::")[0] for _, name in held_out}


def test_the_tail_is_the_last_part_in_characters():
    train, held_out = parts(batch(["naïve text", "x"], ["one", "two"]), "tail", 0.3)
    assert train == [("naïve t", "one")]
    assert held_out == [("ext", "one"), ("x", "two")]
