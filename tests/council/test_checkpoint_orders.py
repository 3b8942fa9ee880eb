"""Golden weeks: fixed answers in through the real gateway, exact orders out of the replay engine."""

from __future__ import annotations

import json
import shutil
from datetime import date, time
from pathlib import Path

import numpy as np
import pytest

from simulator.config import Schedule
from simulator.council.answers import DIMENSIONS
from simulator.market import calendar
from simulator.market.bars import moment
from simulator.replay.inputs import ReplayInputs
from simulator.replay.run import replay_strategy
from simulator.trading.cycle import TradingRules
from simulator.trading.execution import ExecutionRules
from simulator.trading.model import Book
from simulator.trading.risk import Limits
from simulator.trading.schedule import make_schedule
from simulator.trading.strategy import points_of

pytestmark = pytest.mark.medium

ROOT = Path(__file__).parents[2]
MANAGERS = ("trend", "reversion", "risk", "carry", "breakout")
ONE_LOT = TradingRules(Limits(1.0, 1.0, 1.0, {}), ExecutionRules())
SHIPPED = ROOT / "strategies" / "macro_council" / "strategy.yaml"
WEEK = (date(2024, 3, 4), date(2024, 3, 8))


def pitch(instrument, conviction, stop=None, target=None):
    def rule(prompt):
        close = prompt["facts"]["market"]["symbols"][instrument]["close"]
        sign = (conviction > 0) - (conviction < 0)
        return {
            "instrument": instrument,
            "direction": ("FLAT", "LONG", "SHORT")[sign],
            "horizon": "2 weeks",
            "thesis_bullets": ["one", "two", "three"],
            "indicators": [],
            "conviction": conviction,
            "invalidation": "never",
            "stop": (stop or close - 50 * sign) if sign else None,
            "target": (target or close + 50 * sign) if sign else None,
        }

    return rule


def review(_):
    return {"scores": dict.fromkeys(DIMENSIONS, 6), "kill_shot": "it can fall", "flip_condition": "it falls"}


def ruling(*trades):
    approved = [
        {
            "instrument": instrument,
            "direction": "LONG" if conviction > 0 else "SHORT",
            "conviction": conviction,
            "position_size": "20%",
            "rationale": "so be it",
        }
        for instrument, conviction in trades
    ]
    return lambda _: {
        "approved_trades": approved,
        "rejected_trades": [],
        "dissent_summary": "none",
        "monitoring_plan": "watch",
    }


def said(conviction, stop=None, target=None, invalidated=False):
    return {"invalidated": invalidated, "conviction": conviction, "stop": stop, "target": target, "reason": "as told"}


def on(days, otherwise=None):
    """A checkpoint's answers by day; on other days everything stays as it is."""

    def rule(prompt):
        facts = prompt["facts"]
        now = facts["thesis"]["convictions"][-1]["conviction"]
        return days.get(facts["market"]["as_of"][:10], otherwise or said(now))

    return rule


def fails(_):
    return "I would rather not say."


def script(pitched=pitch("SPY", 2), ruled=ruling(("SPY", 2)), chair=None, **managers):  # noqa: B008
    """Everybody pitches and rules alike; `chair` and `managers` are {day: answer} at checkpoints."""
    rules = {f"{name}/Pitch": pitched for name in MANAGERS}
    rules |= {f"{name}/Review": review for name in MANAGERS}
    rules |= {f"{name}/CheckpointReview": on(managers.get(name, {})) for name in MANAGERS}
    return rules | {"chairman/ChairmanDecision": ruled, "chairman/CheckpointReview": on(chair or {})}


@pytest.fixture
def replayed(convene, year):
    """``replayed(rules, week=…, seat=…)``: a week or two of the council's account, or of one of its managers'."""

    def play(rules, week=WEEK, seat=None, path=SHIPPED, **parameters):
        meetings = convene(rules, path=path, parameters=parameters)
        council = meetings.council
        sessions = calendar.sessions(*week)
        points = points_of(council, Schedule(cadence="weekly", checkpoints=(time(9), time(12))))
        due = make_schedule(points, sessions, year.bars.closes_at)
        bars = year.bars.between(date(2023, 1, 3), week[1])
        start = int((bars.dates < np.datetime64(week[0])).sum())
        inputs = ReplayInputs(bars, year.context, start, due.instants, year.events, due.names)
        done = replay_strategy(council if seat is None else council.member(seat), inputs, ONE_LOT, 100_000.0)
        return meetings, done

    return play


