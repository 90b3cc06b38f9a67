"""Quantities as people read and write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 ms"),
        (0.000_341, "0.34 ms"),
        (0.0032, "3.2 ms"),
        (0.00999, "10 ms"),
        (0.85, "850 ms"),
        (12.3, "12.3 s"),
        (125, "2m 05s"),
        (12_000, "3h 20m"),
    ],
)
def test_seconds(value, text):
    assert units.seconds(value) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("30M", 30_000_000),
        ("1.5B", 1_500_000_000),
        ("250 k", 250_000),
        ("3e7", 30_000_000),
        ("1_000", 1000),
        ("-2M", -2e6),
    ],
)
def test_a_count_is_read_back(text, value):
    assert units.read_count(text) == value


@given(st.integers(0, 10**15))
def test_what_is_written_is_read_back_to_three_digits(value):
    assert units.read_count(units.count(value)) == pytest.approx(value, rel=5e-3)


@pytest.mark.parametrize(
    "text", ["", "M", "30Q", "30MM", "3.M", "1e3e3", "nan", "inf", "0x10", "3,000", "9" * 400 + "M"]
)
def test_what_is_no_count_is_refused(text):
    with pytest.raises(ValueError, match="count"):
        units.read_count(text)
