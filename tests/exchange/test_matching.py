"""The exchange fills by the rules that replay fills by: random brackets through both, and what a bar alone decides."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import pytest

from simulator.exchange.accounts import PaperAccount
from simulator.exchange.exchange import Exchange
from simulator.exchange.orders import Refusal
from simulator.market.bars import Bars
from simulator.trading.execution import ExecutionRules
from simulator.trading.fills import Account, on_bar, submit
from simulator.trading.model import Order

HOUR = 3_600_000_000_000
DAYS = np.array([19_724, 19_725, 19_726, 19_727, 19_730, 19_731, 19_732, 19_733, 19_734, 19_738, 19_739, 19_740])
"""Sessions from 2024-01-02 on."""
RULES = ExecutionRules(slippage_bps=5.0, limit_through=True, min_trade=0.0, cash_interest=0.0)


def bars_of(rows: list[tuple[float, float, float, float]]) -> Bars:
    days = DAYS[: len(rows)]
    o, h, l, c = (np.array(column)[:, None] for column in zip(*rows, strict=True))  # noqa: E741
    opens = days * 24 * HOUR + 14 * HOUR + HOUR // 2
    return Bars(
        ("A",), opens, days * 24 * HOUR + 21 * HOUR, o, h, l, c, np.full_like(o, 1e6), np.zeros_like(o), days, ("x",)
    )


def draw_bars(rng: np.random.Generator) -> Bars:
    close, rows = 100.0, []
    for _ in range(len(DAYS)):
        opened = close * (1 + rng.normal(0, 0.02))
        close = opened * (1 + rng.normal(0, 0.03))
        low, high = sorted((opened, close))
        prices = (opened, high * (1 + rng.exponential(0.01)), low / (1 + rng.exponential(0.01)), close)
        rows.append([round(price, 2) for price in prices])
    return bars_of([(o, max(h, o, c), min(low, o, c), c) for o, h, low, c in rows])


def open_exchange(bars: Bars) -> tuple[Exchange, PaperAccount]:
    exchange = Exchange(bars, int(bars.opens_at[0]) - HOUR, cash=1e6, slippage_bps=RULES.slippage_bps)
    account = exchange.account("K", "S")
    exchange.now = int(bars.opens_at[0]) - HOUR
    return exchange, account


def draw_order(rng: np.random.Generator, price: float) -> dict[str, Any]:
    """A bracket around `price`, in the broker's terms."""
    up = 1.0 if rng.random() < 0.5 else -1.0
    limit = round(price * (1 - up * rng.uniform(-0.01, 0.04)), 2) if rng.random() < 0.5 else None
    base = limit or price
    body: dict[str, Any] = {
        "symbol": "A", "side": "buy" if up > 0 else "sell", "type": "market" if limit is None else "limit",
        "time_in_force": "gtc", "qty": int(rng.integers(1, 100)), "order_class": "bracket",
        "stop_loss": {"stop_price": round(base * (1 - up * rng.uniform(0.005, 0.06)), 2)},
        "take_profit": {"limit_price": round(base * (1 + up * rng.uniform(0.005, 0.06)), 2)},
    }  # fmt: skip
    return body if limit is None else {**body, "limit_price": limit}


def test_random_brackets_fill_as_in_replay() -> None:
    rng, reached = np.random.default_rng(7), set()
    for _ in range(150):
        bars = draw_bars(rng)
        exchange, paper = open_exchange(bars)
        mine, ids = Account.open(1e6, {"A": 100.0}), count()
        for t in range(len(bars)):
            idle = not paper.shares_of("A") and not list(paper.open_orders())
            price = exchange.prices.price("A", exchange.now)
            if idle and t and rng.random() < 0.7:
                body = draw_order(rng, price)
                exchange.submit(paper, body)
                sign = 1.0 if body["side"] == "buy" else -1.0
                order = Order(
                    next(ids), "A", 0, sign * body["qty"], None, body["type"], body.get("limit_price"),
                    body["stop_loss"]["stop_price"], body["take_profit"]["limit_price"],
                )  # fmt: skip
                submit(mine, order)
            row = tuple(float(column[t, 0]) for column in (bars.open, bars.high, bars.low, bars.close, bars.dividend))
            events = on_bar(mine, [row], int(bars.opens_at[t]), 0.0, RULES, None)
            reached |= {fill.why for fill in events.fills}
            exchange.advance(int(bars.closes_at[t]))
            assert paper.shares_of("A") == mine.positions["A"].shares
            assert paper.cash == pytest.approx(mine.cash, rel=1e-12)
            assert paper.equity(exchange.prices, exchange.now) == pytest.approx(mine.equity, rel=1e-12)
    assert reached == {"open", "limit", "stop", "take_profit"}


