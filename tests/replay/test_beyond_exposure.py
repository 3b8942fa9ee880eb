"""Returns beyond the usual exposure, summed up by the kernel as it plays, are those worked out from the books."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from simulator.errors import DataError
from simulator.market.bars import at_session_ends
from simulator.replay import kernel
from simulator.replay.kernel import Batch, PreparedMarket
from simulator.replay.tape import Tape
from simulator.runs.exposure import skill_series
from simulator.stats.skill import level_reward
from simulator.trading.execution import ExecutionRules

CASES = range(60)


def by_session(scenario):
    """The scenario with a cash return once a session, and risk-free returns of its own."""
    bars = scenario.bars
    count = len(np.unique(bars.session_of))
    free = np.random.default_rng(count).normal(1e-4, 1e-4, count)
    return replace(scenario, bars=replace(bars, cash_return=at_session_ends(bars.session_of, free))), free


def agrees(found, r, series) -> None:
    """Hold row r of `found` against the series worked out from the books."""
    np.testing.assert_allclose(found.excess[r], series.excess, rtol=0, atol=1e-13)
    scale = max(1.0, float(np.abs(series.parts.exposure).max()), float(np.abs(series.parts.costs).max()))
    np.testing.assert_allclose(found.beyond[r], series.parts.beyond, rtol=1e-13, atol=1e-13 * scale)
    assert found.decisions[r] == series.decided.sum()
    assert bool(found.held[r]) == series.held.any()
    assert found.level[r] == pytest.approx(level_reward(series.ahead, series.moves), rel=1e-9, abs=1e-14)


def test_random_scenarios_agree_in_every_session(scenario_of) -> None:
    seen = {"shorts": 0, "minutes": 0, "dividends": 0, "late": 0, "brackets": 0, "decided": 0}
    for seed in CASES:
        scenario, free = by_session(scenario_of(seed))
        bars, tape, rules, cash, marks = scenario
        market = PreparedMarket.of(bars, marks, free, bars.symbols[0])
        found = kernel.play_many(Batch.of(market, tape, rules, cash), beyond=True)
        books = kernel.replay_tape(*scenario)
        agrees(found, 0, skill_series(books, tape, rules, cash, free, bars.symbols[0]))
        assert found.fills[0] == len(books.fill_rows)
        seen["shorts"] += bool((books.positions < 0).any())
        seen["minutes"] += len(free) < len(bars)
        seen["dividends"] += bool(bars.dividend.any())
        seen["late"] += bool(np.isnan(bars.close[0]).any())
        seen["brackets"] += bool((books.fill_rows["why"] >= 2).any())
        seen["decided"] += bool(found.decisions[0])
    assert min(seen.values()) >= 10, seen


def test_members_agree_one_by_one_whatever_the_threads_and_the_chunks(scenario_of) -> None:
    scenario, free = by_session(scenario_of(11))
    bars, tape, rules, cash, marks = scenario
    tapes = [replace(tape, weight=tape.weight * size) for size in np.linspace(0.0, 1.2, 13)]
    market = PreparedMarket.of(bars, marks, free)
    batch = Batch.of(market, tapes, rules, cash)
    found = kernel.play_many(batch, beyond=True)
    for r, each in enumerate(tapes):
        agrees(found, r, skill_series(batch.ledger(r), each, rules, cash, free, ""))
    again = kernel.play_many(batch, threads=3, beyond=True)
    assert again.beyond.tobytes() == found.beyond.tobytes()
    assert again.excess.tobytes() == found.excess.tobytes()
    assert again.level.tobytes() == found.level.tobytes()
    plain = kernel.play_many(batch)
    assert plain.beyond is None
    assert plain.sharpe.tobytes() == found.sharpe.tobytes()


def test_a_member_without_decisions_holds_nothing_and_earns_nothing_beyond(scenario_of) -> None:
    bars = by_session(scenario_of(5))[0].bars
    market = PreparedMarket.of(bars, free=np.zeros(len(np.unique(bars.session_of))))
    idle = Tape.from_decisions([], bars.symbols)
    found = kernel.play_many(Batch.of(market, idle, ExecutionRules(), 1e5), beyond=True)
    assert (found.held[0], found.decisions[0], found.fills[0], found.level[0]) == (0.0, 0.0, 0.0, 0.0)
    assert not found.excess.any()
    assert not found.beyond.any()
    with pytest.raises(DataError, match="risk-free returns of 3 sessions"):
        PreparedMarket.of(bars, free=np.zeros(3))