def orders(done):
    """(day, symbol, shares or dollars to the cent, kind) of every order."""
    return [
        (
            str(moment(o.submitted_at).date()),
            o.symbol,
            round(o.quantity if o.quantity is not None else o.notional, 2),
            "dollars" if o.notional is not None else "shares",
            o.kind,
        )
        for o in done.ledger.orders
    ]


def close_before(year, day, symbol="SPY"):
    row = int((year.bars.dates < np.datetime64(day)).sum()) - 1
    return float(year.bars.close[row, year.bars.column(symbol)])


BOUGHT = ("2024-03-04", "SPY", 20_000.0, "dollars", "market")


def test_an_approved_trade_is_bought_once_and_kept_while_nobody_changes_their_mind(replayed):
    meetings, done = replayed(script())
    assert orders(done) == [BOUGHT]
    asked = [r.purpose["stage"] for r in meetings.gateway.heard]
    assert asked.count("checkpoint") == 4 * 6, "five managers and the chairman, on the four days after the meeting"


def test_what_is_rejected_is_not_bought_and_its_managers_are_asked_all_the_same(replayed):
    meetings, done = replayed(script(ruled=ruling()))
    assert orders(done) == []
    seats = {r.purpose["seat"] for r in meetings.gateway.heard if r.purpose["stage"] == "checkpoint"}
    assert seats == {f"pm.{name}" for name in MANAGERS}


def test_dissent_makes_half_a_position_by_limit_order(replayed, year):
    rules = script(ruled=None)
    del rules["chairman/ChairmanDecision"]
    rules |= {"trend/Pitch": pitch("SPY", -2), "risk/Pitch": pitch("SPY", -2), "carry/Pitch": pitch("SPY", 1)}
    _, done = replayed(rules)
    (order,) = done.ledger.orders
    close = close_before(year, "2024-03-04")
    assert (order.kind, order.quantity) == ("limit", pytest.approx(10_000 / close))
    atr = done.opinions[0].facts["symbols"]["SPY"]["atr_14"]
    assert order.limit == pytest.approx(close - 0.1 * atr, abs=0.006)


def test_a_manager_that_is_missing_holds_nothing_back(replayed):
    rules = script() | {"risk/Pitch": fails}
    meetings, done = replayed(rules)
    assert orders(done) == [BOUGHT]
    asked = {r.purpose["seat"] for r in meetings.gateway.heard if r.purpose["stage"] == "checkpoint"}
    assert "pm.risk" not in asked


@pytest.mark.parametrize(
    ("failing", "asked"),
    [
        (["trend/Pitch", "risk/Pitch", "carry/Pitch"], {"pm.reversion", "pm.breakout"}),
        (["chairman/ChairmanDecision"], {f"pm.{name}" for name in MANAGERS}),
    ],
)
def test_below_quorum_or_with_a_malformed_ruling_positions_stay_and_only_who_pitched_is_asked(replayed, failing, asked):
    def in_the_second_week(rule):
        def answer(prompt):
            return fails(prompt) if prompt["facts"]["market"]["as_of"] > "2024-03-11" else rule(prompt)

        return answer

    rules = script()
    rules |= {name: in_the_second_week(rules[name]) for name in failing}
    meetings, done = replayed(rules, week=(WEEK[0], date(2024, 3, 15)))
    assert orders(done) == [BOUGHT]
    late = [r.purpose for r in meetings.gateway.heard if r.purpose["session"] > "2024-03-11"]
    assert {purpose["seat"] for purpose in late if purpose["stage"] == "checkpoint"} == asked
    assert done.ledger.positions[-1][0] > 0


def test_a_checkpoint_that_flips_sells_what_is_held_and_goes_short(replayed, year):
    close = close_before(year, "2024-03-06")
    answer = said(-2, stop=close + 20, target=close - 40, invalidated=True)
    _, done = replayed(script(chair={"2024-03-06": answer}))
    bought, turned = done.ledger.orders
    held = sum(f.quantity for f in done.ledger.fills if f.order_id == 0)
    equity = 80_000 + held * close
    assert (turned.kind, turned.notional) == ("market", None)
    assert moment(turned.submitted_at).isoformat() == "2024-03-06T14:00:00+00:00"
    assert turned.quantity == pytest.approx(-held - 0.2 * equity / close)
    assert (turned.stop, turned.take_profit) == (pytest.approx(close + 20), pytest.approx(close - 40))
    assert len([f for f in done.ledger.fills if f.order_id == 1]) == 2, "out of the long, into the short"
    assert bought.stop is not None


