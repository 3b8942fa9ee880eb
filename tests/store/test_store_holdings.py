"""Positions are the sum of their fills."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from simulator.store.events import Stored
from simulator.store.projections import project

from .conftest import fill

Fills = list[tuple[str, float, float]]


def holdings(fills: Fills, slippage: float = 0.0, commission: float = 0.0) -> list[dict[str, object]]:
    events = [fill(*one, slippage=slippage, commission=commission) for one in fills]
    return project("r", [Stored(i, "r", "d", "", event) for i, event in enumerate(events)])["positions"]


def shown(fills: Fills) -> list[tuple[object, ...]]:
    names = ("number", "quantity", "largest", "entry_price", "profit", "fills")
    return [tuple(row[name] for name in names) for row in holdings(fills)]


def test_a_position_that_grows_has_the_average_price() -> None:
    assert shown([("SPY", 10, 100), ("SPY", 30, 120)]) == [(0, 40, 40, 115, 0, 2)]


def test_what_is_sold_realises_profit_against_the_average_price() -> None:
    assert shown([("SPY", 40, 115), ("SPY", -10, 125)]) == [(0, 30, 40, 115, 100, 2)]
    assert shown([("SPY", 40, 115), ("SPY", -40, 105)]) == [(0, 0, 40, 115, -400, 2)]


def test_a_short_gains_when_it_is_bought_back_lower() -> None:
    assert shown([("SPY", -40, 115), ("SPY", 40, 105)]) == [(0, 0, -40, 115, 400, 2)]


def test_a_fill_that_turns_a_position_closes_one_and_opens_the_next() -> None:
    assert shown([("SPY", 10, 100), ("QQQ", 1, 1), ("SPY", -15, 110), ("SPY", -5, 90)]) == [
        (0, 0, 10, 100, 100, 2),
        (1, 1, 1, 1, 0, 1),
        (2, -10, -10, 100, 0, 2),
    ]


def test_dust_of_fractional_shares_is_no_position() -> None:
    (row,) = holdings([("SPY", 0.1, 100), ("SPY", 0.2, 100), ("SPY", -0.3, 100)])
    assert (row["quantity"], row["closed_at"]) == (0, "2024-01-02T09:30:00-05:00")


PRICES = st.floats(1, 1000)
FILLS = st.lists(st.tuples(st.sampled_from(["SPY", "QQQ"]), st.integers(-50, 50).filter(bool), PRICES), max_size=30)


@given(FILLS)
def test_cash_paid_is_what_positions_cost_less_what_they_earned(fills: Fills) -> None:
    rows = holdings(fills, slippage=0.5, commission=0.25)
    paid = sum(quantity * price for _, quantity, price in fills)
    cost = sum(float(str(row["quantity"])) * float(str(row["entry_price"])) for row in rows)
    profit = sum(float(str(row["profit"])) for row in rows)
    assert math.isclose(paid, cost - profit, rel_tol=1e-9, abs_tol=1e-6)
    assert sum(float(str(row["slippage"])) for row in rows) == 0.5 * len(fills)
    assert sum(float(str(row["commission"])) for row in rows) == 0.25 * len(fills)
    for symbol in ("SPY", "QQQ"):
        held = sum(float(str(row["quantity"])) for row in rows if row["symbol"] == symbol)
        assert held == sum(quantity for name, quantity, _ in fills if name == symbol)
