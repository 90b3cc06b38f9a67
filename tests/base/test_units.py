"""Quantities as people read and write them."""

import pytest

from textmill.base import units


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (999, "999"), (1000, "1k"), (12_345, "12.3k"), (5_048_576, "5.05M"), (6e12, "6T")]
)
def test_count(value, text):
    assert units.count(value) == text


@pytest.mark.parametrize(("value", "text"), [(0, "documents"), (1, "document"), (2, "documents")])
def test_plural(value, text):
    assert units.plural(value, "document") == text
    assert units.plural(value, "address") == ("address" if value == 1 else "addresses")


@pytest.mark.parametrize(("value", "text"), [(12, "12 B"), (12_118_641, "12.1 MB"), (5e9, "5 GB")])
def test_num_bytes(value, text):
    assert units.num_bytes(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.85, "850 ms"), (12.3, "12.3 s"), (125, "2m 05s"), (12_000, "3h 20m")])
def test_seconds(value, text):
    assert units.seconds(value) == text
