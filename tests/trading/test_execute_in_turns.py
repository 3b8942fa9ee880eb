"""Tickets that wait: `execute` is called again until nothing waits, whatever fills, fails and restarts in between."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.errors import BrokerError
from simulator.trading.cycle import Execution, Intent, execute
from simulator.trading.execution import ExecutionRules
from simulator.trading.model import Book, Decision, Target
from simulator.trading.orders import Ticket, compile_orders
from simulator.trading.sizing import orders_for

from .toy_broker import AS_OF, HAND, INTENT, MARKS, ORIGIN, Killed, ToyBroker, opened

OPENS = datetime.fromisoformat("2024-01-03T09:30-05:00")
RULES = ExecutionRules(alpaca=True, initial_margin_long=0.5)
Weights = dict[str, float]
STOPS = {"A": 90.0, "B": None}


class Session:
    """A client that carries out one decision, over restarts: it knows what it recorded and what the broker has."""

    def __init__(self, state: dict[str, Any], weights: Weights, script: Iterable[Any] = (), keeps: bool = True) -> None:
        self.toy, self.weights, self.keeps = ToyBroker(state, script), weights, keeps
        self.now, self.given_up = AS_OF, dict[str, str]()

    def plan(self, book: Book, revision: int) -> Intent:
        stops = {s: p if p is None or self.weights.get(s, 0.0) > 0.0 else 110.0 for s, p in STOPS.items()}
        decision = Decision(AS_OF, tuple(Target(s, w, stop=stops[s]) for s, w in self.weights.items()))
        return Intent(decision, decision, **vars(orders_for(decision, book, RULES, 0)), book=book, revision=revision)

    async def call(self) -> Execution:
        async def replan(book: Book, revision: int) -> Intent:
            return self.plan(book, revision)

        recorded = self.toy.intents()
        intent = recorded[-1] if recorded else self.plan(await self.toy.account(), 0)
        if not recorded:
            await self.toy.record(intent)
        clock, given_up = (lambda: self.now), (self.given_up if self.keeps else {})
        return await execute(intent, self.toy, ORIGIN, replan, self.toy.record, "alpaca", clock, given_up)

    def go(self) -> Execution:
        """Call until nothing waits: at the open, and after all that is open has filled; the day ends at last."""
        while True:
            try:
                done = asyncio.run(self.call())
            except (Killed, BrokerError):
                self.toy = ToyBroker(self.toy.state, self.toy.script[::-1])
                continue
            self.given_up = dict(done.given_up)
            if done.done:
                return done
            if done.again_at is not None:
                assert done.again_at == OPENS
                self.now = OPENS
            elif self.toy.open():
                for key in self.toy.open():
                    self.toy.fill(key, 1.0)
            else:
                self.now = OPENS + timedelta(hours=7)


def tickets(state: dict[str, Any]) -> dict[str, Ticket]:
    recorded = [INTENT.validate_python(what) for kind, what in state["log"] if kind == "record"]
    return {one.client_order_id: one for intent in recorded for one in compile_orders(intent, ORIGIN, "alpaca")}


def sent(state: dict[str, Any]) -> list[str]:
    return [what["key"] for kind, what in state["log"] if kind == "accept" and not what["key"].startswith(HAND)]


def held(positions: Weights, **more: Any) -> dict[str, Any]:
    cash = 10_000.0 - sum(shares * MARKS[symbol] for symbol, shares in positions.items())
    brackets = {symbol: [80.0 if shares > 0.0 else 120.0, None, "old"] for symbol, shares in positions.items()}
    return opened(positions=dict(positions), cash=cash, brackets=brackets, strict=True, **more)


def test_17_the_second_step_of_a_flip_is_sent_once_the_first_has_filled() -> None:
    session = Session(held({"A": 20.0}), {"A": -0.3})
    first = asyncio.run(session.call())
    (close, entry) = compile_orders(first.intent, ORIGIN, "alpaca")
    assert (sent(session.toy.state), first.waiting, first.again_at) == ([close.client_order_id], (entry,), OPENS)
    session.now = OPENS
    session.toy.fill(close.client_order_id, 0.5)
    again = asyncio.run(session.call())
    assert (sent(session.toy.state), again.waiting) == ([close.client_order_id], (entry,)), "half is not filled"
    session.toy.fill(close.client_order_id, 1.0)
    last = asyncio.run(session.call())
    assert sent(session.toy.state) == [close.client_order_id, entry.client_order_id]
    assert last.done


@pytest.mark.parametrize("status", ["cancelled", "partly_filled", "rejected"])
@pytest.mark.fault("services", "the first step of a flip ends without having filled", "the second is given up and said")
def test_17_a_second_step_is_given_up_where_the_first_ended_otherwise(status: str) -> None:
    session = Session(held({"A": 20.0}), {"A": -0.3})
    (close, entry) = compile_orders(asyncio.run(session.call()).intent, ORIGIN, "alpaca")
    session.toy.state["orders"][close.client_order_id]["status"] = status
    done = asyncio.run(session.call())
    assert done.given_up == {entry.client_order_id: f"the order before it was {status}"}
    assert done.done


@pytest.mark.fault(
    "money", "purchases that sales are to pay for", "they wait for the sales; at the close they are given up and said"
)
def test_18_financed_buys_wait_for_all_sales_and_what_waits_at_the_close_is_given_up() -> None:
    session = Session(held({"A": 180.0}), {"A": 0.1, "B": 1.0})
    session.now = OPENS
    first = asyncio.run(session.call())
    (sale, buy) = compile_orders(first.intent, ORIGIN, "alpaca")
    assert (sent(session.toy.state), first.waiting, first.again_at) == ([sale.client_order_id], (buy,), None)
    session.now = OPENS + timedelta(hours=6.5)
    late = asyncio.run(session.call())
    assert late.given_up == {buy.client_order_id: "its session has closed"}
    assert sent(session.toy.state) == [sale.client_order_id]


def test_18_in_an_account_without_credit_a_buy_that_is_refused_waits_for_the_sales_and_then_goes() -> None:
    session = Session(held({"A": 100.0}, power=0.0), {"A": 0.0, "B": 0.9})
    first = asyncio.run(session.call())
    (sale, buy) = compile_orders(first.intent, ORIGIN, "alpaca")
    assert (buy.after, sent(session.toy.state), first.waiting) == ((), [sale.client_order_id], (buy,))
    session.toy.fill(sale.client_order_id, 1.0)
    assert asyncio.run(session.call()).done
    assert sent(session.toy.state) == [sale.client_order_id, buy.client_order_id]
    poor = Session(opened(strict=True, power=-9_000.0), {"B": 0.9})
    assert list(poor.go().given_up.values()) == ["insufficient buying power"], (
        "nothing is at work that would bring some"
    )


def test_16_exits_are_released_before_the_order_and_in_place_again_after_its_fill() -> None:
    session = Session(held({"A": 20.0}), {"A": 0.4})
    first = asyncio.run(session.call())
    kinds = [kind for kind, _ in session.toy.state["log"] if kind in ("release", "accept")]
    assert kinds == ["release", "accept"]
    assert (session.toy.state["brackets"], first.unprotected) == ({}, ("A",)), "an exit beside it would be a wash trade"
    session.toy.fill(sent(session.toy.state)[0], 1.0)
    assert asyncio.run(session.call()).done
    assert session.toy.state["brackets"]["A"][:2] == [90.0, None]


@pytest.mark.fault("services", "an exit fills while it is withdrawn", "planned anew on what is held: sold once")
def test_16_an_exit_that_fills_while_it_is_released_is_planned_on_anew() -> None:
    session = Session(held({"A": 20.0}), {"A": 0.1})
    session.toy.script = [("stop", "A"), *[None] * 7]
    session.go()
    quantities = [what["quantity"] for kind, what in session.toy.state["log"] if kind == "accept"]
    assert quantities == [10.0], "sold once by the stop: bought anew, not sold short"


@pytest.mark.fault(
    "services", "a broker refuses one order of several", "the others are sent, it is said and not tried again"
)
def test_a_ticket_that_is_refused_does_not_hold_up_the_others_and_is_not_tried_again() -> None:
    session = Session(opened(strict=True), {"A": 0.3, "B": 0.3})
    session.now = OPENS
    session.toy.state["brackets"]["A"] = [95.0, None, "an exit that nobody knows of"]
    done = session.go()
    (bare, other) = compile_orders(done.intent, ORIGIN, "alpaca")
    assert sent(session.toy.state) == [other.client_order_id]
    assert list(done.given_up) == [bare.client_order_id]
    asyncio.run(session.call())
    assert sent(session.toy.state) == [other.client_order_id]


def test_a_stop_that_fills_while_something_waits_is_not_bought_back() -> None:
    session = Session(held({"A": 180.0}), {"A": 0.1, "B": 1.0})
    session.now = OPENS
    asyncio.run(session.call())
    session.toy.fill(sent(session.toy.state)[0], 1.0)
    session.toy.trade("A", -10.0)  # the rest, by an exit
    session.go()
    symbols = [what["symbol"] for kind, what in session.toy.state["log"] if kind == "accept"]
    assert symbols == ["A", "B"], "what was sent stands"


weights = st.fixed_dictionaries({"A": st.sampled_from([-0.5, 0.0, 0.1, 0.9]), "B": st.sampled_from([-0.4, 0.3, 1.0])})
positions = st.dictionaries(st.sampled_from(tuple(MARKS)), st.sampled_from([-30.0, 10.5, 40.0, 180.0]), max_size=2)
events = st.one_of(
    st.none(),
    st.just("time out"),
    st.just("kill"),
    st.tuples(st.just("fill"), st.sampled_from((0.25, 0.5, 1.0))),
    st.tuples(st.just("stop"), st.sampled_from(tuple(MARKS))),
    st.tuples(st.just("trade"), st.sampled_from(tuple(MARKS)), st.sampled_from((-30.0, 2.0))),
)


@pytest.mark.medium
@settings(max_examples=200, deadline=None)
@given(positions, weights, st.lists(events, max_size=60), st.booleans())
def test_nothing_is_ordered_twice_and_nothing_before_its_turn(
    positions: Weights, weights: Weights, script: list[Any], keeps: bool
) -> None:
    session = Session(held(positions), weights, script, keeps)
    done = session.go()
    state, known = session.toy.state, tickets(session.toy.state)
    filled: set[str] = set()
    revisions = [what["revision"] for kind, what in state["log"] if kind == "record"]
    assert revisions == list(range(len(revisions)))
    for kind, what in state["log"]:
        if kind == "accept":
            assert not what["again"], "one ticket, two orders"
            ticket = known[what["key"]]
            assert ticket.symbol == what["symbol"], "sent only once it is recorded"
            assert filled >= set(ticket.after), "sent before what it waits for had filled"
        elif kind == "fill" and what.get("whole"):
            filled.add(what["whole"])
    assert not done.waiting
    disturbed = any(isinstance(event, tuple) and event[0] in ("trade", "stop") for event in script)
    if not disturbed and not done.given_up:
        for key in session.toy.open():
            session.toy.fill(key, 1.0)
        final = {symbol: state["positions"].get(symbol, 0.0) for symbol in weights}
        for symbol, weight in weights.items():
            aim = weight * done.intent.book.equity / MARKS[symbol]
            assert abs(final[symbol] - aim) * MARKS[symbol] <= MARKS[symbol], "within a share of what was decided"
