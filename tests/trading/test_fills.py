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
    return Account.open(cash, marks or {"A": 100.0})


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


A_DOLLAR_A_SHARE = ExecutionRules(commission_per_share=1.0)


def test_a_market_order_beyond_free_margin_is_cut_to_what_leaves_its_commission():
    """120 shares need $12,000 and $120; of $10,000 free (10,000 − 120) / 12,000 of them can be had."""
    account, order = account_of(), Order(0, "A", 5, quantity=120.0)
    submit(account, order)
    events = on_bar(account, [CALM], 10, 0.0, A_DOLLAR_A_SHARE)
    (fill,) = events.fills
    assert fill.quantity == 120.0 * (9_880.0 / 12_000.0)
    assert events.rejections == [Rejection(0, "A", 10, 120.0, fill.quantity, "buying power")]
    assert events.ended == [(order, "partly_filled")]
    assert account.cash == pytest.approx(10_000.0 - 101.0 * 98.8)


def test_a_limit_order_within_the_bar_is_cut_to_what_leaves_its_commission():
    account, order = account_of(), Order(0, "A", 5, quantity=120.0, kind="limit", limit=100.0)
    submit(account, order)
    events = on_bar(account, [(105.0, 106.0, 99.0, 104.0, 0.0)], 10, 0.0, A_DOLLAR_A_SHARE)
    assert [(fill.quantity, fill.price, fill.why) for fill in events.fills] == [
        (120.0 * (9_880.0 / 12_000.0), 100.0, "limit")
    ]


@pytest.mark.parametrize("rules", [A_DOLLAR_A_SHARE, ExecutionRules(commission_per_share=1.0, whole_shares=True)])
def test_orders_that_fit_one_by_one_share_what_there_is_and_whole_shares_are_asked_for(rules):
    """Two of 60 shares need $12,000 and $120 together: each gets (10,000 − 120) / 12,000 of it, 49.4 shares."""
    account = account_of(A=100.0, B=100.0)
    for number, symbol in enumerate("AB"):
        submit(account, Order(number, symbol, 5, quantity=60.0))
    events = on_bar(account, [CALM, CALM], 10, 0.0, rules)
    expected = 49.0 if rules.whole_shares else 49.4
    assert [fill.quantity for fill in events.fills] == pytest.approx([expected, expected], rel=1e-15)
    assert {rejection.why for rejection in events.rejections} == {"buying power, pro rata"}


def test_rounding_is_no_reason_to_cut_an_order():
    """0.1 three times is a little more than the 0.3 dollars there are."""
    account = account_of(cash=0.3, A=0.1)
    submit(account, Order(0, "A", 5, quantity=3.0))
    events = on_bar(account, [(0.1, 0.1, 0.1, 0.1, 0.0)], 10, 0.0, ExecutionRules(min_trade=0.0))
    assert 0.1 * 3.0 > 0.3
    assert [fill.quantity for fill in events.fills] == [3.0]
    assert events.rejections == []


def test_nothing_is_bought_with_less_than_the_commission():
    account, order = account_of(cash=5.0), Order(0, "A", 5, quantity=10.0)
    submit(account, order)
    events = on_bar(account, [CALM], 10, 0.0, ExecutionRules(commission_min=6.0))
    assert (events.fills, events.ended) == ([], [(order, "rejected")])


def test_a_limit_is_reached_by_the_low_when_buying_and_by_the_high_when_selling():
    for quantity, limit, reached in [(1.0, 99.0, True), (1.0, 98.9, False), (-1.0, 101.0, True), (-1.0, 101.1, False)]:
        account = account_of()
        submit(account, Order(0, "A", 5, quantity=quantity, kind="limit", limit=limit))
        assert bool(on_bar(account, [CALM], 10, 0.0, ExecutionRules()).fills) == reached


def test_a_sale_that_only_reduces_leaves_the_bracket_as_it_is():
    account = account_of()
    submit(account, Order(0, "A", 5, quantity=50.0, stop=90.0))
    on_bar(account, [CALM], 10, 0.0, RULES)
    submit(account, Order(1, "A", 15, quantity=-20.0, stop=120.0))
    on_bar(account, [CALM], 20, 0.0, RULES)
    assert (account.positions["A"].shares, account.positions["A"].stop) == (30.0, 90.0)


def test_an_order_through_zero_ends_filled_though_its_parts_do_not_add_up_to_it():
    account, held, sold = account_of(), 25.3, -58.4
    assert -held + (sold + held) != sold
    submit(account, Order(0, "A", 5, quantity=held))
    on_bar(account, [CALM], 10, 0.0, ExecutionRules())
    order = Order(1, "A", 15, quantity=sold)
    submit(account, order)
    events = on_bar(account, [CALM], 20, 0.0, ExecutionRules())
    assert (events.ended, events.rejections) == ([(order, "filled")], [])


def test_a_short_sale_cut_to_nothing_got_zero_and_not_minus_zero():
    account = account_of(0.0)
    submit(account, Order(0, "A", 5, quantity=-10.0, kind="limit", limit=100.5))
    (refused,) = on_bar(account, [CALM], 10, 0.0, ExecutionRules(min_trade=0.0)).rejections
    assert (refused.wanted, str(refused.got)) == (-10.0, "0.0")


def test_an_order_too_large_by_its_commission_alone_is_cut_before_orders_share():
    """100 shares need all there is and $100 more, so 99 of them share with the 10 of the other symbol."""
    account = account_of(A=100.0, B=100.0)
    for number, (symbol, quantity) in enumerate((("A", 100.0), ("B", 10.0))):
        submit(account, Order(number, symbol, 5, quantity=quantity))
    events = on_bar(account, [CALM, CALM], 10, 0.0, A_DOLLAR_A_SHARE)
    scale = (10_000.0 - 109.0) / 10_900.0
    assert [fill.quantity for fill in events.fills] == pytest.approx([99.0 * scale, 10.0 * scale], rel=1e-15)
