"""The trace of a thesis: by hand, and against the engine that follows the same fill rules."""

from __future__ import annotations

from dataclasses import replace
from datetime import time, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.council.answers import CheckpointReview
from simulator.council.context import Answered, PipelineContext
from simulator.council.revision import execute, revise
from simulator.council.spec import CouncilSpec
from simulator.council.thesis import Followed, Terms, Thesis, new_york, trace
from simulator.market.bars import Bars, moment
from simulator.replay import backtrader_engine
from simulator.trading.conditional import held_weight
from simulator.trading.execution import ExecutionRules
from simulator.trading.model import Book, Decision, Target
from simulator.trading.schedule import MEETING, Point, drop_uninformed
from simulator.trading.sizing import orders_for, place

HOUR = 3_600_000_000_000
DAY = 24 * HOUR
FIRST_DAY = 19_724  # 2024-01-02


def bars_of(*rows, per_session=1):
    """Bars of one symbol from (open, high, low, close) or None, `per_session` hours of a session from 14:30 UTC on."""
    count = len(rows)
    prices = np.array([row or (np.nan,) * 4 for row in rows], dtype=float).T.reshape(4, count, 1)
    days, part = FIRST_DAY + np.arange(count) // per_session, np.arange(count) % per_session
    opens_at = days * DAY + 14 * HOUR + HOUR // 2 + part * HOUR
    return Bars(
        symbols=("S",),
        opens_at=opens_at,
        closes_at=opens_at + (HOUR if per_session > 1 else 6 * HOUR),
        open=prices[0],
        high=prices[1],
        low=prices[2],
        close=prices[3],
        volume=np.where(np.isnan(prices[3]), np.nan, 1e6),
        dividend=np.zeros((count, 1)),
        session_of=days,
        sources=("test",),
        frequency="1d" if per_session == 1 else "60min",
    )


def thesis_of(bars, *terms):
    """A thesis whose terms begin an hour before the bars named: (row, conviction, limit, stop, target)."""
    made = tuple(
        Terms(new_york(int(bars.opens_at[t]) - HOUR), c, "market" if limit is None else "limit", limit, stop, target)
        for t, c, limit, stop, target in terms
    )
    return Thesis("pm.trend", "pm.trend", "S", "2 weeks", ("one", "two", "three"), "never", made)


CALM = (100.0, 101.0, 99.0, 100.0)


@pytest.mark.parametrize(
    ("terms", "rows", "expected"),
    [
        ((2, None, 90.0, 120.0), [CALM, CALM], ("open", 100.0, None)),
        ((2, None, 99.0, 120.0), [CALM, CALM], ("stopped", 100.0, 99.0)),
        ((2, None, 90.0, 101.0), [CALM, CALM], ("open", 100.0, None)),
        ((2, None, 90.0, 100.9), [CALM, CALM], ("reached", 100.0, 100.9)),
        ((2, None, 99.5, 100.5), [CALM, CALM], ("stopped", 100.0, 99.5)),
        ((2, None, 95.0, 120.0), [CALM, (94.0, 96.0, 93.0, 95.0)], ("stopped", 100.0, 94.0)),
        ((2, None, 95.0, 110.0), [CALM, (111.0, 112.0, 94.0, 95.0)], ("reached", 100.0, 111.0)),
        ((1, 99.0, 90.0, 120.0), [CALM, CALM], ("pending", None, None)),
        ((1, 99.1, 90.0, 120.0), [CALM, CALM], ("open", 99.1, None)),
        ((1, 100.0, 90.0, 120.0), [CALM, CALM], ("open", 100.0, None)),
        ((1, 98.0, 90.0, 120.0), [CALM, CALM], ("pending", None, None)),
        ((1, 99.5, 99.2, 120.0), [(100.0, 101.0, 99.3, 100.0), CALM], ("stopped", 99.5, 99.2)),
        ((1, 99.5, 99.2, 120.0), [CALM, CALM], ("stopped", 99.5, 99.2)),
        ((1, 99.5, 90.0, 100.5), [(100.0, 101.0, 99.3, 100.0)], ("open", 99.5, None)),
        ((1, 99.5, 90.0, 100.5), [(100.0, 101.0, 99.3, 100.8)], ("reached", 99.5, 100.5)),
        ((-1, 100.5, 110.0, 99.5), [(100.0, 101.0, 99.3, 99.4)], ("reached", 100.5, 99.5)),
        ((-1, 100.5, 100.8, 90.0), [CALM], ("stopped", 100.5, 100.8)),
        ((-2, None, 101.0, 90.0), [CALM, CALM], ("stopped", 100.0, 101.0)),
        ((-2, None, 110.0, 99.1), [CALM, CALM], ("reached", 100.0, 99.1)),
        ((-1, 100.9, 110.0, 90.0), [CALM, CALM], ("open", 100.9, None)),
        ((-1, 99.5, 110.0, 90.0), [CALM, CALM], ("open", 100.0, None)),
        ((2, None, None, None), [None, CALM], ("open", 100.0, None)),
        ((2, None, None, None), [None, None], ("pending", None, None)),
    ],
)
def test_a_thesis_is_filled_and_ended_by_the_fill_rules(terms, rows, expected):
    bars = bars_of(*rows)
    standing = trace(thesis_of(bars, (0, *terms)), bars)
    assert (standing.state, standing.entry, standing.exit) == expected


