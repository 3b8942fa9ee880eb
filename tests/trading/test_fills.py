"""The fill rules stepped by hand, one bar at a time, as an exchange would step them."""

from __future__ import annotations

from math import nan

import pytest

from simulator.errors import BrokerError
from simulator.trading.execution import ExecutionRules
from simulator.trading.fills import Account, cancel, on_bar, protect, submit
from simulator.trading.model import Fill, Order, Rejection

CALM = (100.0, 101.0, 99.0, 100.0, 0.0)
RULES = ExecutionRules(whole_shares=True)


def account_of(cash: float = 10_000.0, **marks: float) -> Account:
    return Account.opened(cash, marks or {"A": 100.0})


def test_an_order_waits_for_a_bar_and_ends_filled():
    account, order = account_of(), Order(0, "A", 5, quantity=50.0)
    assert submit(account, order).ended == []
    nothing = on_bar(account, [None], 10, 0.0, RULES)
    assert (nothing.fills, nothing.ended, account.positions["A"].pending) == ([], [], order)
    events = on_bar(account, [CALM], 20, 0.0, RULES)
    assert events.fills == [Fill(0, "A", 20, 50.0, 100.0, 0.0, 0.0, "open")]
    assert events.ended == [(order, "filled")]
    assert (account.cash, account.equity, account.book().positions) == (5_000.0, 10_000.0, {"A": 50.0})


def test_a_second_order_on_a_symbol_takes_the_place_of_the_first():
    account, first, second = account_of(), Order(0, "A", 5, quantity=50.0), Order(1, "A", 6, quantity=20.0)
    submit(account, first)
    assert submit(account, second).ended == [(first, "cancelled")]
    assert [f.quantity for f in on_bar(account, [CALM], 20, 0.0, RULES).fills] == [20.0]


def test_cancelling_withdraws_what_is_pending_and_nothing_else():
    account, order = account_of(), Order(0, "A", 5, quantity=50.0)
    submit(account, order)
    assert cancel(account, "A").ended == [(order, "cancelled")]
    assert cancel(account, "A").ended == cancel(account, "UNKNOWN").ended == []
    assert on_bar(account, [CALM], 20, 0.0, RULES).fills == []


def test_a_bracket_is_set_only_where_something_is_held():
    account = account_of()
    protect(account, "A", 95.0, None)
    submit(account, Order(0, "A", 5, quantity=50.0))
    on_bar(account, [CALM], 10, 0.0, RULES)
    assert account.positions["A"].stop != account.positions["A"].stop  # NaN: the order had none
    protect(account, "A", 95.0, None)
    events = on_bar(account, [(100.0, 101.0, 94.0, 96.0, 0.0)], 20, 0.0, RULES)
    assert [(f.price, f.why, f.order_id) for f in events.fills] == [(95.0, "stop", 0)]


def test_an_order_on_a_symbol_that_is_not_traded_is_refused_by_name():
    with pytest.raises(BrokerError, match='no bars for "B"'):
        submit(account_of(), Order(0, "B", 5, quantity=1.0))
    with pytest.raises(BrokerError, match='no bars for "B"'):
        protect(account_of(), "B", 1.0, None)


def test_an_order_without_quantity_is_refused_where_only_shares_will_do():
    account = account_of()
    submit(account, Order(0, "A", 5, notional=100.0, kind="limit", limit=90.0))
    with pytest.raises(BrokerError, match="order 0 on A has no quantity"):
        on_bar(account, [CALM], 10, 0.0, RULES)


def test_while_a_margin_call_stands_orders_are_refused_with_the_shares_they_asked_for():
    account = account_of(1_000.0)
    submit(account, Order(0, "A", 5, quantity=-10.0))
    on_bar(account, [CALM], 10, 0.0, RULES)
    on_bar(account, [(180.0, 180.0, 180.0, 180.0, 0.0)], 20, 0.0, RULES)
    assert account.margin_call
    order = Order(1, "A", 25, notional=360.0)
    events = submit(account, order)
    assert events.rejections == [Rejection(1, "A", 25, 2.0, 0.0, "margin call")]
    assert events.ended == [(order, "rejected")]
    assert [f.why for f in on_bar(account, [(180.0, 180.0, 180.0, 180.0, 0.0)], 30, 0.0, RULES).fills] == [
        "margin_call"
    ]
    assert not account.margin_call


def test_dividends_that_are_not_known_are_not_paid():
    account = account_of()
    submit(account, Order(0, "A", 5, quantity=50.0))
    on_bar(account, [CALM], 10, 0.0, RULES)
    on_bar(account, [(*CALM[:4], nan)], 20, 0.0, RULES)
    assert account.cash == 5_000.0
    on_bar(account, [(*CALM[:4], 2.0)], 30, 0.0, RULES)
    assert account.cash == 5_100.0


def test_a_bar_for_each_symbol_is_asked_for():
    with pytest.raises(ValueError, match="zip"):
        on_bar(account_of(A=100.0, B=50.0), [CALM], 10, 0.0, RULES)
