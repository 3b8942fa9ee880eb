"""Events of a run: what was decided, filled and asked, in order of time, and the same each time."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from simulator.market.bars import Bars
from simulator.replay import kernel
from simulator.replay.inputs import ReplayInputs
from simulator.replay.run import Replayed
from simulator.replay.tape import Tape
from simulator.runs.run_events import run_events
from simulator.trading.cycle import CycleResult
from simulator.trading.execution import ExecutionRules
from simulator.trading.model import Decision, Target

DAY = 86_400_000_000_000
HOUR = 3_600_000_000_000
CALLS = ({"key": "k", "seat": "a", "replicate": 0, "cost_usd": 0.1},)


@dataclass(frozen=True)
class Account:
    name: str
    seat: str
    model: str
    replayed: Replayed


def turn(session: int, kind: str, **weights: float) -> CycleResult:
    """A decision at 13:00 UTC on Monday 4 March 2024 or `session` days later; the clocks change on the 10th."""
    as_of = datetime(2024, 3, 4, 13, tzinfo=UTC) + timedelta(days=session)
    record: dict[str, Any] = {"kind": kind}
    if kind == "council":
        record |= {"pitches": [], "scores": {}, "chairman": None}
    decision = Decision(as_of, tuple(Target(name, weight) for name, weight in weights.items()), record)
    return CycleResult(decision, decision)


def replayed(*results: CycleResult) -> Replayed:
    """The books of `results` over ten days of SPY, which opens 14:30 UTC and rises a dollar a day."""
    days = 19_786 + np.arange(10)
    prices = (100.0 + np.arange(10))[:, None]
    bars = Bars(("SPY",), days * DAY + 14 * HOUR + HOUR // 2, days * DAY + 21 * HOUR, prices, prices + 1, prices - 1,
                prices, prices * 1e4, 0 * prices, days, ("test",))  # fmt: skip
    tape = Tape.from_decisions([one.allowed for one in results], bars.symbols)
    ledger = kernel.replay_tape(bars, tape, ExecutionRules(), 10_000.0, np.array([99.0]))
    return Replayed(ReplayInputs(bars, bars, 0, tape.instants), ledger, results, tape, 0.0)


def six() -> tuple[Account, ...]:
    council = replayed(turn(0, "council", SPY=0.5), turn(2, "checkpoint", SPY=0.2), turn(7, "council", SPY=0.0))
    member = replayed(turn(0, "member", SPY=1.0), turn(2, "member_checkpoint"), turn(7, "member", SPY=0.0))
    return Account("GROQ", "a", "m", member), Account("COUNCIL", "chairman", "m", council)


def test_decisions_fills_and_calls_stand_in_order_of_time():
    found = run_events(six(), CALLS)
    assert [(event.kind, event.account, (event.at or "")[:16]) for event in found] == [
        ("meeting.held", "COUNCIL", "2024-03-04T08:00"),
        ("order.filled", "GROQ", "2024-03-04T09:30"),
        ("order.filled", "COUNCIL", "2024-03-04T09:30"),
        ("checkpoint.held", "COUNCIL", "2024-03-06T08:00"),
        ("order.filled", "COUNCIL", "2024-03-06T09:30"),
        ("meeting.held", "COUNCIL", "2024-03-11T09:00"),
        ("order.filled", "GROQ", "2024-03-11T10:30"),
        ("order.filled", "COUNCIL", "2024-03-11T10:30"),
        ("calls.made", None, ""),
    ]
    assert found[-1].payload == {"calls": [dict(CALLS[0])]}


def test_a_fill_leads_back_to_the_decision_behind_it():
    found = run_events(six(), ())
    held = {event.at for event in found if event.kind != "order.filled"}
    fills = [event for event in found if event.kind == "order.filled" and event.account == "COUNCIL"]
    assert {event.payload["decided_at"] for event in fills} == held
    first = fills[0].payload
    assert (first["symbol"], first["price"], first["why"], first["session"]) == ("SPY", 100.0, "open", "2024-03-04")
    assert first["at"] == fills[0].at == "2024-03-04T09:30:00-05:00"


def test_events_are_plain_json_and_the_same_each_time():
    found = run_events(six(), CALLS)
    for event in found:
        assert json.loads(json.dumps(event.payload, allow_nan=False)) == event.payload
    assert run_events(six(), CALLS) == found


def test_meetings_of_further_replicates_carry_their_number():
    accounts = six()
    found = run_events(accounts, (), (accounts[1].replayed, replayed(turn(0, "council", SPY=0.1))))
    held = [event.payload.get("replicate", 0) for event in found if event.kind == "meeting.held"]
    assert held == [0, 1, 0]
    assert sum(event.kind == "order.filled" for event in found) == 5


def test_a_rule_has_fills_of_no_account_and_nothing_else():
    found = run_events((), (), (replayed(turn(0, "rule", SPY=1.0)),))
    assert [(event.kind, event.account) for event in found] == [("order.filled", None)]
    assert run_events((), ()) == []