def test_extremes_and_sessions_count_from_the_entry_on():
    rows = [(100.0, 150.0, 50.0, 100.0), (100.0, 104.0, 98.0, 101.0), None, (101.0, 103.0, 97.0, 99.0)]
    bars = bars_of(*rows)
    at_open = trace(thesis_of(bars, (1, 2, None, None, None)), bars)
    assert (at_open.high, at_open.low, at_open.sessions) == (104.0, 97.0, 2)
    assert at_open.entered_at == bars.opens_at[1]
    within = trace(thesis_of(bars, (0, 1, 95.0, None, None)), bars)
    assert (within.entry, within.high, within.low) == (95.0, 104.0, 95.0), "what came before the limit is left out"
    assert within.sessions == 3


def test_new_terms_bind_from_the_first_bar_that_opens_after_them():
    bars = bars_of(CALM, CALM, (100.0, 101.0, 97.5, 98.0))
    raised = thesis_of(bars, (0, 2, None, 90.0, 120.0), (2, 2, None, 98.5, 120.0))
    assert trace(raised, bars.rows(0, 2)).state == "open"
    assert trace(raised, bars).exit == 98.5
    # Decided within the second bar, which knew nothing of it yet.
    inside = replace(raised.terms[1], at=new_york(int(bars.opens_at[1]) + HOUR), stop=99.5)
    assert trace(replace(raised, terms=(raised.terms[0], inside)), bars.rows(0, 2)).state == "open"


def test_turned_around_it_is_entered_anew_at_the_next_open():
    bars = bars_of(CALM, CALM, (103.0, 104.0, 102.0, 103.0))
    turned = thesis_of(bars, (0, 2, None, 90.0, 120.0), (2, -1, None, 110.0, 90.0))
    standing = trace(turned, bars)
    assert (standing.state, standing.entry, standing.entered_at) == ("open", 103.0, bars.opens_at[2])
    assert turned.direction == "SHORT"


def test_a_trace_reads_nothing_before_its_meeting():
    bars = bars_of((100.0, 200.0, 1.0, 100.0), CALM, CALM)
    assert trace(thesis_of(bars, (1, 2, None, 90.0, 120.0)), bars).state == "open"


# ----------------------------------------------------------------------------------------------- against the engine

SPEC = CouncilSpec.model_construct(
    sizes={1: 0.1, 2: 0.2}, limit_atr=0.3, stages=None, max_trades=5, cash="BIL", volatility_index="VIX"
)


def wandering(seed):
    """Bars of a random walk, daily or hourly, with gaps, ties and missing bars."""
    rng = np.random.default_rng(seed)
    count, per_session = int(rng.integers(4, 40)), int(rng.choice([1, 1, 6]))
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, count)))
    opened = np.r_[100.0, close[:-1]] * np.exp(rng.normal(0, 0.01, count))
    high = np.maximum(opened, close) * np.exp(np.abs(rng.normal(0, 0.01, count)))
    low = np.minimum(opened, close) * np.exp(-np.abs(rng.normal(0, 0.01, count)))
    tick = float(rng.choice([0.01, 1.0]))
    rows = [tuple(np.round(np.array(bar) / tick) * tick) for bar in zip(opened, high, low, close, strict=True)]
    return rng, bars_of(*(None if rng.random() < 0.1 else row for row in rows), per_session=per_session), tick


