"""The standard library as a corpus."""

from textmill.text.dedup import drop_exact_duplicates
from textmill.text.documents import Document
from textmill.text.stdlib import is_stdlib, read_stdlib


def test_names():
    assert is_stdlib("stdlib")
    assert is_stdlib("stdlib:code")
    assert is_stdlib("stdlib:prose")
    assert not is_stdlib("stdlib:tests")
    assert not is_stdlib("./stdlib")


def test_code_is_modules_without_tests_and_packages():
    documents = list(read_stdlib("stdlib:code", "code"))
    ids = [document.id for document in documents]
    assert ids == sorted(ids)
    assert "argparse.py" in ids
    assert "json/decoder.py" in ids
    for name in ids:
        assert not {"test", "tests", "idle_test", "site-packages"} & set(name.split("/"))
    assert "pydoc_data/topics.py" not in ids, "it holds every topic's text"
    assert 8e6 < sum(len(document.text) for document in documents) < 20e6


def test_prose_is_docstrings_and_topics():
    documents = {document.id: document.text for document in read_stdlib("stdlib:prose", "prose")}
    assert documents["argparse.py::module.ArgumentParser"].startswith("Object for parsing command line strings")
    assert "truth value" in documents["topic:truth"].lower()


def test_a_docstring_shares_its_modules_origin():
    document = next(d for d in read_stdlib("stdlib:prose", "prose") if d.id.startswith("argparse.py::"))
    assert document.origin == "argparse.py"
    assert Document("", "s", "topic:if").origin == "topic:if"


def test_both_kinds_come_without_a_kind():
    ids = {document.id for document in read_stdlib("stdlib", "all")}
    assert {"argparse.py", "argparse.py::module"} <= ids


def test_exact_duplicates_are_dropped_across_sources():
    seen = set()
    first = [Document("a", "x", "1"), Document("b", "x", "2"), Document("a", "x", "3")]
    assert [d.id for d in drop_exact_duplicates(first, seen)] == ["1", "2"]
    assert [d.id for d in drop_exact_duplicates([Document("b", "y", "4"), Document("c", "y", "5")], seen)] == ["5"]
