"""From weights to orders, and the rules they are filled by."""

from __future__ import annotations

from datetime import UTC, datetime
from math import isnan, trunc

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from simulator.config import Costs, Risk
from simulator.errors import UsageError
from simulator.market.bars import instant
from simulator.trading.execution import ExecutionRules
from simulator.trading.model import Book, Decision, Order, Rejection, Target
from simulator.trading.sizes import DOLLARS, NO_ORDER, NO_PRICE, SHARES
from simulator.trading.sizing import orders_for, place, size, size_at_broker
from simulator.trading.strategy import is_strategy_class

EIGHT = datetime(2024, 1, 3, 13, tzinfo=UTC)
BOOK = Book(cash=4_000.0, positions={"HELD": 50.0, "SHORT": -10.0}, marks={"HELD": 100.0, "SHORT": 100.0, "NEW": 50.0,
            "LATER": 0.0}, equity=8_000.0)  # fmt: skip
FRACTIONAL, WHOLE = ExecutionRules(), ExecutionRules(whole_shares=True)

weights = st.floats(-3, 3)
shares = st.one_of(st.just(0.0), st.floats(-1e4, 1e4).filter(lambda q: abs(q) > 1e-6))
marks = st.floats(0.01, 1e4)
equities = st.floats(1, 1e7)


def sized(*targets: Target, rules: ExecutionRules = FRACTIONAL, book: Book = BOOK):
    return orders_for(Decision(EIGHT, targets), book, rules, first_id=7)


def test_a_market_buy_of_fractional_shares_is_sent_in_dollars():
    (order,) = sized(Target("HELD", 0.75)).orders
    # 6,000 wanted, 5,000 held
    assert order == Order(7, "HELD", instant(EIGHT), None, 1_000.0)


@pytest.mark.parametrize(
    ("target", "rules", "quantity"),
    [
        (Target("HELD", 0.5), FRACTIONAL, -10.0),  # a sale
        (Target("HELD", 0.0), FRACTIONAL, -50.0),  # out
        (Target("HELD", -0.25), FRACTIONAL, -70.0),  # through zero
        (Target("SHORT", 0.1), FRACTIONAL, 18.0),  # a buy that covers a short first
        (Target("NEW", 0.5, "limit", 49.0), FRACTIONAL, 80.0),  # brokers take no limit orders in dollars
        (Target("NEW", 0.33), WHOLE, 52.0),  # 2,640 / 50 = 52.8
        (Target("NEW", -0.33), WHOLE, -52.0),  # toward zero
    ],
)
def test_every_other_order_is_sent_in_shares(target, rules, quantity):
    (order,) = sized(target, rules=rules).orders
    assert (order.quantity, order.notional, order.kind, order.limit) == (quantity, None, target.order, target.limit)


def test_a_target_without_a_price_is_refused_and_costs_no_order_id():
    sizing = sized(Target("LATER", 0.1), Target("UNKNOWN", 0.1), Target("NEW", 0.1))
    assert [o.id for o in sizing.orders] == [7]
    assert sizing.refused == tuple(
        Rejection(-1, symbol, instant(EIGHT), 0.0, 0.0, "no price yet") for symbol in ("LATER", "UNKNOWN")
    )


def test_orders_come_in_the_order_of_the_book_not_of_the_decision():
    sizing = sized(Target("NEW", 0.1), Target("SHORT", 0.0), Target("HELD", 0.0))
    assert [(o.id, o.symbol) for o in sizing.orders] == [(7, "HELD"), (8, "SHORT"), (9, "NEW")]


def test_a_bracket_protects_at_once_when_the_position_stays_on_its_side_else_it_travels_with_the_order():
    sizing = sized(
        Target("HELD", 0.1, stop=90.0),
        Target("SHORT", 0.1, stop=95.0),
        Target("NEW", 0.1, stop=45.0, take_profit=60.0),
    )
    assert sizing.protects == (("HELD", 90.0, None, ()),)
    assert [(o.stop, o.take_profit) for o in sizing.orders] == [(90.0, None), (95.0, None), (45.0, 60.0)]