def an_answer(rng, conviction, close, tick):
    sign = (conviction > 0) - (conviction < 0)

    def level(side):
        if rng.random() < 0.5:
            return None
        return float(max(1.0, round(close * (1 + side * abs(rng.normal(0, 0.03))) / tick) * tick))

    stop, target = (level(-sign), level(sign)) if sign else (None, None)
    if stop is not None and target is not None and (target - stop) * sign <= 0:
        stop = None
    return CheckpointReview(invalidated=False, conviction=conviction, stop=stop, target=target, reason="so it is")


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_trace_and_the_engine_tell_the_same_story(seed):
    rng, bars, tick = wandering(seed)
    rows = np.sort(rng.choice(len(bars), min(len(bars), int(rng.integers(1, 6))), replace=False))
    # Some are decided while a bar is open that they know nothing of.
    instants = bars.opens_at[rows] - rng.choice([HOUR // 4, 0, -HOUR // 4], len(rows))
    # As a run does it: none that brings no new bar.
    due = dict.fromkeys(instants[1:].tolist(), Point("checkpoint", time(9)))
    due |= {int(instants[0]): Point(MEETING, time(8), always=True)}
    instants = drop_uninformed(due, bars.closes_at).instants
    conviction = int(rng.choice([-2, -1, 1, 2]))
    story = [None]

    def known_close(at):
        closes = bars.snapshot(moment(int(at))).history("S")
        return float(closes[-1]) if len(closes) else 100.0

    def decide(k, broker):
        at, close = int(instants[k]), known_close(instants[k])
        facts = {"symbols": {"S": {"close": close, "atr_14": 2.0}}}
        if k == 0:
            sign = 1 if conviction > 0 else -1
            limit = None if abs(conviction) == 2 else round((close - sign * 0.6) / tick) * tick
            answer = an_answer(rng, conviction, close, tick)
            first = Terms(
                new_york(at), conviction, "market" if limit is None else "limit", limit, answer.stop, answer.target
            )
            story[0] = Thesis("pm.trend", "pm.trend", "S", "", ("1", "2", "3"), "never", (first,))
            target = Target("S", sign * SPEC.sizes[abs(conviction)], first.order, limit, first.stop, first.target)
            place(Decision(moment(at), (target,)), broker, rules)
            return
        thesis = story[0]
        followed = Followed(thesis, trace(thesis, bars.snapshot(moment(at)).bars))
        said = Answered("pm.trend", (), an_answer(rng, int(rng.choice([-2, -1, 1, 2])), close, tick), None, "S")
        context = PipelineContext(moment(at), facts=facts, theses=(followed,), checkpoint_reviews=(said,))
        (revision,) = revise(context, SPEC)
        if revision.terms is not None:
            story[0] = thesis.under(revision.terms)
        done = execute(revision, facts, SPEC, broker.book())
        if done is not None and not isinstance(done, str):
            place(Decision(moment(at), (done.target,)), broker, rules)

    rules = ExecutionRules(whole_shares=bool(rng.random() < 0.5), limit_through=True)
    ledger = backtrader_engine.replay(bars, instants, decide, rules, 1e6, np.array([100.0]))
    if story[0] is None:
        return
    standing, fills = trace(story[0], bars), ledger.fills
    held = sum(fill.quantity for fill in fills)
    if standing.state == "open":
        assert held * standing.side > 0
    elif standing.state == "pending":
        assert held * standing.side <= 0, "nothing, or what a turn that found no bar yet is to end"
    else:
        assert held == pytest.approx(0.0, abs=1e-9)
    if standing.entered_at is not None:
        into = [
            f
            for f in fills
            if (f.at, f.price) == (standing.entered_at, standing.entry) and f.quantity * standing.side > 0
        ]
        assert into
    if standing.left_at is not None:
        last = fills[-1]
        why = "stop" if standing.state == "stopped" else "take_profit"
        assert (last.at, last.price, last.why) == (standing.left_at, standing.exit, why)


@settings(max_examples=300, deadline=None)
@given(
    st.floats(-1e6, 1e6).filter(lambda q: abs(q) > 1e-3),
    st.floats(0.01, 1e5),
    st.floats(1.0, 1e8),
    st.booleans(),
)
def test_the_weight_as_held_orders_nothing_and_replaces_the_protective_prices(held, mark, equity, whole):
    held = float(np.trunc(held)) or 1.0 if whole else held
    book = Book(0.0, {"S": held}, {"S": mark}, equity)
    target = Target(
        "S", held_weight(book.weight("S"), book.positions["S"], book.marks["S"], book.equity), stop=1.0, take_profit=2.0
    )
    sizing = orders_for(Decision(moment(0) + timedelta(days=1), (target,)), book, ExecutionRules(whole_shares=whole), 0)
    assert sizing.orders == ()
    assert sizing.protects == (("S", 1.0, 2.0, ()),)
