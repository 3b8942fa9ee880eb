"""Every rule of the desk: what it lets pass, and the least that it vetoes."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.desk.formulas import Caps, position_size, stop_price
from simulator.desk.report import fell_beyond
from simulator.desk.rules import RULES, Proposal, find_vetoes, sessions_since
from simulator.desk.screening import at_price
from simulator.desk.spec import load_definition
from simulator.errors import UsageError

FINE = Proposal("AAA", 100.0, 100.0, 97.0)
"""A tenth of equity, 0.3 % at risk."""


@pytest.fixture(scope="module")
def bars(desk):
    return desk.bars("2024-01-02", "2024-04-30")


@pytest.fixture(scope="module")
def flat(desk, bars):
    """An account without positions on a Tuesday."""
    return desk.state(desk.at("2024-03-12", "10:00"), bars)


def vetoed(wanted, state):
    return {veto.rule for veto in find_vetoes(wanted, state)}


def test_a_modest_entry_passes_every_rule(flat):
    assert vetoed(FINE, flat) == set()


@pytest.mark.parametrize(
    ("shares", "stop", "caps", "rules"),
    [
        (100.0, 97.0, Caps(), set()),
        (150.0, 97.0, Caps(), set()),  # exactly 15 %
        (150.01, 97.0, Caps(), {"position"}),
        (100.0, 96.99, Caps(), {"stop"}),
        (100.0, None, Caps(), {"stop", "risk per trade"}),
        (100.0, 100.0, Caps(), {"stop"}),
        (100.0, 101.0, Caps(), {"stop"}),
        (100.0, 0.0, Caps(), {"stop", "risk per trade"}),
        # The 2 % rule by itself: with a position of any size allowed it binds.
        (666.0, 97.0, Caps(position=1.0, sector=1.0), set()),
        (667.0, 97.0, Caps(position=1.0, sector=1.0), {"risk per trade"}),
        (300.0, 99.0, Caps(position=1.0), set()),  # 30 % of a sector
        (300.01, 99.0, Caps(position=1.0), {"sector"}),
        (0.0, 97.0, Caps(), {"position"}),
        (-100.0, 97.0, Caps(), {"position"}),
        (math.nan, 97.0, Caps(), {"position", "sector", "risk per trade"}),
        (100.0, math.nan, Caps(), {"stop", "risk per trade"}),
        (math.inf, 97.0, Caps(), {"position", "sector", "risk per trade"}),
    ],
)
def test_limits_of_risk_position_sector_and_stop(flat, shares, stop, caps, rules):
    assert vetoed(replace(FINE, shares=shares, stop=stop), replace(flat, caps=caps)) == rules


def test_what_is_held_counts_for_position_and_sector(desk, bars):
    now = desk.at("2024-03-12", "10:00")
    price = bars.snapshot(now).last("BBB")
    held = desk.state(now, bars, {"BBB": 20_000 / price}, cash=80_000.0)
    assert vetoed(FINE, held) == set()  # 20 % and 10 % of tech
    assert vetoed(replace(FINE, shares=100.1), held) == {"sector"}
    assert vetoed(Proposal("BBB", 1.0, price, 0.98 * price), held) == {"position"}
    assert vetoed(Proposal("SPY", 150.0, 100.0, 98.0), held) == set()  # another class


@pytest.mark.parametrize(("equity", "rules"), [(0.0, 3), (-1.0, 3), (math.nan, 3)])
def test_without_equity_nothing_is_entered(desk, flat, equity, rules):
    assert len(vetoed(FINE, desk.with_equity(flat, equity)) & {"position", "sector", "risk per trade"}) == rules


@pytest.mark.parametrize(
    ("equity", "forbidden"), [(98_001.0, False), (98_000.0, True), (90_000.0, True), (110_000.0, False)]
)
def test_a_day_that_lost_2_percent_is_over(desk, bars, flat, equity, forbidden):
    first = ((date(2024, 3, 8), 50_000.0), (date(2024, 3, 11), 100_000.0))
    assert ("daily loss" in vetoed(FINE, desk.with_equity(replace(flat, equity=first), equity))) is forbidden
    # After the close today's equity is among them, and the day is still measured from its beginning.
    late = replace(desk.state(desk.at("2024-03-12", "16:05"), bars), equity=(*first, (date(2024, 3, 12), equity)))
    assert ("daily loss" in vetoed(FINE, desk.with_equity(late, equity))) is forbidden


@pytest.mark.parametrize(
    ("results", "left", "forbidden"),
    [
        ((-1, -1, -1), "2024-03-12", True),  # today
        ((-1, -1, -1), "2024-03-11", True),  # the session before
        ((-1, -1, -1), "2024-03-08", False),  # a Friday: two sessions ago
        ((-1, -1), "2024-03-12", False),
        ((-1, 0, -1), "2024-03-12", False),  # nothing lost is no loss
        ((-1, -1, -1, 5), "2024-03-12", False),
        ((5, -1, -1, -1), "2024-03-12", True),
        ((-1, -1, -1, -1), "2024-03-12", True),
    ],
)
def test_three_losses_in_a_row_are_rested_for_this_session_and_the_next(desk, flat, results, left, forbidden):
    days = ("2024-03-01", "2024-03-04", "2024-03-05", "2024-03-06")[4 - len(results) :]
    trips = [desk.trip("ZZZ", "2024-02-01", day, pnl) for day, pnl in zip((*days[1:], left), results, strict=True)]
    assert ("losses in a row" in vetoed(FINE, replace(flat, trips=trips))) is forbidden
    # In whatever order they are told; one that goes on is no loss yet.
    told = [*reversed(trips), desk.trip("ZZZ", "2024-03-12", None, -1)]
    assert ("losses in a row" in vetoed(FINE, replace(flat, trips=told))) is forbidden


@pytest.mark.parametrize(
    ("symbol", "left", "pnl", "forbidden"),
    [
        ("AAA", "2024-03-12", -1, True),
        ("AAA", "2024-03-11", -1, True),
        ("AAA", "2024-03-08", -1, True),  # two sessions, with a weekend between
        ("AAA", "2024-03-07", -1, False),
        ("AAA", "2024-03-12", 0, False),
        ("AAA", "2024-03-12", 1, False),
        ("BBB", "2024-03-12", -1, False),
        ("AAA", None, -1, False),
    ],
)
def test_a_symbol_left_at_a_loss_is_not_entered_again_within_two_sessions(desk, flat, symbol, left, pnl, forbidden):
    state = replace(flat, trips=[desk.trip(symbol, "2024-03-04", left, pnl)])
    assert vetoed(FINE, state) == ({"no revenge"} if forbidden else set())


@pytest.mark.parametrize(("entries", "forbidden"), [(0, False), (2, False), (3, True), (9, True)])
def test_three_entries_a_day_are_the_most(flat, entries, forbidden):
    assert vetoed(FINE, replace(flat, entries_today=entries)) == ({"entries a day"} if forbidden else set())


@pytest.mark.parametrize(
    ("left", "day", "clock", "since"),
    [
        ("2024-03-12", "2024-03-12", "15:00", 0),
        ("2024-03-11", "2024-03-12", "06:30", 1),
        ("2024-03-08", "2024-03-09", "12:00", 0),  # a Saturday is no session
        ("2024-03-08", "2024-03-11", "06:30", 1),
        ("2024-03-28", "2024-04-01", "06:30", 1),  # Good Friday
    ],
)
def test_sessions_are_those_of_the_exchange(desk, bars, left, day, clock, since):
    state = desk.state(desk.at(day, clock), bars)
    assert sessions_since(desk.trip("AAA", "2024-03-01", left, -1), state) == since


def test_the_binding_rule_is_the_position_wherever_the_stop_is_near_enough(flat):
    size = position_size(100.0, stop_price(100.0, 3.0, ()) or 0.0, 1e5, 1e5, 0.3, 1.0, Caps())
    assert (size.shares, size.binding) == (150, "position")
    assert vetoed(replace(FINE, shares=float(size.shares)), flat) == set()


@given(
    shares=st.floats(0.01, 1e6), entry=st.floats(1, 1e4), width=st.floats(-0.1, 0.3), entries=st.integers(0, 5)
)  # fmt: skip
def test_whoever_asks_what_passes_keeps_every_limit(flat, shares, entry, width, entries):
    state = replace(flat, entries_today=entries)
    if vetoed(Proposal("AAA", shares, entry, entry * (1 - width)), state):
        return
    assert shares * entry <= 15_000.1
    assert shares * entry * width <= 2_000.1
    assert 0 < width <= 0.03 + 1e-8
    assert entries < 3


def test_every_veto_names_its_rule_and_its_numbers(desk, flat):
    lost = [desk.trip("AAA", "2024-03-01", "2024-03-12", -1)] * 3
    state = replace(
        desk.with_equity(flat, 90_000.0), equity=((date(2024, 3, 11), 100_000.0),), trips=lost, entries_today=3
    )
    vetoes = find_vetoes(Proposal("AAA", 10_000.0, 100.0, 80.0), state)
    assert [veto.rule for veto in vetoes] == [*RULES]
    assert all(any(letter.isdigit() for letter in veto.why) for veto in vetoes)


SHIPPED = Path(__file__).parents[2] / "strategies" / "momentum_desk" / "strategy.yaml"


@pytest.mark.parametrize(("left_at", "beyond"), [(97.0, False), (96.98, False), (96.89, True), (90.0, True)])
def test_a_gap_through_the_widest_stop_is_told_and_what_a_stop_slips_is_not(desk, left_at, beyond):
    trip = replace(desk.trip("AAA", "2024-03-01", "2024-03-12", -400.0), exit_price=left_at)
    assert fell_beyond(trip, Caps().stop) is beyond


@pytest.mark.parametrize("price", [96.0, 100.0, 101.0])
def test_at_the_open_stop_and_targets_follow_the_price_and_reward_to_risk_stays(price):
    plan = {"symbol": "AAA", "shares": 10, "entry": 100.0, "limit": None, "stop": 97.0, "targets": [104.5, 107.5],
            "atr": 2.0, "support": None, "binding": "position"}  # fmt: skip
    now = at_price(plan, price, Caps())
    risk = now["entry"] - now["stop"]
    assert (now["entry"], now["stop"]) == (price, pytest.approx(0.97 * price, abs=0.01))
    assert [(one - price) / risk for one in now["targets"]] == pytest.approx([1.5, 2.5], abs=0.01)
    assert at_price({**plan, "limit": 99.0}, price, Caps())["targets"] == plan["targets"]
    assert at_price({**plan, "atr": 6.5}, price, Caps()) is None


def test_shipped_symbols_share_sectors_and_classes(flat):
    sectors = load_definition(SHIPPED, SHIPPED.parents[2] / "config").sectors
    assert (sectors["AAPL"], sectors["NVDA"], sectors["SPY"], sectors["QQQ"]) == (*["technology"] * 2, *["broad"] * 2)
    held = replace(flat.book, positions={"AAA": 200.0}, marks={**flat.book.marks, "AAA": 100.0})
    one = replace(flat, book=replace(held, equity=100_000.0), sectors={"AAA": "technology", "BBB": "technology"})
    assert vetoed(replace(FINE, symbol="BBB", shares=101.0), one) == {"sector"}
    assert vetoed(replace(FINE, symbol="BBB", shares=100.0), one) == set()


def test_limits_are_the_formulas_own_until_a_parameter_says_otherwise(flat):
    config = SHIPPED.parents[2] / "config"
    assert load_definition(SHIPPED, config).caps == Caps()
    tight = load_definition(SHIPPED, config, {"caps.stop": 0.01, "filters.rsi_low": 50, "exits.second": 3.0}).caps
    assert (tight.stop, tight.filters.rsi_low, tight.exits.second) == (0.01, 50.0, 3.0)
    assert vetoed(replace(FINE, stop=FINE.entry * 0.98), replace(flat, caps=tight)) == {"stop"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"filters.rsi_low": 80}, "rsi_low 80 is not below rsi_high 70"),
        ({"exits.first": 2.5}, "first 2.5 is not below second 2.5"),
        ({"caps.stop": 1.0}, "caps.stop was 1.0"),
        ({"caps.stp": 0.02}, 'no parameter "caps.stp"'),
    ],
)
def test_a_limit_that_cannot_be_is_refused_in_one_line(given, said):
    with pytest.raises(UsageError, match=said) as refused:
        load_definition(SHIPPED, SHIPPED.parents[2] / "config", given)
    assert "Value error" not in str(refused.value)
