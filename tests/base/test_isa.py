"""The variable that says which instructions may be used."""

import pytest

from textmill.base.errors import ConfigError
from textmill.base.isa import NAME, TIERS, check_isa


@pytest.mark.parametrize("value", [None, "", *TIERS])
def test_what_it_may_be(value, monkeypatch):
    monkeypatch.delenv(NAME, raising=False) if value is None else monkeypatch.setenv(NAME, value)
    check_isa()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("avx-2", 'the environment variable TEXTMILL_ISA is "avx-2"; did you mean "avx2"? It may be amx, avx512, '),
        ("AVX2", 'the environment variable TEXTMILL_ISA is "AVX2"'),
        ("0", 'the environment variable TEXTMILL_ISA is "0". It may be amx, avx512, avx2, portable, or unset'),
    ],
)
def test_what_it_may_not_be(value, said, monkeypatch):
    monkeypatch.setenv(NAME, value)
    with pytest.raises(ConfigError) as raised:
        check_isa()
    assert str(raised.value).startswith(said)
