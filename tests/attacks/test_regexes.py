"""Regexes made to exhaust whoever compiles or runs them: they come from files that strangers wrote."""

import os
import time

import pytest

from fakes.cpu_time import cpu_seconds
from textmill import _core
from textmill.base.errors import ConfigError
from textmill.tokenizer import splitting
from textmill.tokenizer.oniguruma import from_oniguruma
from textmill.tokenizer.patterns import pattern_named

BOMBS = {
    "quantifiers of quantifiers": "((((a{99}){99}){99}){99})",
    "too many states": "(?:[ab]*a[ab]{30})+",
    "long lookahead lists": "|".join(f"a{{0,60}}(?!b)c{i % 10}" for i in range(70)),
    "lookahead in a chain": "(?=a)" * 4000 + "a",
    "optional parts": "(?:a?){1}" * 1500 + "b",
    "many classes": "|".join(rf"[\p{{L}}{chr(0x4E00 + i)}]" for i in range(2000)),
    "many alternatives": "|".join(["a"] * 5000),
    "deep groups": "(?:" * 20_000 + "a" + ")" * 20_000,
    "long": "ab" * 40_000,
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_compiling_ends_soon_one_way_or_the_other(bomb):
    start = time.process_time()
    try:
        _core.Splitter([bomb])
    except ValueError:
        pass
    assert time.process_time() - start < 5


@pytest.mark.parametrize("regex", ["a*b|a", "(?:aa)*c|(?:aaa)*b|a", "a*b", r"(?:a|b)*c|\w", "(?:a+b?)+c|a"])
@pytest.mark.alone
def test_scans_that_fail_at_the_end_of_the_text_are_not_repeated(regex):
    splitter = _core.Splitter([regex])
    text, most = b"a" * 1_000_000, float(os.environ.get("TEXTMILL_TIME_BOUND_S", "2"))
    assert cpu_seconds(lambda: _core.split(splitter, text), most=most) < most
    assert _core.split(splitter, text)[0][-1] == len(text)


def test_a_regex_that_backtracks_without_end_is_stopped(monkeypatch):
    monkeypatch.setattr(splitting, "_TIMEOUT_S", 0.3)
    splitter = pattern_named(r"(?:(a|aa)+\1)+$|b").splitter()
    start = time.process_time()
    with pytest.raises(ConfigError, match="backtracks too much"):
        _core.split(splitter, b"a" * 5000 + b"c")
    assert time.process_time() - start < 5


@pytest.mark.parametrize("regex", ["(a)" + r"\1" * 20_000, "(" * 20_000, "(?i)" * 20_000, "[" + "a-z" * 20_000 + "]"])
def test_reading_a_long_regex_of_oniguruma_ends_soon(regex):
    start = time.process_time()
    with pytest.raises(ConfigError):
        from_oniguruma(regex + r"\X")
    assert time.process_time() - start < 5
