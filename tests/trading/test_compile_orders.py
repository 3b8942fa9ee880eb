"""Orders as tickets: what Alpaca takes is asked for, what it would refuse is refused before, and waits are stated.

Numbers are those of the edges that are known to cost money: 17 flip, 18 buys financed by sales, 19 sub-penny, 20 stop
within a cent, 21 fractions, 22 quantities, 23 one exit, 27 borrow, 32 auctions.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.config import load_config, override_config
from simulator.exchange.orders import check_stop_side, read_order
from simulator.forward.messages import check_ticket, to_request
from simulator.trading.broker import DeniedError
from simulator.trading.cycle import Intent
from simulator.trading.execution import ExecutionRules
from simulator.trading.model import Book, Decision, Target
from simulator.trading.orders import Ticket, as_sent, compile_orders
from simulator.trading.risk import Limits, limit
from simulator.trading.sizing import orders_for

from .toy_broker import AS_OF, MARKS, ORIGIN

ROOT = Path(__file__).parents[2]
RULES = ExecutionRules(alpaca=True, initial_margin_long=0.5)
NONE: dict[str, float] = {}


def intent_of(
    *targets: Target, held: dict[str, float] = NONE, cash: float = 10_000.0, marks: dict[str, float] = MARKS
) -> Intent:
    equity = cash + sum(shares * marks[symbol] for symbol, shares in held.items())
    book, decision = Book(cash, held, marks, equity), Decision(AS_OF, targets)
    return Intent(decision, decision, **vars(orders_for(decision, book, RULES, 0)), book=book)


def tickets_of(intent: Intent) -> tuple[Ticket, ...]:
    return compile_orders(intent, ORIGIN, "alpaca")


def test_17_a_flip_is_two_orders_and_the_second_waits_for_the_first() -> None:
    close, entry = tickets_of(intent_of(Target("A", -0.5, stop=110.0, take_profit=90.0), held={"A": 10.25}))
    assert (close.quantity, close.time_in_force, close.order_class, close.after) == (-10.25, "day", "simple", ())
    assert (entry.order_class, entry.after, entry.at_open) == ("bracket", (close.client_order_id,), True)
    assert entry.quantity == -55.0, "half of 11,025 dollars in whole shares"
    assert close.client_order_id != entry.client_order_id


def test_18_buys_that_the_buying_power_does_not_carry_wait_for_the_sales() -> None:
    held = {"A": 180.0}  # 18,000 dollars on an equity of 10,000: 2,000 are left to buy with
    sale, buy = tickets_of(intent_of(Target("B", 1.0), Target("A", 0.1), held=held, cash=-8_000.0))
    assert (sale.symbol, sale.quantity, sale.after) == ("A", -170.0, ())
    assert (buy.symbol, buy.after, buy.time_in_force) == ("B", (sale.client_order_id,), "day")
    (_, small) = tickets_of(intent_of(Target("B", 0.15), Target("A", 0.1), held=held, cash=-8_000.0))
    assert (small.symbol, small.after, small.at_open) == ("B", (), False)


def test_18_sales_go_first_and_are_not_waited_for_where_nothing_needs_them() -> None:
    first, second = tickets_of(intent_of(Target("B", 0.3), Target("A", 0.0), held={"A": 10.0}))
    assert (first.symbol, second.symbol, second.after) == ("A", "B", ())


@pytest.mark.parametrize(
    ("weight", "given", "taken"),
    [
        (0.5, (99.999, 90.001, 110.001), (99.99, 90.01, 110.01)),
        (-0.5, (100.001, 110.009, 90.009), (100.01, 110.0, 90.0)),
        (0.5, (99.99, 90.0, 110.0), (99.99, 90.0, 110.0)),
    ],
)
@pytest.mark.fault("services", "a price between two ticks", "moved to the next one that is no worse, before it is sent")
def test_19_prices_go_to_the_tick_and_never_to_a_worse_one(
    weight: float, given: tuple[float, ...], taken: tuple[float, ...]
) -> None:
    limit_price, stop, take = given
    (ticket,) = tickets_of(intent_of(Target("A", weight, "limit", limit_price, stop, take)))
    assert (ticket.limit, ticket.stop, ticket.take_profit) == taken


def test_19_below_a_dollar_prices_have_four_decimals() -> None:
    (ticket,) = tickets_of(intent_of(Target("C", 0.5, "limit", 0.51239), marks={"C": 0.52}))
    assert ticket.limit == 0.5123


@pytest.mark.parametrize(
    ("target", "held", "left"),
    [
        (Target("A", 0.5, stop=99.995), NONE, 0.0),
        (Target("A", 0.5, stop=100.5), NONE, 0.0),
        (Target("A", 0.5, "limit", 95.0, stop=95.0), NONE, 0.0),
        (Target("A", 0.5, stop=90.0, take_profit=90.0), NONE, 0.0),
        (Target("A", -0.5, stop=99.0), NONE, 0.0),
        (Target("A", 0.9, stop=100.5), {"A": 20.0}, 20.0),
        (Target("A", -0.5, stop=99.0), {"A": 20.0}, 0.0),
    ],
)
@pytest.mark.fault(
    "services",
    "a stop within a cent of the entry or behind it, a take-profit before the stop",
    "refused when sized, in replays too; what is held keeps its exits",
)
def test_20_exits_that_would_be_refused_open_nothing_and_change_nothing(
    target: Target, held: dict[str, float], left: float
) -> None:
    intent = intent_of(target, held=held)
    assert [one.why for one in intent.refused] == ["stop or take-profit"]
    assert held.get("A", 0.0) + sum(one.quantity or 0.0 for one in intent.orders) == left
    assert intent.protects == (), "the exits of what is held stay"


@pytest.mark.fault(
    "services",
    "a fraction of a share under exits, with a limit or sold short",
    "whole shares; fractions go at the market, for the day",
)
def test_21_exits_limits_and_shorts_are_in_whole_shares_and_fractions_are_market_orders_of_the_day() -> None:
    for target in (
        Target("A", 0.333, stop=90.0),
        Target("A", 0.333, take_profit=120.0),
        Target("A", 0.333, "limit", 99.0),
        Target("A", -0.333),
    ):
        (ticket,) = tickets_of(intent_of(target))
        assert abs(ticket.quantity or 0.0) == 33.0
    (bought,) = tickets_of(intent_of(Target("A", 0.33333)))
    assert (bought.notional, bought.time_in_force, bought.order_class) == (3_333.3, "day", "simple")
    (sold,) = tickets_of(intent_of(Target("A", 0.1), held={"A": 33.123456789}))
    assert (sold.time_in_force, sold.order_class, sold.at_open) == ("day", "simple", False)


def test_21_a_fraction_that_is_to_be_protected_is_sold_so_that_the_exits_cover_all() -> None:
    for held in (10.25, 10.001):
        intent = intent_of(Target("A", held * 100.0 / (10_000.0 + held * 100.0), stop=90.0), held={"A": held})
        assert [one.quantity for one in intent.orders] == [round(10.0 - held, 9)], "however little it is worth"
        assert intent.protects == (("A", 90.0, None, ()),)


@pytest.mark.fault("services", "a quantity of seventeen digits", "nine decimals, dollars in cents")
def test_22_quantities_have_nine_decimals_and_orders_in_dollars_cents() -> None:
    (sold,) = intent_of(Target("A", 1 / 7), held={"A": 50.0}).orders
    assert sold.quantity == round(sold.quantity or 0.0, 9) == -28.571428571
    (bought,) = intent_of(Target("A", 1 / 7)).orders
    assert bought.notional == 1_428.57
    assert intent_of(Target("A", 0.00009)).orders == (), "less than a dollar"


@pytest.mark.parametrize("quantity", [0.0, float("nan"), float("inf"), 1e-12])
def test_22_what_is_no_quantity_is_refused_when_staged(quantity: float) -> None:
    with pytest.raises(DeniedError):
        check_ticket(Ticket("a" * 40, "A", quantity))


def test_23_one_exit_is_oto_two_are_a_bracket_and_they_last() -> None:
    kinds = {}
    for name, exits in {"both": (90.0, 110.0), "stop": (90.0, None), "target": (None, 110.0)}.items():
        (ticket,) = tickets_of(intent_of(Target("A", 0.5, stop=exits[0], take_profit=exits[1])))
        kinds[name] = (ticket.order_class, ticket.time_in_force, ticket.at_open, ticket.stop, ticket.take_profit)
    assert kinds == {
        "both": ("bracket", "gtc", True, 90.0, 110.0),
        "stop": ("oto", "gtc", True, 90.0, None),
        "target": ("oto", "gtc", True, None, 110.0),
    }


@pytest.mark.fault("money", "a short sale of an account below $2,000", "left out and said; the rest goes on")
def test_27_a_small_account_sells_nothing_short_and_keeps_the_short_it_has() -> None:
    intent = intent_of(Target("A", -0.5), Target("B", 0.5), cash=1_999.0)
    assert [(one.symbol, one.wanted, one.why) for one in intent.refused] == [("A", -9.0, "no short sale")]
    assert [one.symbol for one in intent.orders] == ["B"], "the rest goes on"
    more = intent_of(Target("A", -0.9), held={"A": -5.0}, cash=2_000.0)
    assert (more.orders, [one.wanted for one in more.refused]) == ((), [-8.0])
    (out,) = intent_of(Target("A", -0.5), held={"A": 5.0}, cash=1_000.0).orders
    assert out.quantity == -5.0, "what is held is sold, and no more"


def test_27_what_nobody_lends_is_not_sold_short_and_the_cut_is_said() -> None:
    decision = Decision(AS_OF, (Target("A", -0.5), Target("B", -0.5)))
    allowed, cuts = limit(decision, Book(1e4, {}, MARKS, 1e4), Limits(1.0, 1.0, 2.0, {}, frozenset({"A"})))
    assert [one.weight for one in allowed.targets] == [0.0, -0.5]
    assert cuts == ("A -0.5000 cut to +0.0000: not shortable",)


@pytest.mark.fault(
    "services", "an order that comes too late for an auction", "for the opening sent for the day, for the close refused"
)
def test_32_orders_come_to_the_auctions_in_time_or_not_at_all() -> None:
    (ticket,) = tickets_of(intent_of(Target("A", 0.0), held={"A": 10.0}))
    assert ticket.time_in_force == "opg"
    opens = datetime.fromisoformat("2024-01-03T09:30-05:00")
    assert as_sent(ticket, opens - timedelta(minutes=3)).time_in_force == "opg"
    for late in (opens - timedelta(minutes=2), opens, opens + timedelta(hours=3)):
        assert as_sent(ticket, late).time_in_force == "day", "too late for the auction: an order of the day"
    assert as_sent(ticket, opens + timedelta(hours=7)).time_in_force == "day", "held until the next opening takes it"
    assert as_sent(ticket, opens + timedelta(hours=9, minutes=30)).time_in_force == "opg", "from 19:00 on for tomorrow"
    closing = replace(ticket, time_in_force="cls")
    closes = datetime.fromisoformat("2024-01-03T16:00-05:00")
    assert as_sent(closing, closes - timedelta(minutes=11)) == closing
    with pytest.raises(DeniedError, match="15:50"):
        as_sent(closing, closes - timedelta(minutes=10))


def test_the_account_is_one_of_margin_whatever_margins_are_stated() -> None:
    config = load_config(ROOT / "config")
    asked = {"risk.execution": "alpaca"}
    margins = []
    for overrides in (asked, {**asked, "risk.initial_margin_long": 1.0}, {}):
        changed = override_config(config, overrides)
        rules = ExecutionRules.from_config(changed.risk, changed.costs)
        margins.append((rules.profile, rules.initial_margin_long))
    assert margins == [("alpaca", 0.5), ("alpaca", 0.5), ("ideal", 1.0)]
    back = override_config(override_config(config, asked), {"risk.execution": "ideal"})
    assert back.risk.initial_margin_long == 1.0


price = st.floats(0.05, 2_000.0) | st.sampled_from([0.9999, 1.0, 99.995, 100.0, 290.123])
maybe = st.none() | st.floats(0.3, 3.0)
weight = st.floats(-2.0, 2.0) | st.sampled_from([0.0, 1e-5, -1e-5, 1 / 3, 1.0])
shares = st.sampled_from([0.0, 10.0, 33.0, 10.25, 0.5, 1e-9, 123.456789012, 9.000000000000002, -7.0, -40.0])


@st.composite
def intents(draw: st.DrawFn) -> Intent:
    symbols = ("A", "B", "C")[: draw(st.integers(1, 3))]
    marks = {symbol: draw(price) for symbol in symbols}
    targets = []
    for symbol in symbols:
        near = [None if (times := draw(maybe)) is None else times * marks[symbol] for _ in range(3)]
        kind: Any = "market" if near[0] is None else "limit"
        targets.append(Target(symbol, draw(weight), kind, *near))
    held = {symbol: draw(shares) for symbol in symbols}
    return intent_of(*targets, held=held, cash=draw(st.sampled_from([100.0, 5_000.0, 1e6])), marks=marks)


@pytest.mark.medium
@settings(max_examples=300, deadline=None)
@given(intents())
def test_no_ticket_of_any_intent_is_refused_for_its_form(intent: Intent) -> None:
    tickets = tickets_of(intent)
    assert tickets_of(intent) == tickets
    names, ids = count(), [one.client_order_id for one in tickets]
    assert len(set(ids)) == len(ids)
    moved: dict[str, float] = {}
    for place, ticket in enumerate(tickets):
        check_ticket(ticket)
        order = read_order(to_request(ticket).to_request_fields(), lambda *_: str(next(names)), 0)
        held = round(intent.book.positions.get(ticket.symbol, 0.0) + moved.get(ticket.symbol, 0.0), 9)
        left = round(held + (ticket.quantity or 0.0), 9)
        assert held * left >= 0.0, "no order crosses zero"
        assert left >= 0.0 or left % 1.0 == 0.0, "no fraction is short"
        base = order.limit_price or intent.book.marks[ticket.symbol]
        if ticket.order_class in ("bracket", "oto"):
            check_stop_side(ticket.stop, base, order.sign)
        assert set(ticket.after) <= set(ids[:place]), "what is waited for goes before"
        moved[ticket.symbol] = round(moved.get(ticket.symbol, 0.0) + (ticket.quantity or 0.0), 9)
    for order in intent.orders:
        assert order.quantity is None or abs(moved[order.symbol] - order.quantity) < 1e-9, "the steps are the order"
