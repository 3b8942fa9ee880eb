"""The past of an account as a strategy reads it: nothing of it is later than the decision."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, time
from typing import Literal

import numpy as np
import pytest

from simulator.forward.books import Books
from simulator.market.bars import Bars, Snapshot, instant
from simulator.market.calendar import sessions
from simulator.replay.inputs import ReplayInputs
from simulator.replay.run import replay_strategy
from simulator.trading.cycle import TradingRules
from simulator.trading.execution import ExecutionRules
from simulator.trading.model import Book, BrokerFill, Cadence, Decision, Past, Target
from simulator.trading.risk import Limits
from simulator.trading.round_trips import round_trips
from simulator.trading.schedule import Point, make_schedule
from simulator.trading.strategy import Reads

RULES = TradingRules(Limits(1.0, 1.0, 1.0, {}), ExecutionRules(slippage_bps=5.0))


class Swinging:
    """Enters and leaves in turn, and keeps what it was told of the past."""

    name, window = "swinging", 1
    cadence: Cadence = "daily"
    reads: Reads = "nothing"
    reads_past: Literal[True] = True

    def __init__(self) -> None:
        self.told: list[tuple[Snapshot, Past | None]] = []

    async def opine(self, snapshot: Snapshot, journal: Sequence[Decision]) -> None: ...

    def decide(self, snapshot: Snapshot, _opinion: None, book: Book, _journal: Sequence[Decision]) -> Decision:
        self.told.append((snapshot, book.past))
        weights = {"A": 0.3 * (len(self.told) % 2), "B": 0.2 * (len(self.told) % 3)}
        return Decision(snapshot.as_of, tuple(Target(symbol, weight) for symbol, weight in weights.items()))


@pytest.fixture(scope="module")
def inputs() -> ReplayInputs:
    on = sessions(date(2024, 1, 2), date(2024, 2, 28))
    rng = np.random.default_rng(1)
    close = 100.0 * np.cumprod(1.0 + 0.01 * rng.standard_normal((len(on), 2)), axis=0)
    open_ = np.vstack([close[:1], close[:-1]]) * 1.001
    low, high = np.minimum(open_, close) * 0.99, np.maximum(open_, close) * 1.01
    columns = (open_, high, low, close, np.full(close.shape, 1e6), np.zeros(close.shape))
    bars = Bars(("A", "B"), on.opens_at, on.closes_at, *columns, on.session_of, ("test",) * 2)
    points = (Point("morning", time(9, 30), always=True), Point("close", time(16), always=True))
    due = make_schedule(points, on.rows(1, len(on)), bars.closes_at)
    return ReplayInputs(bars, bars, 1, due.instants, (), due.names)


def test_the_past_holds_what_has_happened_by_the_decision_and_the_books_of_a_forward_test_hold_the_same(
    inputs: ReplayInputs,
) -> None:
    strategy = Swinging()
    done = replay_strategy(strategy, inputs, RULES, 10_000.0)
    books = Books(10_000.0, dict.fromkeys(inputs.bars.symbols, 0.0), RULES.execution)
    executed = [
        BrokerFill(str(n), "x", one.symbol, one.at, one.quantity, one.price + one.slippage / one.quantity, one.why)
        for n, one in enumerate(done.ledger.fills)
    ]
    assert len(executed) > 30
    for snapshot, past in strategy.told:
        assert past is not None
        now = instant(snapshot.as_of)
        assert all(max(trip.entry_at, trip.exit_at or 0) < now for trip in past.trips)
        closed = inputs.traded.dates[inputs.traded.closes_at <= now].tolist()
        assert [day for day, _ in past.equity] == closed
        known = inputs.traded.rows(0, len(closed))
        if not len(known):
            continue
        own = books.past(known, [one for one in executed if one.at < now], snapshot.as_of)
        assert [(one.symbol, one.entry_at, one.exit_at, one.ended) for one in own.trips] == [
            (one.symbol, one.entry_at, one.exit_at, one.ended) for one in past.trips
        ]
        assert [one.pnl for one in own.trips] == pytest.approx([one.pnl for one in past.trips], abs=1e-6)
        assert [dollars for _, dollars in own.equity] == pytest.approx([dollars for _, dollars in past.equity])
    ended = [trip for trip in round_trips(done.ledger) if trip.exit_at is not None]
    last = strategy.told[-1][1]
    assert last is not None
    found = [trip.pnl for trip in last.trips if trip.exit_at is not None]
    assert found == pytest.approx([trip.pnl for trip in ended if (trip.exit_at or 0) < now])