def test_an_order_that_comes_within_a_bar_waits_for_the_next() -> None:
    bars = bars_of([(100.0, 101.0, 99.0, 100.0), (100.0, 110.0, 90.0, 100.0), (104.0, 105.0, 103.0, 104.0)])
    exchange, account = open_exchange(bars)
    exchange.advance(int(bars.opens_at[1]) + HOUR)
    body = {"symbol": "A", "side": "buy", "type": "market", "time_in_force": "gtc", "qty": 1}
    exchange.submit(account, body)
    exchange.advance(int(bars.closes_at[1]))
    assert account.shares_of("A") == 0.0
    exchange.advance(int(bars.opens_at[2]))
    assert [one.price for one in account.executions] == [pytest.approx(104.0 * 1.0005)]


def test_what_fills_within_a_bar_of_a_session_fills_before_the_next_one_opens() -> None:
    """Who books it by its time books it in its own bar, as a replay does."""
    flat = (100.0, 101.0, 99.0, 100.0)
    daily = bars_of([flat, flat, (100.0, 101.0, 95.0, 96.0), (96.0, 97.0, 94.0, 96.0)])
    opens = daily.opens_at[[0, 1, 1, 1]] + HOUR * np.array([0, 0, 1, 2])
    hours = {"opens_at": opens, "closes_at": opens + HOUR, "session_of": DAYS[[0, 1, 1, 1]], "frequency": "60min"}
    bars = replace(daily, **hours)
    exchange, account = open_exchange(bars)
    exchange.advance(int(opens[0]) + HOUR)
    common = {"symbol": "A", "time_in_force": "gtc", "qty": 1, "side": "buy"}
    exchange.submit(account, {**common, "type": "market"})
    for limit in (97, 95):  # in the second bar of the session, and in its last
        exchange.submit(account, {**common, "type": "limit", "limit_price": limit})
    exchange.advance(int(bars.closes_at[-1]))
    filled = np.array([one.at for one in account.executions])
    assert np.searchsorted(bars.opens_at, filled, side="right").tolist() == [2, 3, 4]
    assert filled[[0, -1]].tolist() == [bars.opens_at[1], bars.closes_at[-1]]


@pytest.mark.parametrize(
    ("force", "price", "fills"),
    [("opg", 100.0, True), ("cls", 102.0, True), ("ioc", 0.0, False), ("fok", 0.0, False), ("day", 100.0, True)],
)
def test_times_in_force(force: str, price: float, fills: bool) -> None:
    bars = bars_of([(100.0, 101.0, 99.0, 100.0), (100.0, 110.0, 90.0, 102.0), (104.0, 105.0, 103.0, 104.0)])
    exchange, account = open_exchange(bars)
    exchange.advance(int(bars.closes_at[0]) + 3 * HOUR)  # 19:00, from when on the next auctions take orders
    body = {"symbol": "A", "side": "buy", "type": "market", "time_in_force": force, "qty": 1}
    order = exchange.submit(account, body)
    exchange.advance(int(bars.closes_at[1]))
    assert (order.status == "filled") is fills
    assert [one.price for one in account.executions] == [pytest.approx(price * 1.0005)] * fills


def test_an_order_of_the_day_ends_with_it_and_one_for_good_stays() -> None:
    bars = bars_of([(100.0, 101.0, 99.0, 100.0)] * 3)
    exchange, account = open_exchange(bars)
    exchange.advance(int(bars.closes_at[0]))
    orders = [
        exchange.submit(
            account,
            {"symbol": "A", "side": "buy", "type": "limit", "limit_price": 50, "time_in_force": force, "qty": 1},
        )
        for force in ("day", "gtc")
    ]
    exchange.advance(int(bars.closes_at[1]))
    assert [one.status for one in orders] == ["expired", "new"]


def test_opening_and_closing_orders_come_in_time() -> None:
    bars = bars_of([(100.0, 101.0, 99.0, 100.0)] * 3)
    exchange, account = open_exchange(bars)
    exchange.advance(int(bars.opens_at[1]) - HOUR // 60)
    for force, at in (("opg", bars.opens_at[1] - HOUR // 60), ("cls", bars.closes_at[1] - HOUR // 12)):
        exchange.advance(int(at))
        with pytest.raises(Refusal, match=f"{force} orders are taken until"):
            exchange.submit(account, {"symbol": "A", "side": "buy", "type": "market", "time_in_force": force, "qty": 1})
    assert account.orders == {}


def test_equal_requests_make_equal_ids() -> None:
    def rehearse() -> list[str]:
        bars = bars_of([(100.0, 101.0, 99.0, 100.0)] * 2)
        exchange, account = open_exchange(bars)
        exchange.advance(int(bars.closes_at[0]))
        exchange.submit(account, {"symbol": "A", "side": "buy", "type": "market", "time_in_force": "day", "qty": 1})
        exchange.advance(int(bars.closes_at[1]))
        return [*account.orders, *(one.id for one in account.executions)]

    assert rehearse() == rehearse()
