"""Entries that wait, at their limit or for a price: for their session alone, and no longer than the rules allow one."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from types import SimpleNamespace

import numpy as np
import pytest

from simulator.desk.formulas import Caps
from simulator.desk.records import PlanRecord
from simulator.desk.state import DeskState
from simulator.desk.strategy import DeskPoint, highest_entry, withdraw
from simulator.desk.workflow import Workflow
from simulator.market.calendar import day_number

DAY = date(2024, 3, 12)


@pytest.fixture(scope="module")
def flat(desk: SimpleNamespace) -> DeskState:
    """At 11:00 of an account that began the day with what it has; BBB was bought at the market."""
    state: DeskState = desk.state(desk.at(str(DAY), "11:00"), desk.bars(), {"BBB": 10.0})
    return replace(state, began=100_000.0)


def plan(symbol: str, limit: float | None = 100.0) -> PlanRecord:
    return {"symbol": symbol, "shares": 150, "entry": 100.0, "limit": limit, "stop": 97.0, "targets": [104.5, 107.5],
            "atr": 2.0, "support": None, "binding": "position"}  # fmt: skip


WAITING = Workflow(
    DAY, context={"plans": [plan("AAA"), plan("BBB", None), plan("SPY")], "sent": ["AAA", "BBB"]},
)  # fmt: skip


def test_an_entry_waits_while_every_rule_allows_one_and_its_session_lasts(flat: DeskState) -> None:
    assert withdraw(flat, WAITING, day_is_over=False) == ({}, [])
    less = replace(flat, book=replace(flat.book, equity=99_000.0))  # its 15 % are a little more of that: no reason
    assert withdraw(less, WAITING, day_is_over=False) == ({}, [])
    for given_up, vetoes in (
        withdraw(flat, WAITING, day_is_over=True),
        withdraw(flat, replace(WAITING, day=date(2024, 3, 11)), day_is_over=False),  # nobody reviewed yesterday
    ):
        assert [(one.symbol, one.weight, one.reason) for one in given_up.values()] == [
            ("AAA", 0.0, "good for its session")
        ]
        assert vetoes == []


@pytest.mark.parametrize("rule", ["daily loss", "losses in a row", "no revenge", "entries a day"])
def test_a_rule_that_forbids_entries_takes_back_the_one_that_waits(
    desk: SimpleNamespace, flat: DeskState, rule: str
) -> None:
    lost = [desk.trip(symbol, "2024-03-01", "2024-03-12", -1.0) for symbol in ("X", "Y", "Z")]
    closed = {
        "daily loss": replace(flat, book=replace(flat.book, equity=97_999.0)),
        "losses in a row": replace(flat, trips=lost),
        "no revenge": replace(flat, trips=[desk.trip("AAA", "2024-03-08", "2024-03-11", -1.0)]),
        "entries a day": replace(flat, entries_today=3),
    }[rule]
    given_up, (veto,) = withdraw(closed, WAITING, day_is_over=False)
    assert [*given_up] == ["AAA"], "BBB was bought at the market, SPY never sent"
    assert (given_up["AAA"].weight, given_up["AAA"].reason) == (0.0, f"withdrawn: {rule}")
    assert (veto["rule"], veto["symbol"]) == (rule, "AAA")
    assert veto["why"].endswith(": withdrawn")


def test_what_has_filled_is_not_taken_back(desk: SimpleNamespace, flat: DeskState) -> None:
    held = replace(desk.state(flat.snapshot.as_of, flat.snapshot.bars, {"AAA": 150.0, "BBB": 10.0}), entries_today=3)
    assert withdraw(held, WAITING, day_is_over=True) == ({}, [])
    left_again = replace(flat, trips=[desk.trip("AAA", "2024-03-12", "2024-03-12", -1.0)])
    assert withdraw(left_again, WAITING, day_is_over=False) == ({}, [])


def test_an_entry_at_the_market_that_found_no_price_ends_with_its_session_too(flat: DeskState) -> None:
    without = replace(flat, book=replace(flat.book, positions={}))
    assert [*withdraw(without, WAITING, day_is_over=False)[0]] == []
    assert [*withdraw(without, WAITING, day_is_over=True)[0]] == ["AAA", "BBB"]


@pytest.mark.parametrize("is_monitored", [True, False])
def test_a_symbol_without_a_price_of_its_session_is_not_bought_on_bars_within_a_day(
    desk: SimpleNamespace, is_monitored: bool
) -> None:
    bars = desk.bars("2024-01-02", "2024-03-12", minutes=30)
    is_halted = (bars.session_of == day_number(DAY))[:, None] & (np.array(bars.symbols) == "AAA")
    names = ("open", "high", "low", "close", "volume")
    bars = replace(bars, **{name: np.where(is_halted, np.nan, getattr(bars, name)) for name in names})
    state = desk.state(desk.at(str(DAY), "10:00"), bars)
    price = state.snapshot.last("BBB")
    other: PlanRecord = {**plan("BBB", None), "entry": price, "stop": price * 0.98, "shares": 10}
    workflow = Workflow(DAY, "MARKET_EXECUTION", context={"plans": [plan("AAA", None), other], "waiting": True})
    point = DeskPoint(SimpleNamespace(is_monitored=is_monitored), "monitor" if is_monitored else "open")
    done = point._execute(state, workflow)
    (sent,) = done.targets
    assert sent.symbol == "BBB"
    assert sent.stop == done.workflow.context["plans"][1]["stop"] != other["stop"], "a fill is held to what was sent"
    (veto,) = done.record["vetoes"]
    assert (veto["rule"], veto["symbol"]) == ("check at the open", "AAA")
    assert ("halted" if is_monitored else "monitoring, which would wait for one, is off") in veto["why"]


@pytest.mark.parametrize(
    ("stop", "atr", "limit", "highest"),
    [
        (97.0, 2.0, None, 100.0),  # the rule of 3 % binds: 97 / 0.97
        (99.0, 2.0, None, 101.0),  # half an ATR over the plan
        (98.0, 2.03, None, 101.01),  # to the cent, downwards
        (97.0, 2.0, 98.5, 98.5),  # waits at its own limit
    ],
)
def test_an_entry_is_paid_no_more_than_check_and_stop_allow(
    stop: float, atr: float, limit: float | None, highest: float
) -> None:
    assert highest_entry({**plan("AAA", limit), "stop": stop, "atr": atr}, Caps()) == highest
