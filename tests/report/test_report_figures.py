"""Drawdowns, months, distribution, rolling figures and parts of the profit: against other programs and by hand."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.analysis.course import Course
from simulator.analysis.distribution import distribute
from simulator.analysis.periods import drawdown, exposures, period_returns
from simulator.analysis.profit import by_holding_time, by_reason, by_symbol, total
from simulator.evidence.reader import read
from simulator.report.formats import as_json
from simulator.report.page import compose
from simulator.report.sections import drawdowns, rolling, summary
from simulator.report.sections.equity_and_trades import draw_underwater
from simulator.report.sections.profit import name_class
from simulator.stats.series import Undefined
from simulator.trading.model import RoundTrip

GOLDEN = Path(__file__).parents[1] / "stats" / "golden"


@pytest.fixture(scope="module")
def oracle() -> dict[str, Any]:
    return dict(json.loads((GOLDEN / "tear_sheet.json").read_text()))


@pytest.fixture(scope="module")
def course() -> tuple[Course, tuple[date, ...]]:
    with gzip.open(GOLDEN / "daily_open.csv.gz", "rt") as lines:
        rows = [line.strip().split(",") for line in lines][1:]
    own, _, bench, free = (np.array([float(row[n]) for row in rows]) for n in (1, 2, 3, 4))
    return Course(own, free, bench), tuple(date.fromisoformat(row[0]) for row in rows)


def test_the_deepest_drawdowns_are_those_of_quantstats(course: Any, oracle: dict[str, Any]) -> None:
    found = drawdowns.compose(*course)
    assert found is not None
    days = course[1]
    assert found.sentence.startswith(f"{oracle['drawdown_count']}\u00a0drawdowns in all")
    for one, row, theirs in zip(found.falls, found.table.rows, oracle["drawdowns"], strict=True):
        assert one.depth == pytest.approx(theirs["depth"], rel=1e-9)
        assert str(days[one.peak]) == theirs["start"]  # the session after the peak
        assert str(days[one.trough - 1]) == theirs["valley"]
        last = len(days) if one.recovery is None else one.recovery - 1
        assert str(days[last - 1]) == theirs["end"]
        assert [cell.value for cell in row.cells[3:]] == [
            one.trough - one.peak,
            None if one.recovery is None else one.recovery - one.trough,
            one.sessions,
        ]
    assert found.table.rows[0].cells[2].text == "not yet"


def test_months_and_years_are_those_of_quantstats_and_empyrical(course: Any, oracle: dict[str, Any]) -> None:
    returns, days = course[0].returns, course[1]
    equity = 100.0 * np.cumprod(1 + returns)
    months = period_returns(days, equity, 100.0, lambda day: (day.year, day.month))
    assert {f"{y}-{m:02}": v for (y, m), v in months.items()} == pytest.approx(oracle["months"], rel=1e-9)
    years = period_returns(days, equity, 100.0, lambda day: (day.year,))
    assert {str(y): v for (y,), v in years.items()} == pytest.approx(oracle["years"], rel=1e-9)
    ends = {"day": returns, "month": np.array(list(months.values()))}
    for name, values in ends.items():
        found = distribute(values, 20)
        assert [found.best[0][1], found.worst[0][1]] == pytest.approx(oracle["best_worst"][name], rel=1e-9)


def test_the_table_of_rolling_figures_says_where_they_stood(course: Any, oracle: dict[str, Any]) -> None:
    found = rolling.compose(*course)
    assert found is not None
    (sharpe, *_) = found.table.groups
    assert sharpe.rows[2].cells[0].value == pytest.approx(oracle["rolling"]["252"]["sharpe"][-1], rel=1e-9)
    values = found.rolls[2].sharpe
    lowest = int(np.nanargmin(values))
    assert sharpe.rows[2].cells[1].value == values[lowest]
    assert sharpe.rows[2].cells[1].note.endswith(str(course[1][lowest].year))
    assert rolling.compose(Course(course[0].returns[:62], course[0].risk_free[:62], None), course[1][:62]) is None
    short = rolling.compose(Course(course[0].returns[:63], course[0].risk_free[:63], None), course[1][:63])
    assert short is not None
    assert [group.title for group in short.table.groups] == ["Sharpe ratio", "Volatility"]
    assert rolling.compose(Undefined("nothing was traded"), course[1]) is None


@settings(max_examples=40)
@given(st.lists(st.floats(-0.5, 0.5), min_size=1, max_size=60), st.integers(3, 40))
def test_every_return_is_counted_once_in_a_bin_that_holds_it(returns: list[float], most: int) -> None:
    found = distribute(np.array(returns), most)
    assert sum(found.counts) == len(returns)
    assert len(found.counts) <= most + 2
    assert 0.0 in found.edges
    edges = np.array(found.edges)
    for count, low, high in zip(found.counts, edges[:-1], edges[1:], strict=True):
        assert count == sum(low <= value < high for value in returns)
    both = [*found.best, *found.worst]
    assert len({at for at, _ in both}) == len(both) == min(10, len(returns))
    assert [value for _, value in found.best] == sorted(returns, reverse=True)[: len(found.best)]
    assert [value for _, value in found.worst] == sorted(returns)[: len(found.worst)]


def trip(symbol: str, pnl: float, sessions: int, ended: str = "open") -> RoundTrip:
    gone = ended != "still held"
    ends = (1, 110.0) if gone else (None, None)
    figures = (0.0, pnl, pnl / 1000, sessions, -0.1, 0.1, -1.0, 1.0)
    return RoundTrip(symbol, "long", 0, ends[0], 10.0, 100.0, ends[1], *figures, 0, ends[0], ended)


def test_parts_of_the_profit_by_hand() -> None:
    trips = [
        trip("A", 50.0, 0),
        trip("A", -20.0, 2, "stop"),
        trip("B", 30.0, 5, "take_profit"),
        trip("B", 0.0, 6),
        trip("C", -5.0, 300, "margin_call"),
        trip("C", 7.0, 40, "still held"),
    ]
    symbols = by_symbol(trips)
    assert [(one.key, one.positions, one.pnl, one.hit_rate) for one in symbols] == [
        ("A", 2, 30.0, 0.5),
        ("B", 2, 30.0, 1.0),  # a scratch is neither won nor lost
        ("C", 2, 2.0, 0.0),
    ]
    assert [(one.key, one.pnl) for one in by_reason(trips)] == [
        ("open", 50.0),
        ("take_profit", 30.0),
        ("stop", -20.0),
        ("margin_call", -5.0),
        ("still held", 7.0),
    ]
    held = [(name_class(float(one.key)), one.positions, one.pnl) for one in by_holding_time(trips)]
    assert held == [("0", 1, 50.0), ("2–5", 2, 10.0), ("6–21", 1, 0.0), ("253 or more", 1, -5.0)]
    every = total(trips)
    assert (every.positions, every.closed, every.won, every.lost, every.sessions) == (6, 5, 2, 2, 5)
    assert total([]).hit_rate is None


@pytest.mark.medium
def test_many_symbols_are_shown_at_both_ends_and_add_up(write_run: Any) -> None:
    names = tuple(f"S{n:02}" for n in range(46))
    evidence = read(write_run(symbols=names, sessions=150, members=(), analysts=None))
    found = compose(evidence).profit
    assert found is not None
    rows = found.parts[0].table.rows
    traded = len({one.symbol for one in evidence.own_trips or ()})
    assert traded > 40
    assert rows[20].label == f"{traded - 40} others"
    values = [row.cells[0].value or 0.0 for row in rows]
    assert sum(values[:-1]) == pytest.approx(values[-1])
    assert values[-1] == pytest.approx(float(evidence.equity["equity"][-1]) - 100_000.0)


def test_a_folder_without_round_trips_says_how_to_get_them(write_run: Any) -> None:
    folder = write_run(sessions=80)
    facts = json.loads((folder / "run.json").read_text())
    del facts["parts"]
    (folder / "run.json").write_text(json.dumps(facts))
    found = compose(read(folder)).profit
    assert found is not None
    assert "makes it again" in found.why
    assert not found.parts


@pytest.mark.medium
def test_sections_that_have_nothing_to_show_are_absent(write_run: Any) -> None:
    nothing = compose(read(write_run("a", trades=False, members=(), analysts=None, strategy="idle")))
    lost = compose(read(write_run("b", ruin=True)))
    short = compose(read(write_run("c", sessions=15)))
    assert (nothing.profit, nothing.rolling, nothing.drawdowns, nothing.distribution) == (None, None, None, None)
    assert (lost.rolling, lost.drawdowns, lost.distribution) == (None, None, None)
    assert (short.rolling, short.distribution) == (None, None)


def weekdays(first: date, count: int) -> Sequence[date]:
    every = (first + timedelta(days=n) for n in range(2 * count))
    return [day for day in every if day.weekday() < 5][:count]


def test_a_fall_from_the_first_session_on_starts_at_the_money_put_in() -> None:
    returns = np.array([-0.02, 0.01, -0.03, 0.05, 0.01])
    found = drawdowns.compose(Course(returns, np.zeros(5), None), weekdays(date(2024, 1, 1), 5))
    assert found is not None
    (row,) = found.table.rows
    assert [cell.text for cell in row.cells] == ["the start", "3 Jan 2024", "4 Jan 2024", "3", "1", "4"]


def test_of_a_lost_account_nothing_is_held_against_its_exposure_nor_below_a_peak(write_run: Any) -> None:
    evidence = read(write_run("lost", ruin=True))
    run = {**evidence.run, "metrics": {**evidence.run["metrics"], "total_return": None, "annual_return": 0.9}}
    tiles = summary.compose(replace(evidence, run=run))
    assert [(one.text, one.under) for one in tiles if one.name == "Beyond its exposure"] == [("n/a", summary.LOST)]
    chart = draw_underwater(evidence)
    assert (chart.keys[0].value, chart.note) == ("n/a", "The account lost everything and owes $12,000.")
    assert chart.note in chart.spoken


def test_a_lost_account_falls_by_all_of_it_at_most_and_its_exposure_ends_with_it(write_run: Any) -> None:
    folder = write_run("lost", ruin=True)
    evidence = read(folder)
    fall, (gross, net) = drawdown(np.r_[100_000.0, evidence.equity["equity"]]), exposures(evidence.equity)
    lost = evidence.equity["equity"] <= 0
    assert 0 < lost.sum() < len(lost)
    assert fall.min() == -1.0
    assert (np.isnan(gross) == lost).all()
    assert (np.isnan(net) == lost).all()
    shown = json.loads(as_json(folder))["chart"]
    assert min(shown["drawdown"]) == -1.0
    assert [value is None for value in shown["gross"]] == lost.tolist()
