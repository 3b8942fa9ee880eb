"""Every formula of the desk as a table, with its edges."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.desk.formulas import (
    Caps,
    Technicals,
    classify,
    confidence,
    exposure_multiplier,
    failed_filters,
    find_support,
    grade,
    momentum_score,
    position_size,
    risk_class,
    risk_score,
    signal_points,
    stop_price,
    swing_lows,
    target_prices,
)
from simulator.trading.parts import check_exits

NAN = math.nan
GOOD = Technicals(
    symbol="AAA",
    price=110.0,
    sma20=105.0,
    sma50=100.0,
    sma200=90.0,
    rsi=60.0,
    rsi_before=55.0,
    macd=2.0,
    signal=1.0,
    histogram=1.0,
    atr=2.0,
    volume=3e6,
    volume20=2e6,
    dollars20=2e8,
    low20=98.0,
    high20=112.0,
    lead63=0.02,
    support=104.0,
)
"""Passes every filter and fires every signal."""


def of(**changed: float) -> Technicals:
    return replace(GOOD, **changed)


@pytest.mark.parametrize(
    ("changed", "as_traded", "failed"),
    [
        ({}, True, 0),
        ({"rsi": 45.0}, True, 0),
        ({"rsi": 70.0}, True, 0),
        ({"rsi": math.nextafter(45.0, 0)}, True, 1),
        ({"rsi": math.nextafter(70.0, 99)}, True, 1),
        ({"rsi": NAN}, True, 1),
        ({"macd": 1.0}, True, 1),  # on its signal is not above it
        ({"macd": 0.0, "signal": -1.0}, True, 1),  # above its signal, and not above zero
        ({"macd": -0.5, "signal": -1.0}, True, 1),
        ({"atr": 0.5}, True, 0),
        ({"atr": math.nextafter(0.5, 0)}, True, 1),
        ({"volume20": 1_000_000.0}, True, 1),  # more than a million
        ({"volume20": 1_000_001.0}, True, 0),
        # Adjusted bars: the same in parts of the price, and in dollars.
        ({"price": 100.0, "atr": 0.5}, False, 0),
        ({"price": 100.0, "atr": 0.49}, False, 1),
        ({"price": 10.0, "atr": 0.1}, False, 0),
        ({"dollars20": 20e6, "volume20": 1.0}, False, 0),
        ({"dollars20": 19_999_999.0}, False, 1),
        ({"rsi": 80.0, "macd": -1.0, "atr": 0.1, "volume20": 1.0}, True, 4),
        (dict.fromkeys(("rsi", "macd", "atr", "volume20", "dollars20"), NAN), False, 4),
    ],
)
def test_filters_at_their_edges(changed, as_traded, failed):
    assert len(failed_filters(of(**changed), as_traded)) == failed


@pytest.mark.parametrize(
    ("changed", "score", "missing"),
    [
        # 30 × 0.75, 40 × (0.6 + 1 + 12/14) / 3, 20, 10
        ({}, 22.5 + 40 * (0.6 + 1.0 + 12 / 14) / 3 + 20 + 10, ()),
        ({"volume": 4e6, "rsi": 70.0, "price": 112.0}, 100.0, ()),  # all full
        ({"volume": 9e6, "rsi": 90.0, "price": 120.0, "dollars20": 1e10}, 100.0, ()),  # each clipped
        ({"volume": 0.0, "rsi": 45.0, "histogram": -1.0, "price": 98.0, "dollars20": 0.0}, 20 * 2 / 3, ()),
        ({"sma200": NAN}, 22.5 + 40 * (0.6 + 1.0 + 12 / 14) / 3 + 20 * 2 / 3 + 10, ("SMA50 over SMA200",)),
        ({"high20": 98.0}, 22.5 + 40 * 1.6 / 3 + 20 + 10, ("range",)),  # a flat range
        ({"atr": 0.0}, 22.5 + 40 * (0.6 + 12 / 14) / 3 + 20 + 10, ("MACD",)),
        ({"volume20": 0.0}, 40 * (0.6 + 1.0 + 12 / 14) / 3 + 20 + 10, ("volume",)),
    ],
)
def test_momentum_score(changed, score, missing):
    found, named = momentum_score(of(**changed))
    assert found == pytest.approx(score, abs=1e-12)
    assert named == missing


def test_without_any_input_the_score_is_nothing_and_every_part_is_named():
    numbers = [name for name in Technicals.__dataclass_fields__ if name != "symbol"]
    score, missing = momentum_score(of(**dict.fromkeys(numbers, NAN)))
    assert score == 0.0
    assert len(missing) == 8


@pytest.mark.parametrize(
    ("signal", "changed", "points"),
    [
        ("trend", {}, 20),
        ("trend", {"sma20": 100.0}, 10),  # on SMA50 is not above it
        ("trend", {"sma50": NAN}, 10),
        ("trend", {"price": 105.0}, 0),
        ("rsi", {"rsi": 70.0}, 20),
        ("rsi", {"rsi": 45.0, "rsi_before": 44.0}, 20),
        ("rsi", {"rsi_before": 60.0}, 10),
        ("rsi", {"rsi": 70.01}, 0),
        ("rsi", {"rsi": 44.99}, 0),
        ("macd", {}, 20),
        ("macd", {"macd": 0.0, "signal": -1.0}, 10),
        ("macd", {"macd": 1.0}, 0),
        ("volume", {"volume": 2.4e6 + 1}, 20),
        ("volume", {"volume": 1.2 * 2e6}, 10),
        ("volume", {"volume": 2e6}, 0),
        ("volume", {"volume20": NAN}, 0),
        ("range", {"low20": 100.0, "high20": 120.0, "price": 115.0}, 20),
        ("range", {"low20": 100.0, "high20": 120.0, "price": 110.0}, 10),
        ("range", {"low20": 100.0, "high20": 120.0, "price": 109.9}, 0),
        ("range", {"low20": 110.0, "high20": 110.0}, 0),
    ],
)
def test_points_of_signals(signal, changed, points):
    assert signal_points(of(**changed))[signal] == points


REACHABLE = {
    ("some", False): {0, 10, 20, 30, 40, 50, 60, 70, 80},
    ("some", True): {0, 10, 21, 31, 42, 52, 63, 73, 84},
    ("all", False): {55, 66, 77, 88, 99, 100},
    ("all", True): {57, 69, 80, 92, 100},
}
"""All scores there are: where some signals count or all, and of symbols that lead the benchmark."""


@pytest.mark.parametrize(("counting", "leads"), REACHABLE)
def test_all_reachable_scores(counting, leads):
    points = itertools.product((0, 10, 20), repeat=5)
    chosen = [one for one in points if (min(one) > 0) == (counting == "all")]
    assert {confidence(one, leads) for one in chosen} == REACHABLE[counting, leads]


@pytest.mark.parametrize(
    ("points", "leads", "score"),
    [
        ((20, 20, 20, 20, 20), False, 100),  # 110, capped
        ((10, 10, 10, 10, 10), False, 55),
        ((10, 10, 10, 10, 10), True, 57),  # 57.75
        ((20, 10, 10, 10, 10), True, 69),  # 69.3
        ((20, 20, 10, 10, 10), True, 80),  # 80.85
        ((20, 20, 20, 20, 0), True, 84),
        ((20, 20, 20, 0, 0), False, 60),
        ((0, 0, 0, 0, 0), True, 0),
    ],
)
def test_confidence(points, leads, score):
    assert confidence(points, leads) == score


@pytest.mark.parametrize(
    ("score", "told"),
    [
        *((0, "AVOID"), (39, "AVOID"), (40, "HOLD"), (59, "HOLD")),
        *((60, "BUY"), (79, "BUY"), (80, "STRONG_BUY"), (100, "STRONG_BUY")),
    ],
)
def test_classes_at_their_edges(score, told):
    assert classify(score) == told


@pytest.mark.parametrize(
    ("low", "below", "support"),
    [
        ([5, 4, 3, 4, 5], 10, 3),
        ([5, 4, 3, 4], 10, NAN),  # one session more and it is known
        ([5, 4, 3, 3, 5], 10, NAN),  # not under its neighbour
        ([5, 4, 3, 4, 5, 4.5, 4.2, 5, 6], 10, 4.2),  # the highest of two
        ([5, 4, 3, 4, 5, 4.5, 4.2, 5, 6], 4.2, 3),  # not below the price
        ([5, 4, 3, 4, 5, *[9] * 57], 10, 3),  # the third of 62: the oldest that can still be a swing … two before it
        ([5, 4, 3, 4, 5, *[9] * 58], 10, NAN),  # … have left the 60
        ([], 10, NAN),
    ],
)
def test_support(low, below, support):
    assert find_support(swing_lows(np.array(low, dtype=float)), below) == pytest.approx(support, nan_ok=True)


@pytest.mark.parametrize(
    ("entry", "atr", "support", "stop"),
    [
        (100.0, 1.0, NAN, 98.0),  # two ATR
        (100.0, 2.0, NAN, 97.0),  # 3 %
        (100.0, 2.0, 98.5, 98.5),  # support
        (100.0, 2.0, 99.5, 99.0),  # support nearer than half an ATR
        (100.0, 6.0, NAN, 97.0),  # half an ATR is exactly 3 %
        (100.0, 6.0001, NAN, None),
        (100.0, 6.0001, 99.0, None),
        (50.0, 3.0, NAN, 48.5),
        (100.0, 1.0, 100.0, 98.0),  # support at the entry is none
        (100.0, 1.0, 101.0, 98.0),  # support above entry, as after a gap down
        (123.45, 2.2, NAN, 119.75),  # 119.7465, up to the cent
        (100.0, 0.004, NAN, None),  # 99.992 is 100.00 in cents
        (100.0, 0.02, NAN, 99.96),
        (0.3, 0.009, NAN, None),  # 3 % of it is less than a cent
        (100.0, NAN, 98.0, None),
    ],
)
def test_stops(entry, atr, support, stop):
    assert stop_price(entry, atr, () if math.isnan(support) else (support,)) == stop


@pytest.mark.parametrize(
    ("entry", "stop"),
    [(100.0, 98.7), (99.5, 98.7), (98.7, 97.4), (98.702, 97.4), (98.0, 97.4), (97.4, 95.4), (104.0, 102.0)],
)
def test_a_stop_lies_at_the_highest_swing_low_below_the_entry_even_where_the_entry_is_a_support_itself(entry, stop):
    assert stop_price(entry, 1.0, (97.4, 98.7, 101.0)) == stop


@given(entry=st.floats(0.5, 1e5), fraction=st.floats(1e-5, 0.2), support=st.floats(0.01, 2e5))
def test_a_stop_is_within_3_percent_in_cents_and_below_the_entry(entry, fraction, support):
    stop = stop_price(entry, fraction * entry, (support,))
    if stop is None:
        assert fraction > 0.06 * (1 - 1e-9) or 0.5 * fraction * entry < 0.01
        return
    assert 0.97 * entry - 1e-9 * entry <= stop < entry
    assert stop == round(stop, 2)
    assert stop <= entry - 0.5 * fraction * entry + 0.01 + 1e-9 * entry


@pytest.mark.parametrize(
    ("entry", "stop", "targets"),
    [(100.0, 97.0, (104.5, 107.5)), (50.0, 49.5, (50.75, 51.25)), (10.0, 9.99, (10.02, 10.03))],
)
def test_targets_at_one_and_a_half_and_two_and_a_half_times_the_risk(entry, stop, targets):
    assert target_prices(entry, stop) == pytest.approx(targets, abs=0.011)


@pytest.mark.parametrize(
    ("gross", "drawdown", "multiplier"),
    [
        *((0.0, 0.0, 1.0), (0.2999, 0.0, 1.0), (0.30, 0.0, 0.75), (0.4999, 0.0, 0.75), (0.50, 0.0, 0.5)),
        *((0.7499, 0.0, 0.5), (0.75, 0.0, 0.0), (2.0, 0.0, 0.0)),
        *((0.0, 0.0499, 1.0), (0.0, 0.05, 0.5), (0.0, 0.0999, 0.5), (0.0, 0.10, 0.0), (0.30, 0.05, 0.375)),
    ],
)
def test_exposure_multiplier_at_its_edges(gross, drawdown, multiplier):
    assert exposure_multiplier(gross, drawdown) == multiplier


@pytest.mark.parametrize(
    ("changed", "shares", "binding"),
    [
        ({}, 150, "position"),  # with a stop at 3 % always
        ({"caps": Caps(position=1.0)}, 300, "sector"),
        ({"caps": Caps(position=1.0, sector=1.0), "sector_left": 1.0}, 666, "risk per trade"),  # 2,000 / 3
        ({"buying_power": 9_999.0}, 99, "buying power"),
        ({"buying_power": -5.0}, 0, "buying power"),
        ({"sector_left": 0.1}, 100, "sector"),
        ({"sector_left": -0.1}, 0, "sector"),
        ({"held": 0.10}, 50, "position"),
        ({"held": 0.20}, 0, "position"),
        ({"multiplier": 0.5}, 75, "position"),
        ({"multiplier": 0.0}, 0, "exposure"),
        ({"equity": -10.0}, 0, "risk per trade"),
        ({"entry": 1_000.0, "stop": 970.0, "equity": 6_000.0}, 0, "position"),  # less than a share
    ],
)
def test_sizes_name_the_rule_that_binds(changed, shares, binding):
    given = {"entry": 100.0, "stop": 97.0, "equity": 100_000.0, "buying_power": 1e6, "sector_left": 0.3}
    size = position_size(**{**given, "multiplier": 1.0, "caps": Caps(), **changed})
    assert (size.shares, size.binding) == (shares, binding)


@pytest.mark.parametrize("stop", [100.0, 101.0, 0.0, -1.0, NAN])
def test_a_size_needs_a_stop_below_the_entry(stop):
    with pytest.raises(ValueError, match="is not below the entry"):
        position_size(100.0, stop, 1e5, 1e5, 0.3, 1.0, Caps())


@given(
    width=st.floats(0.001, 0.03), equity=st.floats(1e3, 1e8), power=st.floats(0, 1e8), left=st.floats(-0.5, 0.3),
    multiplier=st.sampled_from([0.0, 0.375, 0.5, 0.75, 1.0]), held=st.floats(0, 0.3)
)  # fmt: skip
def test_no_size_passes_any_limit(width, equity, power, left, multiplier, held):
    entry = 100.0
    stop, caps = entry * (1 - width), Caps()
    size = position_size(entry, stop, equity, power, left, multiplier, caps, held)
    cost = size.shares * entry * (1 - 1e-9)
    assert size.shares >= 0
    assert size.shares * (entry - stop) <= caps.risk * equity * (1 + 1e-9)
    assert cost <= max(0.0, caps.position - held) * equity
    assert cost <= max(0.0, left) * equity
    assert cost <= power


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ((10, 0.51, 1.51, 1.01, 0.09), "EXCELLENT"),
        ((9, 0.9, 9.0, 9.0, 0.0), "too few to grade"),
        ((10, 0.50, 1.51, 1.01, 0.09), "GOOD"),  # a target is passed, not reached
        ((10, 0.51, 1.50, 1.01, 0.09), "GOOD"),
        ((10, 0.51, 1.51, 1.00, 0.09), "GOOD"),
        ((10, 0.51, 1.51, 1.01, 0.10), "GOOD"),
        ((10, 0.50, 1.50, 1.01, 0.09), "ACCEPTABLE"),
        ((10, 0.41, 1.01, 0.51, 0.50), "ACCEPTABLE"),
        ((10, 0.40, 1.01, 0.51, 0.50), "NEEDS_IMPROVEMENT"),
        ((10, 0.41, 1.00, 0.51, 0.50), "NEEDS_IMPROVEMENT"),
        ((10, 0.41, 1.01, 0.50, 0.50), "NEEDS_IMPROVEMENT"),
        ((10, 0.90, NAN, NAN, 0.01), "NEEDS_IMPROVEMENT"),  # two targets, and a bar that cannot be told
        ((10, 0.60, math.inf, 2.0, 0.01), "EXCELLENT"),
    ],
)
def test_grades_at_their_edges(record, told):
    assert grade(*record) == told


@pytest.mark.parametrize(
    ("parts", "score"),
    [
        ((0.0, 0.0, 0.0, 0.0), 0.0),
        ((0.20, 0.03, 1.0, 1.0), 100.0),
        ((0.90, 0.30, 1.0, 5.0), 100.0),
        ((0.10, 0.0, 0.0, 0.0), 12.5),
        ((0.0, 0.015, 0.5, 0.5), 37.5),
        ((-0.1, -1.0, 0.0, 0.0), 0.0),
        ((0.1, NAN, 0.0, 0.0), NAN),
    ],
)
def test_risk_score(parts, score):
    assert risk_score(*parts) == pytest.approx(score, nan_ok=True)


@pytest.mark.parametrize(
    ("score", "told"),
    [
        *((0.0, "LOW"), (24.99, "LOW"), (25.0, "MEDIUM"), (49.99, "MEDIUM"), (50.0, "HIGH"), (74.99, "HIGH")),
        *((75.0, "UNACCEPTABLE"), (100.0, "UNACCEPTABLE"), (NAN, "UNACCEPTABLE")),
    ],
)
def test_risk_classes_at_their_edges(score, told):
    assert risk_class(score) == told


@pytest.mark.parametrize("entry", [0.15, 0.155, 0.38, 0.999, 1.0, 5.01, 100.0])
def test_targets_of_shares_for_cents_are_a_cent_apart(entry):
    stop = stop_price(entry, 0.01 * entry, (), 0.03)
    first, second = target_prices(entry, 0.985 * entry if stop is None else stop)
    assert entry < first < second
    assert (round(first * 100, 9) % 1, round(second * 100, 9) % 1) == (0.0, 0.0)
    check_exits("A", 0.1, ((0.5, first), (0.5, second)), None)