def test_a_target_without_a_bracket_takes_the_old_one_away():
    assert sized(Target("HELD", 0.625)).protects == (("HELD", None, None, ()),)


def test_every_symbol_with_a_target_loses_its_pending_order_and_nan_leaves_alone():
    sizing = sized(Target("HELD", 0.625), Target("NEW", float("nan")), Target("LATER", 0.1))
    assert sizing.cancels == ("HELD", "LATER")
    assert sizing.orders == ()


def test_without_equity_the_only_way_is_out():
    ruined = Book(-6_000.0, {"HELD": 50.0}, {"HELD": 100.0, "NEW": 50.0}, -1_000.0)
    assert [o.quantity for o in sized(Target("HELD", 0.9), Target("NEW", 0.5), book=ruined).orders] == [-50.0]


def test_place_cancels_protects_and_submits_with_the_brokers_next_id():
    calls = []

    class Desk:
        next_id = 3

        def book(self):
            return BOOK

        def submit(self, orders, refused=()):
            calls.append(("submit", [o.id for o in orders], [r.symbol for r in refused]))

        def cancel(self, symbols):
            calls.append(("cancel", *symbols))

        def protect(self, symbol, stop, take_profit, exits=()):
            calls.append(("protect", symbol, stop, take_profit, *exits))

    targets = (Target("HELD", 0.5, stop=80.0), Target("LATER", 0.5))
    sizing = place(Decision(EIGHT, targets), Desk(), FRACTIONAL)
    assert calls == [("cancel", "HELD", "LATER"), ("protect", "HELD", 80.0, None), ("submit", [3], ["LATER"])]
    assert [o.id for o in sizing.orders] == [3]


@pytest.mark.parametrize("weight", [float("inf"), float("-inf")])
def test_an_infinite_weight_is_refused(weight):
    with pytest.raises(UsageError, match="weight of NEW was"):
        sized(Target("NEW", weight))


@given(weight=weights, held=shares, mark=marks, equity=equities)
def test_an_order_leads_to_the_wanted_weight(weight, held, mark, equity):
    verdict, amount, _ = size(weight, False, held, mark, equity, False, 0.0)
    change = {NO_ORDER: 0.0, SHARES: amount, DOLLARS: amount / mark}[verdict]
    assert (held + change) * mark == pytest.approx(weight * equity, rel=1e-9, abs=1e-9 * max(equity, abs(held) * mark))


@given(weight=weights, held=shares, mark=marks, equity=equities)
def test_whole_shares_are_truncated_toward_zero(weight, held, mark, equity):
    held = float(trunc(held))
    verdict, amount, _ = size(weight, False, held, mark, equity, True, 0.0)
    wanted = held + (amount if verdict == SHARES else 0.0)
    assert verdict in (NO_ORDER, SHARES)
    assert wanted == trunc(weight * equity / mark)


@given(weight=weights, held=shares, mark=marks, equity=equities, least=st.floats(0, 1e5))
def test_no_order_is_smaller_than_the_least_trade_except_the_way_out(weight, held, mark, equity, least):
    verdict, amount, _ = size(weight, False, held, mark, equity, False, least)
    assume(verdict != NO_ORDER)
    worth = amount if verdict == DOLLARS else abs(amount) * mark
    assert worth >= least or amount == -held
    if held * weight < 0 and equity > 0:
        assert amount == -held or weight * equity / mark * mark * (1 if weight > 0 else -1) >= least


@given(weight=weights, held=shares, mark=marks, equity=equities)
@example(weight=-5e-324, held=-1.0, mark=2.0, equity=1.0)  # so small a weight is no share at all
def test_a_bracket_takes_effect_at_once_only_on_the_same_side(weight, held, mark, equity):
    _, _, keeps_side = size(weight, False, held, mark, equity, False, 0.0)
    asked = weight * equity / mark
    assert keeps_side == (min(held, asked) > 0 or max(held, asked) < 0)


def test_a_change_worth_exactly_the_least_trade_is_an_order():
    assert size(0.1, False, 0.0, 10.0, 1_000.0, False, 100.0) == (DOLLARS, 100.0, False)


