"""Charts: well formed, inside their frame, no spike lost, round numbers beside the axes."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textmill.train.chart import SIZE, Axes, Band, Mark, Series, draw_chart, draw_shares, log_ticks, ticks
from textmill.train.report_curves import centred_mean

figures = st.floats(-1e12, 1e12) | st.floats(1e-9, 10) | st.just(float("nan")) | st.just(float("inf"))


def places(drawn):
    for line in ET.fromstring(drawn).iter("polyline"):
        for pair in line.get("points").split():
            yield tuple(map(int, pair.split(",")))


@given(st.lists(figures, max_size=40), st.booleans(), st.booleans())
def test_any_figures_make_a_well_formed_chart(ys, log_x, log_y):
    series = Series("a & <b>", np.arange(len(ys), dtype=float), np.array(ys, float))
    drawn = draw_chart(Axes("x", "y", log_x, log_y), [series], marks=[Mark(1.0, "<&>")], bands=[Band(0, 2, "<s>")])
    if not drawn:
        return
    assert all(0 <= x <= SIZE and 0 <= y <= SIZE for x, y in places(drawn))


def test_nothing_to_draw():
    nothing = np.array([])
    assert draw_chart(Axes("x", "y"), [Series("a", nothing, nothing)]) == ""
    assert draw_shares("step", (0.0, 1.0), [], []) == ""


def test_a_spike_is_not_thinned_away_and_a_long_series_is_short():
    ys = np.ones(100_000)
    ys[51_234] = 1.5
    drawn = draw_chart(Axes("x", "y"), [Series("", np.arange(100_000.0), ys, 0, "raw")])
    assert min(y for _, y in places(drawn)) < SIZE / 2
    assert len(drawn) < 10_000


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (3.2, 3.21), (-5.0, 7e9), (1.0, 2e15)])
def test_ticks_are_few_and_inside(low, high):
    found = ticks(low, high, 5)
    assert 2 <= len(found) <= 11
    assert all(low - 1e-8 * (high - low) <= tick <= high + 1e-8 * (high - low) for tick in found)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(1.0, 100.0, [1, 2, 5, 10, 20, 50, 100]), (2.1, 3.1, [2.5, 3.0]), (1, 1e12, [1, 1e4, 1e8, 1e12])],
)
def test_ticks_of_logarithmic_axes(low, high, expected):
    assert log_ticks(low, high, 4) == pytest.approx(expected)


def test_a_centred_mean_against_a_loop():
    values = np.array([1.0, 4.0, np.nan, 2.0, 8.0, 3.0, 5.0])
    found = centred_mean(values, 5)
    for place in range(len(values)):
        half = min(2, place, len(values) - 1 - place)
        around = values[place - half : place + half + 1]
        expected = np.nanmean(around) if np.any(np.isfinite(around)) else np.nan
        assert found[place] == pytest.approx(expected, nan_ok=True)
