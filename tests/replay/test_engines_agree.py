"""The two engines give the same books to the last bit, on scenarios that reach every branch of the fill rules."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.replay import backtrader_engine, kernel
from simulator.replay.audit import audit, largest_difference
from simulator.replay.kernel import Batch, PreparedMarket
from simulator.replay.kernel.play import play
from simulator.replay.ledger import Ledger
from simulator.trading.execution import ExecutionRules
from simulator.trading.fills import FILL_WHYS, REJECTION_WHYS, STATUSES

ARRAYS = ("equity", "cash", "positions", "order_rows", "fill_rows", "rejection_rows")
IN_EVERY_RUN = 100


def differing(a: Ledger, b: Ledger) -> list[str]:
    """Names of the arrays that are not the same bytes."""
    return [name for name in ARRAYS if getattr(a, name).tobytes() != getattr(b, name).tobytes()]


def branches(ledger: Ledger) -> Counter[str]:
    """What happened, counted: statuses, reasons, and the finer cases the rules tell apart."""
    bars, orders = ledger.bars, ledger.orders
    row = {int(at): t for t, at in enumerate(bars.opens_at)}
    seen = Counter(f"order {o.status}" for o in orders)
    seen.update(f"order in {'dollars' if o.notional is not None else 'shares'}, {o.kind}" for o in orders)
    seen.update(f"refused: {r.why}" for r in ledger.rejections)
    seen.update("cut to nothing" if r.got == 0 else "cut to a part" for r in ledger.rejections if "power" in r.why)
    for fill in ledger.fills:
        side = "long" if fill.quantity < 0 else "short"
        opened = bars.open[row[fill.at], bars.column(fill.symbol)]
        seen[f"fill {fill.why}"] += 1
        if fill.why in ("stop", "take_profit"):
            seen[f"{fill.why} of a {side} {'at the open' if fill.price == opened else 'within the bar'}"] += 1
        elif fill.why == "open":
            seen[f"{orders[fill.order_id].kind} order at the open"] += 1
    for before, after in pairwise(ledger.fills):
        if (before.order_id, before.at, before.why) == (after.order_id, after.at, after.why):
            seen[f"crossing zero: {after.why}"] += 1
    return seen


AT_A_BROKER = {"refused: stop or take-profit", "refused: no short sale"}
EVERY_BRANCH = {
    *(f"order {status}" for status in STATUSES),
    *({f"refused: {why}" for why in REJECTION_WHYS} - AT_A_BROKER),
    *(f"fill {why}" for why in FILL_WHYS),
    *("order in dollars, market", "order in shares, market", "order in shares, limit"),
    *("cut to nothing", "cut to a part", "market order at the open", "limit order at the open"),
    *("crossing zero: open", "crossing zero: limit"),
    *(f"{why} of a {side} {where}" for why in ("stop", "take_profit") for side in ("long", "short")
      for where in ("at the open", "within the bar")),
}  # fmt: skip


def check_quantised(ledger: Ledger) -> None:
    """No order and no position that a broker would not have: digits, ticks, whole shares under limits and exits."""
    held = ledger.positions
    assert (np.rint(held * 1e9) / 1e9 == held).all()
    assert (np.trunc(held[held < 0]) == held[held < 0]).all()
    for order in ledger.orders:
        for price in (order.limit, order.stop, order.take_profit):
            assert price is None or round(price, 2 if price >= 1.0 else 4) == price
        assert order.notional is None or (round(order.notional, 2) == order.notional >= 1.0)
        if order.quantity is not None:
            assert round(order.quantity, 9) == order.quantity != 0.0
            assert order.limit is None or order.quantity % 1.0 == 0.0


def check_seeds(scenario_of, seeds, quantised=False) -> Counter[str]:
    seen: Counter[str] = Counter()
    for seed in seeds:
        scenario = scenario_of(seed)
        mine, theirs = backtrader_engine.replay_tape(*scenario), kernel.replay_tape(*scenario)
        assert differing(mine, theirs) == [], f"seed {seed}: {largest_difference(mine, theirs)}"
        assert audit(mine, theirs) == 0.0
        batch = Batch.of(PreparedMarket.of(scenario.bars, scenario.opening_marks), *list(scenario)[1:4])
        assert kernel.play_many(batch, paths=True).equity.tobytes() == mine.equity.tobytes()
        assert np.isfinite(mine.equity).all()
        if quantised:
            check_quantised(mine)
        seen += branches(mine)
    return seen


@pytest.mark.medium
def test_a_hundred_random_scenarios_are_bit_identical_and_reach_every_branch(scenario_of):
    seen = check_seeds(scenario_of, range(IN_EVERY_RUN))
    assert set(seen) >= EVERY_BRANCH, f"never happened: {sorted(EVERY_BRANCH - set(seen))}"


def at_a_broker(scenario_of):
    """The same scenarios under the terms of a broker."""

    def scenario(seed):
        ideal = scenario_of(seed)
        return replace(ideal, rules=replace(ideal.rules, alpaca=True))

    return scenario


@pytest.mark.medium
def test_under_the_terms_of_a_broker_random_scenarios_are_bit_identical_and_quantised(scenario_of):
    seen = check_seeds(at_a_broker(scenario_of), range(IN_EVERY_RUN), quantised=True)
    assert set(seen) >= EVERY_BRANCH | AT_A_BROKER, (EVERY_BRANCH | AT_A_BROKER) - set(seen)


PARTS = {
    f"{count} of a {side} {where}"
    for count in ("part", "parts of one bar")
    for side in ("long", "short")
    for where in ("at the open", "within the bar")
}


def parts_seen(ledger: Ledger) -> Counter[str]:
    """Take-profits that left something of a position, and those that came together."""
    row, before = {int(at): t for t, at in enumerate(ledger.bars.opens_at)}, None
    held, seen = dict.fromkeys(ledger.bars.symbols, 0.0), Counter[str]()
    for fill in ledger.fills:
        held[fill.symbol] += fill.quantity
        if fill.why == "take_profit":
            opened = ledger.bars.open[row[fill.at], ledger.bars.column(fill.symbol)]
            where = "at the open" if fill.price == opened else "within the bar"
            ends = f"of a {'long' if fill.quantity < 0 else 'short'} {where}"
            seen[f"part {ends}"] += abs(held[fill.symbol]) > 1e-6
            seen[f"parts of one bar {ends}"] += before == (fill.symbol, fill.at)
            before = fill.symbol, fill.at
    return +seen


@pytest.mark.medium
def test_exits_in_parts_are_bit_identical_and_reach_every_branch(scenario_in_parts):
    seen, broker = Counter[str](), at_a_broker(scenario_in_parts)
    check_seeds(broker, range(60), quantised=True)
    check_seeds(scenario_in_parts, range(60))
    for seed in range(60):
        seen += parts_seen(kernel.replay_tape(*broker(seed))) + parts_seen(kernel.replay_tape(*scenario_in_parts(seed)))
    assert set(seen) == PARTS, PARTS - set(seen)


@pytest.mark.slow
def test_five_hundred_more_scenarios_of_exits_in_parts_are_bit_identical(scenario_in_parts):
    check_seeds(scenario_in_parts, range(60, 560))
    check_seeds(at_a_broker(scenario_in_parts), range(60, 560), quantised=True)


@pytest.mark.slow
def test_two_thousand_more_random_scenarios_are_bit_identical(scenario_of):
    seen = check_seeds(scenario_of, range(IN_EVERY_RUN, IN_EVERY_RUN + 2_000))
    assert min(seen[branch] for branch in EVERY_BRANCH) >= 20, seen
    seen = check_seeds(at_a_broker(scenario_of), range(IN_EVERY_RUN, IN_EVERY_RUN + 500), quantised=True)
    assert min(seen[branch] for branch in EVERY_BRANCH | AT_A_BROKER) >= 1, seen


price = st.integers(5, 15).map(float)


@st.composite
def tiny_markets(draw):
    """One to three symbols, prices in whole dollars so that opens, limits, stops and extremes meet."""
    count, symbols = draw(st.integers(2, 6)), draw(st.integers(1, 3))
    rows = {}
    for n in range(symbols):
        bars = []
        for _ in range(count):
            opened, close, over, under = draw(price), draw(price), draw(st.integers(0, 2)), draw(st.integers(0, 2))
            bar = (opened, max(opened, close) + over, min(opened, close) - under, close)
            bars.append(None if draw(st.integers(0, 9)) == 0 else bar)
        rows[f"S{n}"] = bars
    maybe = st.one_of(st.just(float("nan")), price)
    target = st.tuples(st.sampled_from([-2.0, -0.5, 0.0, 0.1, 0.5, 1.0, 3.0]), maybe, maybe, maybe)
    one = st.tuples(st.integers(0, count - 1), st.dictionaries(st.sampled_from(sorted(rows)), target, min_size=1))
    decisions = sorted(draw(st.lists(one, min_size=1, max_size=5)), key=lambda d: d[0])
    return rows, decisions


@st.composite
def any_rules(draw):
    return ExecutionRules(
        commission_per_share=draw(st.sampled_from([0.0, 0.01])),
        commission_min=draw(st.sampled_from([0.0, 1.0])),
        slippage_bps=draw(st.sampled_from([0.0, 100.0])),
        borrow_rate=draw(st.sampled_from([0.0, 1.0])),
        initial_margin_long=draw(st.sampled_from([0.25, 1.0])),
        maintenance_long=draw(st.sampled_from([0.2, 0.9])),
        whole_shares=draw(st.booleans()),
        alpaca=draw(st.booleans()),
        min_trade=draw(st.sampled_from([0.0, 50.0])),
        min_trade_share=draw(st.sampled_from([0.0, 0.05])),
    )


@pytest.mark.medium
@settings(max_examples=150)
@given(market=tiny_markets(), rules=any_rules())
def test_tiny_markets_where_prices_tie_are_bit_identical(market, rules, bars_of, tape_of):
    rows, decisions = market
    bars = bars_of(rows)
    tape = tape_of(bars, *decisions)
    marks = np.full(len(rows), 10.0)
    mine = backtrader_engine.replay_tape(bars, tape, rules, 1_000.0, marks)
    assert differing(mine, kernel.replay_tape(bars, tape, rules, 1_000.0, marks)) == []


def test_the_kernel_is_compiled_once_whatever_it_is_given(scenario_of, bars_of, tape_of):
    check_seeds(scenario_of, range(3))
    bars = bars_of({"A": [(10.0, 10.0, 10.0, 10.0)]})
    market = PreparedMarket.of(bars, np.array([10]))
    kernel.play_many(Batch.of(market, tape_of(bars), ExecutionRules(whole_shares=True, min_trade=1), 1_000))
    assert len(play._ahead) == 1