def test_a_flip_without_prices_of_the_new_side_goes_unprotected_and_says_so(replayed):
    _, done = replayed(script(chair={"2024-03-06": said(-1)}))
    turned = done.ledger.orders[1]
    assert (turned.kind, turned.stop, turned.take_profit) == ("market", None, None)
    (line,) = done.results[2].decision.record["execution"]
    assert line["notes"] == ["turned around without a stop of the new side: none is set"]


def test_a_trimmed_position_loses_half_its_shares_at_the_market(replayed):
    _, done = replayed(script(chair={"2024-03-06": said(1)}))
    held = sum(f.quantity for f in done.ledger.fills if f.order_id == 0)
    trimmed = done.ledger.orders[1]
    assert (trimmed.kind, trimmed.quantity) == ("market", pytest.approx(-held / 2))
    assert trimmed.stop == done.ledger.orders[0].stop
    assert len(done.ledger.orders) == 2


def test_an_added_position_grows_to_a_fifth_at_the_market(replayed, year):
    rules = script(pitch("SPY", 1), ruling(("SPY", 1)), chair={"2024-03-07": said(2)})
    _, done = replayed(rules)
    first, added = done.ledger.orders
    held = sum(f.quantity for f in done.ledger.fills if f.order_id == 0)
    assert held == pytest.approx(first.quantity)
    close = close_before(year, "2024-03-07")
    cash = 100_000 - sum(f.quantity * f.price for f in done.ledger.fills if f.order_id == 0)
    wanted = 0.2 * (cash + held * close) - held * close
    assert (added.kind, added.notional) == ("market", pytest.approx(wanted))


def test_a_closed_position_is_sold_and_nobody_is_asked_about_it_again(replayed):
    meetings, done = replayed(script(chair={"2024-03-06": said(0, invalidated=True)}))
    held = sum(f.quantity for f in done.ledger.fills if f.order_id == 0)
    assert [o[2] for o in orders(done)] == [20_000.0, round(-held, 2)]
    asked = [r.purpose["session"] for r in meetings.gateway.heard if r.purpose["stage"] == "checkpoint"
             and r.purpose["seat"] == "chairman"]  # fmt: skip
    assert asked == ["2024-03-05", "2024-03-06"]


def test_an_order_that_waits_is_cancelled_and_never_filled(replayed, year):
    low = float(year.bars.low[:, 0].min())
    rules = script(pitch("SPY", 1, stop=low / 2), ruling(("SPY", 1)), chair={"2024-03-05": said(0)})
    _, done = replayed(rules, limit_atr=30.0)
    assert [o.status for o in done.ledger.orders] == ["cancelled"]
    assert done.ledger.fills == ()
    assert done.results[1].decision.record["theses"][-1]["action"] == "CANCEL"


def test_new_protective_prices_alone_order_nothing_and_are_the_ones_that_bind(replayed, year):
    row = int((year.bars.dates < np.datetime64("2024-03-05")).sum())
    low = float(year.bars.low[row, 0])
    close = close_before(year, "2024-03-05")
    assert low < close
    _, done = replayed(script(chair={"2024-03-05": said(2, stop=low + 0.01)}))
    assert len(done.ledger.orders) == 1
    bought, stopped = done.ledger.fills
    assert (stopped.why, stopped.price, stopped.quantity) == ("stop", pytest.approx(low + 0.01), -bought.quantity)
    states = [t.decision.record["theses"][-1]["state"] for t in done.results[1:3]]
    assert states == ["open", "stopped"]
    assert "chairman" not in {one["seat"] for one in done.results[3].decision.record["theses"]}


def test_an_answer_that_cannot_be_used_leaves_the_thesis_as_it_is(replayed):
    rules = script() | {"chairman/CheckpointReview": fails}
    _, done = replayed(rules)
    assert orders(done) == [BOUGHT]
    thesis = done.results[1].decision.record["theses"][-1]
    assert (thesis["action"], thesis["conviction"], len(thesis["keys"])) == ("KEEP", 2, 2)
    assert thesis["error"]


