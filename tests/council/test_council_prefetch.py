"""A council asked ahead and a council asked on the way decide the same, byte for byte."""

from __future__ import annotations

import asyncio
from datetime import date

import numpy as np
import pytest

from simulator.config import Schedule
from simulator.evidence.writer import decision_lines
from simulator.market import calendar
from simulator.replay.inputs import ReplayInputs
from simulator.replay.prefetch import silent
from simulator.replay.run import play, replay_strategy
from simulator.trading.cycle import TradingRules
from simulator.trading.execution import ExecutionRules
from simulator.trading.risk import Limits
from simulator.trading.schedule import make_schedule
from simulator.trading.strategy import points_of

RULES = TradingRules(Limits(1.0, 1.0, 1.0, {}), ExecutionRules())
FIRST, LAST = date(2024, 3, 4), date(2024, 3, 22)


@pytest.mark.parametrize("seat", [None, "pm.trend"])
def test_with_and_without_prefetch_the_bytes_of_decisions_are_equal(convene, year, seat):
    council = convene().council
    strategy = council if seat is None else council.member(seat)
    bars = year.bars.between(date(2023, 1, 3), LAST)
    due = make_schedule(points_of(strategy, Schedule()), calendar.sessions(FIRST, LAST), bars.closes_at)
    start = int((bars.dates < np.datetime64(FIRST)).sum())
    inputs = ReplayInputs(bars, year.context, start, due.instants, year.events, due.names)
    ahead = replay_strategy(strategy, inputs, RULES, 100_000.0)
    with asyncio.Runner() as loop:
        on_the_way = play(strategy, inputs, RULES, 100_000.0, {}, silent, loop)
    assert {name.partition(" ")[0] for name in inputs.points} == {"meeting", "checkpoint"}
    assert decision_lines(ahead.results) == decision_lines(on_the_way.results)
    assert ahead.ledger.equity.tobytes() == on_the_way.ledger.equity.tobytes()
