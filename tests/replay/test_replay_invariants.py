"""What must hold in every replay, whatever the market and the decisions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from simulator.replay.ledger import Ledger

SEEDS = range(40)


@pytest.fixture(params=SEEDS)
def case(request, scenario_of):
    return scenario_of(request.param)


def row_of(ledger: Ledger) -> dict[int, int]:
    return {int(at): t for t, at in enumerate(ledger.bars.opens_at)}


def test_cash_and_positions_add_up_to_equity_at_every_bar(replay, case):
    ledger = replay(*case)
    worth = ledger.cash.copy()
    for n in range(len(ledger.bars.symbols)):  # in symbol order, as the engines add
        worth += ledger.positions[:, n] * ledger.marks[:, n]
    assert worth.tolist() == ledger.equity.tolist()


def test_every_fill_lies_within_its_bar_and_after_its_order(replay, case):
    ledger = replay(*case)
    rows = row_of(ledger)
    for fill in ledger.fills:
        t, n = rows[fill.at], ledger.bars.column(fill.symbol)
        assert ledger.bars.low[t, n] <= fill.price <= ledger.bars.high[t, n]
        assert fill.at >= ledger.orders[fill.order_id].submitted_at
        assert fill.slippage >= 0
        assert fill.commission >= 0


def test_positions_are_the_sum_of_fills_and_cash_is_what_they_cost(replay, case):
    bars, tape, rules, cash, marks = case
    calm = replace(rules, borrow_rate=0.0, cash_interest=0.0, margin_spread=0.0)
    ledger = replay(replace(bars, dividend=np.zeros_like(bars.open)), tape, calm, cash, marks)
    rows = row_of(ledger)
    held = np.zeros_like(ledger.positions)
    paid = np.zeros_like(ledger.cash)
    for fill in ledger.fills:
        t, n = rows[fill.at], bars.column(fill.symbol)
        held[t:, n] += fill.quantity
        paid[t:] += fill.quantity * fill.price + fill.slippage + fill.commission
    assert held.tolist() == ledger.positions.tolist()
    np.testing.assert_allclose(cash - paid, ledger.cash, rtol=1e-9, atol=1e-6 * cash)


def test_fills_of_an_order_add_up_to_what_its_status_says(replay, case):
    ledger = replay(*case)
    cut = {r.order_id: r for r in ledger.rejections}
    for order in ledger.orders:
        fills = [f for f in ledger.fills if f.order_id == order.id and f.why in ("open", "limit")]
        got = sum(f.quantity for f in fills)
        if order.status == "filled" and order.quantity is not None:
            assert got == pytest.approx(order.quantity, rel=1e-12)
        if order.status == "filled" and order.notional is not None:
            assert sum(f.quantity * f.price + f.slippage for f in fills) == pytest.approx(order.notional, rel=1e-12)
        if order.status in ("partly_filled", "rejected"):
            assert got == pytest.approx(cut[order.id].got, rel=1e-12)
            assert abs(got) < abs(cut[order.id].wanted)
        if order.status in ("cancelled", "open", "rejected"):
            assert fills == []


def test_whole_shares_are_whole(replay, case):
    bars, tape, rules, cash, marks = case
    ledger = replay(bars, tape, replace(rules, whole_shares=True), cash, marks)
    assert (ledger.positions == np.trunc(ledger.positions)).all()


def test_buying_never_spends_more_than_free_margin(replay, case):
    bars, tape, rules, cash, marks = case
    own_money = replace(rules, initial_margin_long=1.0, borrow_rate=0.0)
    ledger = replay(replace(bars, dividend=np.zeros_like(bars.open)), replace_shorts(tape), own_money, cash, marks)
    least = ledger.cash.min(initial=cash)
    # limits and stops that only sell may cost a commission more than there is; buying itself may not
    costs = sum(f.slippage + f.commission for f in ledger.fills if f.quantity < 0)
    assert least >= -1e-6 * cash - costs


def replace_shorts(tape):
    return replace(tape, weight=np.abs(tape.weight))


def test_bars_of_the_future_do_not_change_the_past(replay, case):
    bars, tape, rules, cash, marks = case
    now = len(bars) // 2
    rng = np.random.default_rng(1)
    noise = {name: getattr(bars, name).copy() for name in ("open", "high", "low", "close", "dividend")}
    for name, values in noise.items():
        values[now:] = np.sort(rng.uniform(1, 500, (4, *values[now:].shape)), axis=0)[
            {"low": 0, "open": 1, "close": 2, "high": 3, "dividend": 0}[name]
        ]
    one, other = replay(bars, tape, rules, cash, marks), replay(replace(bars, **noise), tape, rules, cash, marks)
    for name in ("equity", "cash", "positions"):
        assert getattr(one, name)[:now].tobytes() == getattr(other, name)[:now].tobytes()
    before = bars.opens_at[now]
    assert [f for f in one.fills if f.at < before] == [f for f in other.fills if f.at < before]
    assert [r for r in one.rejections if r.at < before] == [r for r in other.rejections if r.at < before]
    # sizes at the next open rest on the closes before it
    at_open = [
        [(o.id, o.symbol, o.quantity, o.notional, o.submitted_at) for o in x.orders if o.submitted_at <= before]
        for x in (one, other)
    ]
    assert at_open[0] == at_open[1]


def test_a_longer_run_has_the_shorter_one_as_its_beginning(replay, case):
    bars, tape, rules, cash, marks = case
    now = max(1, len(bars) // 2)
    short, long = replay(bars.rows(0, now), tape, rules, cash, marks), replay(bars, tape, rules, cash, marks)
    assert short.equity.tobytes() == long.equity[:now].tobytes()
    assert short.fills == long.fills[: len(short.fills)]
