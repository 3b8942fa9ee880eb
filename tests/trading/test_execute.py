"""Plans carried out at a broker that fills between any two awaits, loses answers, and outlives its client."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.trading.orders import Ticket, client_order_id, compile_orders

from . import toy_broker
from .toy_broker import AS_OF, HAND, MARKS, ORIGIN, WEIGHTS, ToyBroker, opened, planned, run_until_done, session

shares = st.sampled_from((-30.0, -5.0, 2.5, 40.0))
events = st.one_of(
    st.none(),
    st.just("time out"),
    st.just("kill"),
    st.tuples(st.just("fill"), st.sampled_from((0.25, 0.5, 1.0))),
    st.tuples(st.just("trade"), st.sampled_from(tuple(MARKS)), shares),
    st.tuples(st.just("order"), st.sampled_from(tuple(MARKS)), shares),
)


def entry_orders(intent: toy_broker.Intent) -> dict[str, Ticket]:
    return {one.client_order_id: one for one in compile_orders(intent, ORIGIN, "ideal")}


scripts = st.lists(events, max_size=60)


def accounts() -> st.SearchStrategy[dict[str, Any]]:
    """Accounts that hold something already, and have an order open that somebody else sent."""
    held = st.dictionaries(st.sampled_from(tuple(MARKS)), shares, max_size=2)
    order = {"symbol": "A", "quantity": 10.0, "filled": 0.0, "status": "open"}
    orders = st.sampled_from(({}, {f"{HAND} 0": order}))
    return st.builds(
        lambda positions, some: opened(positions=positions, orders=json.loads(json.dumps(some))), held, orders
    )


@pytest.mark.medium
@settings(max_examples=200, deadline=None)
@given(accounts(), scripts)
def test_no_leg_is_ordered_twice_and_no_order_answers_a_book_that_was_not_planned_on(
    state: dict[str, Any], script: list[Any]
) -> None:
    toy, _ = run_until_done(state, script)
    intents = {}
    reading: dict[str, Any] = {}
    for kind, what in toy.state["log"]:
        if kind == "read":
            reading = what
        elif kind == "record":
            intent = toy_broker.INTENT.validate_python(what)
            assert intent.revision == len(intents), "a revision is a newly recorded intent, and none is skipped"
            intents[intent.revision] = intent
        elif kind == "accept" and not what["key"].startswith(HAND):
            assert not what["again"], "one leg, two orders"
            intent = intents[max(intents)]
            order = entry_orders(intent)[what["key"]]
            assert order.symbol == what["symbol"], "sent only once it is recorded"
            at_work = [one["symbol"] for one in reading["open_orders"]]
            assert order.symbol not in at_work or entry_orders(intent).keys() & {
                one["client_order_id"] for one in reading["open_orders"] if one["symbol"] == order.symbol
            }, "an order was open on the symbol when this one was sent"
            aim = WEIGHTS[order.symbol] * intent.book.equity / MARKS[order.symbol]
            held = reading["positions"].get(order.symbol, 0.0)
            assert held + what["quantity"] == pytest.approx(aim), "sized on another position than was last read"


@pytest.mark.medium
@settings(max_examples=100, deadline=None)
@given(accounts(), scripts)
def test_once_the_world_is_quiet_the_account_comes_to_its_targets(state: dict[str, Any], script: list[Any]) -> None:
    toy, done = run_until_done(state, script)
    kinds = [kind for kind, _ in toy.state["log"]]
    last_read = len(kinds) - 1 - kinds[::-1].index("read")
    disturbed = any(
        kind == "fill" or (kind == "accept" and what["key"].startswith(HAND))
        for kind, what in toy.state["log"][last_read:]
    )
    if disturbed:
        return
    for key in toy.open():
        toy.fill(key, 1.0)
    for symbol, weight in WEIGHTS.items():
        aim = weight * done.intent.book.equity / MARKS[symbol]
        worth = (toy.state["positions"].get(symbol, 0.0) - aim) * MARKS[symbol]
        assert abs(worth) < 1.0, "less than an order is worth"


@pytest.mark.medium
@settings(max_examples=60, deadline=None)
@given(accounts(), scripts, scripts)
def test_what_fills_after_it_was_sent_is_never_answered_by_a_second_order(
    state: dict[str, Any], script: list[Any], later: list[Any]
) -> None:
    toy, done = run_until_done(state, script)
    if not done.orders:
        return
    sent = set(toy.state["orders"])
    toy, again = run_until_done(toy.state, later)
    assert again.intent == done.intent
    assert {key for key in set(toy.state["orders"]) - sent if not key.startswith(HAND)} == set()


def test_a_fill_between_planning_and_sending_is_planned_on_anew() -> None:
    script = [None] * 8 + [("trade", "A", 10.0)]
    toy, done = run_until_done(opened(), script)
    assert [one.revision for one in toy.intents()] == [0, 1]
    assert done.intent.book.positions == {"A": 10.0}
    (bought, _) = done.intent.orders
    assert bought.notional == pytest.approx(0.5 * done.intent.book.equity - 1_000.0)
    assert set(done.orders) == set(entry_orders(done.intent))


def test_a_change_of_a_quarter_of_a_share_is_a_change_and_one_of_rounding_is_none() -> None:
    for change, revisions in ((0.25, [0, 1]), (1e-12, [0])):
        toy, _ = run_until_done(opened(positions={"A": 50.0}), [*[None] * 8, ("trade", "A", change)])
        assert [one.revision for one in toy.intents()] == revisions


def test_an_order_that_fills_instead_of_being_withdrawn_is_counted_in() -> None:
    waiting = {f"{HAND} 0": {"symbol": "A", "quantity": 10.0, "filled": 0.0, "status": "open"}}
    quiet = ToyBroker(opened(orders=json.loads(json.dumps(waiting))))
    done = asyncio.run(session(quiet))
    assert quiet.state["orders"][f"{HAND} 0"]["status"] == "cancelled"
    assert done.intent.revision == 0, "an order withdrawn as planned is no change"
    until_cancel = [None] * 10
    toy, done = run_until_done(opened(orders=waiting), [*until_cancel, ("fill", 1.0)])
    assert toy.state["orders"][f"{HAND} 0"]["status"] == "filled"
    assert (done.intent.revision, done.intent.book.positions) == (1, {"A": 10.0})


def test_an_answer_that_never_came_is_looked_up_and_the_order_keeps_its_id() -> None:
    toy = ToyBroker(opened(), [None] * 11 + ["time out"])
    done = asyncio.run(session(toy))
    assert not toy.script, "the answer was lost"
    kinds = [what["key"] for kind, what in toy.state["log"] if kind == "accept"]
    assert kinds == list(entry_orders(done.intent))
    assert done.intent.revision == 0


@pytest.mark.medium
@pytest.mark.parametrize("label", ["record: done", "submit: asked", "submit: accepted"])
def test_a_client_killed_at_any_point_goes_on_without_a_second_order(tmp_path: Path, label: str) -> None:
    state = tmp_path / "state.json"
    state.write_text(json.dumps(opened()))
    first = subprocess.run([sys.executable, toy_broker.__file__, str(state), label], timeout=60)
    assert first.returncode == -9
    killed = json.loads(state.read_text())
    assert [kind for kind, _ in killed["log"]].count("record") == 1, "an intent is on disk before anything is sent"
    assert len(killed["orders"]) == int(label == "submit: accepted")
    toy = ToyBroker(state)
    done = asyncio.run(session(toy))
    accepted = [what for kind, what in toy.state["log"] if kind == "accept"]
    assert [one["key"] for one in accepted] == list(entry_orders(done.intent))
    assert not any(one["again"] for one in accepted)
    assert done.intent.revision == 0, "going on is no new intent"


def test_protective_prices_are_in_place_before_orders_are_sent() -> None:
    toy = ToyBroker(opened(positions={"A": 10.0}))
    done = asyncio.run(session(toy))
    (symbol, stop, take_profit, _) = done.intent.protects[0]
    key = client_order_id(ORIGIN, AS_OF, "A", "protect", 0)
    assert toy.state["brackets"] == {symbol: [stop, take_profit, key]}


def test_ids_differ_in_every_part_and_fit_a_broker() -> None:
    parts = ("A", "entry", 0), ("B", "entry", 0), ("A", "protect", 0), ("A", "entry", 1)
    ids = {client_order_id(ORIGIN, AS_OF, *some) for some in parts}
    ids |= {client_order_id(toy_broker.Origin("run", "GROK"), AS_OF, "A", "entry", 0)}
    ids |= {client_order_id(toy_broker.Origin("other", "COUNCIL"), AS_OF, "A", "entry", 0)}
    ids |= {client_order_id(ORIGIN, AS_OF.replace(hour=14), "A", "entry", 0)}
    assert len(ids) == 7
    assert all(len(one) <= 128 and one.isalnum() for one in ids)
    assert client_order_id(ORIGIN, AS_OF, "A", "entry", 0) in ids, "the same leg, the same id"


def test_equal_arguments_give_equal_intents_and_an_intent_can_be_stored() -> None:
    book = ToyBroker(opened(positions={"A": 3.0})).book()
    intent = planned(book, 2)
    assert intent == planned(book, 2)
    assert toy_broker.INTENT.validate_json(toy_broker.INTENT.dump_json(intent)) == intent