def test_an_invalidated_thesis_that_is_held_on_is_asked_again_and_not_used(replayed):
    _, done = replayed(script(chair={"2024-03-06": said(2, invalidated=True)}))
    thesis = done.results[2].decision.record["theses"][-1]
    assert "invalidated, yet conviction 2 stays LONG" in thesis["error"]


def test_a_price_on_the_wrong_side_of_the_close_is_asked_about_and_not_taken(replayed):
    _, done = replayed(script(chair={"2024-03-06": said(2, stop=900.0, target=None)}))
    thesis = done.results[2].decision.record["theses"][-1]
    assert "stop 900 does not lie below the last close of SPY, 494.944" in thesis["error"]
    assert (thesis["action"], len(thesis["keys"])) == ("KEEP", 2)
    assert thesis["stop"] == done.ledger.orders[0].stop
    assert orders(done) == [BOUGHT]


def test_a_member_acts_on_its_own_thesis_while_the_council_holds_on(replayed):
    rules = script(trend={"2024-03-06": said(0)})
    _, council = replayed(rules)
    _, member = replayed(rules, seat="pm.trend")
    assert orders(council) == [BOUGHT]
    assert [o[0] for o in orders(member)] == ["2024-03-04", "2024-03-06"]
    record = member.results[2].decision.record
    assert (record["kind"], record["thesis"]["action"], record["meeting"]) == (
        "member_checkpoint",
        "CLOSE",
        "2024-03-04T08:00-05:00",
    )


def test_without_a_chairman_the_councils_trade_follows_the_managers_votes(replayed, tmp_path):
    folder = shutil.copytree(ROOT / "strategies" / "macro_council", tmp_path / "flat_council")
    path = folder / "strategy.yaml"
    text = path.read_text().replace("  chairman: # switched off, the score-weighted vote decides\n    enabled: true",
                                    "  chairman:\n    enabled: false")  # fmt: skip
    path.write_text(text)
    half = {name: {"2024-03-06": said(0)} for name in ("trend", "risk", "carry", "breakout")}
    meetings, done = replayed(script(**half), path=path)
    votes = [t.decision.record["theses"][-1] for t in done.results[1:3]]
    assert [(v["seat"], v["conviction"], v["action"], v["keys"]) for v in votes] == [
        ("vote", 2, "KEEP", []),
        ("vote", 1, "TRIM", []),
    ]
    assert len(done.ledger.orders) == 2
    assert done.ledger.orders[1].quantity < 0
    assert {r.purpose["seat"] for r in meetings.gateway.heard if r.purpose["stage"] == "checkpoint"} == {
        f"pm.{name}" for name in MANAGERS
    }


def test_on_a_half_day_the_morning_checkpoint_acts_at_the_open_and_none_falls_after_the_close(replayed):
    half_day = date(2024, 7, 3)
    closes = said(0)
    _, done = replayed(script(chair={"2024-07-03": closes}), week=(date(2024, 7, 1), date(2024, 7, 5)))
    sold = done.ledger.orders[1]
    assert moment(sold.submitted_at).isoformat() == "2024-07-03T13:00:00+00:00"
    assert [str(moment(f.at)) for f in done.ledger.fills][1] == "2024-07-03 13:30:00+00:00"
    at = calendar.checkpoint_instants(
        calendar.sessions(half_day, half_day), (time(9), time(12), time(14), time(15, 50))
    )
    told = [f"{moment(int(i)):%H:%M}" for i in at]
    assert told == ["13:00", "15:00", "16:00", "16:50"], "09:00, 11:00, 12:00 and 12:50 in New York"


def test_a_position_the_account_no_longer_holds_is_not_entered_again(convene, year):
    meetings = convene(script(chair={"2024-03-05": said(1)}))
    first, second = (year.points[k] for k in positions_of(year, "2024-03-04", "2024-03-05"))
    minutes = meetings.follow([first, second])
    opinion = meetings.opinions[-1]
    book = Book(100_000.0, {}, {"SPY": 500.0}, 100_000.0)
    decision = meetings.council.checkpoint.decide(second[0], opinion, book, ())
    assert decision.targets == ()
    assert decision.record["notes"] == ["SPY: TRIM of a position that is not held: left alone"]
    assert {k: v for k, v in decision.record.items() if k not in ("execution", "notes")} == minutes[-1]


def positions_of(year, *days):
    return [n for n, (s, _) in enumerate(year.points) if str(s.as_of.date()) in days]


def test_records_are_json(followed):
    _, minutes = followed
    json.dumps(minutes, allow_nan=False)
