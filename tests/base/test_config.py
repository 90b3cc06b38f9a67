"""Configuration: every key and type is checked, and the message names the fix."""

from dataclasses import dataclass, field
from typing import Literal

import pytest

from textmill.base.config import apply_settings, from_table, read_toml, to_table
from textmill.base.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Inner:
    width: int
    rate: float = 0.5
    kind: Literal["a", "b"] = "a"


@dataclass(frozen=True, kw_only=True, slots=True)
class Outer:
    name: str
    inner: Inner = Inner(width=1)
    from_: str | None = None
    several: tuple[Inner, ...] = ()
    weights: dict[str, float] = field(default_factory=dict)
    on: bool = False


def test_tables_become_dataclasses_and_back():
    table = {
        "name": "x",
        "inner": {"width": 2, "rate": 1.0, "kind": "b"},
        "from": "here",
        "several": [{"width": 3, "rate": 0.5, "kind": "a"}],
        "weights": {"web": 1.0},
        "on": True,
    }
    outer = from_table(Outer, table)
    assert outer.inner == Inner(width=2, rate=1.0, kind="b")
    assert outer.from_ == "here"
    assert to_table(outer) == table


def test_whole_numbers_may_be_written_with_an_exponent():
    assert from_table(Inner, {"width": 6e12}).width == 6_000_000_000_000


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"name": "x", "iner": {}}, r'unknown key "iner"; did you mean "inner"\?'),
        ({"name": "x", "inner": {"width": 1, "with": 2}}, r'unknown key "inner.with"; did you mean "width"\?'),
        ({}, 'the key "name" is missing'),
        ({"name": 3}, '"name" is 3, and must be a string in quotes'),
        ({"name": "x", "inner": {"width": 1.5}}, '"inner.width" is 1.5, and must be a whole number'),
        ({"name": "x", "inner": {"width": True}}, '"inner.width" is True, and must be a whole number'),
        ({"name": "x", "inner": {"width": float("inf")}}, "must be a whole number"),
        ({"name": "x", "inner": {"width": float("nan")}}, "must be a whole number"),
        ({"name": "x", "inner": {"width": 1, "kind": "c"}}, '"inner.kind" is "c".*It may be: a, b'),
        ({"name": "x", "inner": 3}, '"inner" is 3, and must be a table'),
        ({"name": "x", "several": {}}, '"several" is {}, and must be a list'),
        ({"name": "x", "several": [{"width": "1"}]}, r'"several\[0\].width" is .1., and must be a whole number'),
        ({"name": "x", "weights": {"web": "much"}}, '"weights.web" is .much., and must be a number'),
        ({"name": "x", "on": 1}, '"on" is 1, and must be true or false'),
    ],
)
def test_what_is_wrong_is_named(table, message):
    with pytest.raises(ConfigError, match=message):
        from_table(Outer, table)


def test_settings_lie_over_a_table():
    table = {"model": {"hidden_size": 64}, "run": {"dir": "a"}}
    settings = ["model.hidden_size=128", "run.dir=runs/b", 'data.sources.web={ path = "x" }', "eval.holdout=5e-2"]
    assert apply_settings(table, settings) == {
        "model": {"hidden_size": 128},
        "run": {"dir": "runs/b"},
        "data": {"sources": {"web": {"path": "x"}}},
        "eval": {"holdout": 0.05},
    }
    assert table == {"model": {"hidden_size": 64}, "run": {"dir": "a"}}


@pytest.mark.parametrize("setting", ["model.hidden_size", "=3", "a..b=1"])
def test_a_setting_needs_a_key_and_a_value(setting):
    with pytest.raises(ConfigError, match=r"write it as table.key=value"):
        apply_settings({}, [setting])


def test_a_setting_inside_a_value_is_refused():
    with pytest.raises(ConfigError, match=r'inside "a", which is a list: give all of it, as in a=\[\{\.\.\.\}\]'):
        apply_settings({"a": [{"b": 1}]}, ["a.b=2"])
    with pytest.raises(ConfigError, match="is a value and not a table"):
        apply_settings({"a": 1}, ["a.b=2"])


def test_toml_that_is_not_toml(tmp_path):
    path = tmp_path / "x.toml"
    path.write_text("[run\n")
    with pytest.raises(ConfigError, match=r"x.toml is not valid TOML: .*line 1"):
        read_toml(path)
    path.write_bytes(b'name = "\xff"')
    with pytest.raises(ConfigError, match="is not UTF-8"):
        read_toml(path)
    with pytest.raises(ConfigError, match="cannot read"):
        read_toml(tmp_path / "none.toml")