@pytest.mark.parametrize(("held", "weight"), [(0.05, 0.0), (0.05, -0.05), (-0.05, 0.05), (0.3, -0.0004), (-9.0, 0.19)])
def test_a_position_however_small_is_left_and_nothing_small_is_opened_beyond_it(held, weight):
    assert size(weight, False, held, 1_000.0, 1_000.0, False, 200.0) == (SHARES, -held, False)


@pytest.mark.parametrize(
    ("target", "rules", "left_out"),
    [
        (Target("HELD", 0.6255), ExecutionRules(min_trade_share=0.001), 0.04),  # 4 of 8 dollars
        (Target("NEW", 0.0009), ExecutionRules(min_trade_share=0.001), 0.144),
        (Target("NEW", 0.0009), ExecutionRules(min_trade=8.0, whole_shares=True), 0.144),
        (Target("SHORT", -0.1255), ExecutionRules(min_trade=4.5), -0.04),
        (Target("HELD", 0.625 + 1e-7), ExecutionRules(min_trade_share=0.001), None),  # less than a cent is rounding
    ],
)
def test_a_change_that_is_left_out_is_named(target, rules, left_out):
    sizing = sized(target, rules=rules)
    assert sizing.orders == ()
    found = [(one.order_id, one.symbol, one.wanted, one.got, one.why) for one in sizing.refused]
    assert found == [(-1, target.symbol, pytest.approx(left_out), 0.0, "too small")] * (left_out is not None)


def test_part_of_a_share_is_bought_in_dollars_too():
    assert size(0.1, False, 0.5, 1_000.0, 10_000.0, False, 0.0) == (DOLLARS, 500.0, True)


def test_a_flat_symbol_has_no_weight():
    assert Book(100.0, {"A": 2.0}, {"A": 10.0, "B": 5.0}, 120.0).weight("B") == 0.0


def test_a_class_decides_where_it_has_both_methods():
    class Opines:
        def opine(self): ...

    class Decides(Opines):
        def decide(self): ...

    assert [is_strategy_class(kind) for kind in (Opines, Decides, object)] == [False, True, False]


def test_nothing_is_sized_without_a_price():
    assert size(0.5, False, 0.0, 0.0, 1_000.0, False, 0.0) == (NO_PRICE, 0.0, False)


def test_rules_come_from_the_two_config_files():
    risk = Risk(shares="whole", min_trade=5.0, initial_margin_short=0.6, maintenance_long=0.2)
    costs = Costs(
        commission_per_share=0.005, commission_min=1.0, slippage_bps=3.0, borrow_rate=0.02, cash_interest=0.04,
        limit_fill="touch",
    )  # fmt: skip
    assert ExecutionRules.from_config(risk, costs) == ExecutionRules(
        commission_per_share=0.005, commission_min=1.0, slippage_bps=3.0, borrow_rate=0.02, cash_interest=0.04,
        margin_spread=0.015, initial_margin_short=0.6, maintenance_long=0.2, whole_shares=True, min_trade=5.0,
    )  # fmt: skip
    usual = ExecutionRules.from_config(Risk(), Costs())
    assert isnan(usual.cash_interest)
    assert usual.limit_through


def test_scaled_rules_multiply_costs_and_nothing_else():
    rules = ExecutionRules(0.01, 2.0, 1.0, 5.0, 0.03, 0.04, min_trade=10.0)
    assert rules.scale(2.0) == ExecutionRules(0.02, 4.0, 2.0, 10.0, 0.06, 0.04, min_trade=10.0)
    assert rules.scale(1.0) == rules
    assert rules.scale(0.0) == ExecutionRules(cash_interest=0.04, min_trade=10.0)


def test_dollars_at_a_broker_are_exact_for_a_share_of_thousands_of_dollars() -> None:
    for mark in (5306.68823, 530.668823):
        assert size_at_broker(1.0, False, 0, 0.0, mark, 100_000.0, False, 1.0)[1] == 100_000.0
