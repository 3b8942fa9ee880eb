"""Profit and loss in parts: by symbol, by reason of exit, by account, and by the time positions were held."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import fsum, inf
from statistics import median

import numpy as np

from simulator.analysis.profit import HELD, Part, by_holding_time, by_reason, by_symbol, total
from simulator.evidence.members import name_account
from simulator.evidence.reader import Evidence, Series
from simulator.evidence.records import RunRecord
from simulator.number_format import counted, dollars, number_of, percent, whole
from simulator.report import drawing
from simulator.report.catalogue import tenths
from simulator.report.charts import Bar
from simulator.report.drawing import Scale
from simulator.report.table import Cell, Column, Row, Table, make_row, make_table
from simulator.stats.trades import SCRATCH
from simulator.trading.model import RoundTrip

ENDED = {
    "open": "Decision",
    "limit": "Limit order",
    "take_profit": "Target",
    "stop": "Stop",
    "margin_call": "Margin call",
    "still held": "Still held",
}
"""Reason of exit → its name here."""

MOST_SYMBOLS = 40
"""Symbols of a page: those that gained most and those that lost most. trades.csv has all."""

COLUMNS = (
    Column("P&L"),
    Column("Positions"),
    Column("Won", "of ended"),
    Column("Mean", "of entry"),
    Column("Held", "median"),
)
EMPTY = Cell("")


@dataclass(frozen=True)
class ProfitTable:
    """A table of positions by kind, and a bar for the P&L of each row, its first cell; None for rows without one."""

    name: str
    table: Table
    bars: tuple[Bar | None, ...]
    zero: float


@dataclass(frozen=True)
class Profit:
    """Sentences on the whole, and its parts; `why` there are none."""

    sentences: tuple[str, ...]
    parts: tuple[ProfitTable, ...]
    why: str = ""


def compose(evidence: Evidence) -> Profit | None:
    """Return the section; None where nothing was traded."""
    run, trips = evidence.run, evidence.own_trips
    if not len(evidence.fills):
        return None
    if trips is None:
        why = f"The run was made before round trips were kept: `{run['command']}` makes it again, with them."
        return Profit((), (), why)
    net = _net(run, evidence.equity["equity"])
    rest = net - total(trips).pnl
    reasons = [_row(ENDED.get(str(one.key), str(one.key)), one) for one in by_reason(trips)]
    held = [_row(name_class(float(one.key)), one) for one in by_holding_time(trips)]
    parts = (
        _scale("By symbol", "Symbol", [*_symbols(by_symbol(trips)), *_rest(rest, net)]),
        _scale("By reason of exit", "Exit", reasons),
        _scale("By time held", "Sessions", held),
        _scale("By account", "Account", _accounts(evidence), further=("Other", "Net")),
    )
    return Profit(tuple(_describe(net, rest, trips)), tuple(part for part in parts if part.table.rows))


def account_profit(evidence: Evidence) -> list[tuple[Part, float]]:
    """Return (all positions of an account, dollars it earned) of each, as run.json orders them; none for a rule."""
    curves = evidence.accounts
    return [
        (total(trips, name), _net(evidence.run, curves[name]))
        for name, trips in evidence.trips.items()
        if name in curves
    ]


def name_class(most: float) -> str:
    """Return a class of holding times by the longest of it: ``2–5``, ``253 or more``."""
    below = max((bound for bound in HELD if bound < most), default=-1) + 1
    return f"{below} or more" if most == inf else f"{below}–{most:g}" if below < most else f"{most:g}"


def _net(run: RunRecord, equity: Series) -> float:
    return float(equity[-1]) - float(run["cash"])


def _describe(net: float, rest: float, trips: Sequence[RoundTrip]) -> Iterator[str]:
    every = total(trips)
    yield (
        f"Of {dollars(net, sign=True)} after costs, {dollars(every.pnl, sign=True)} came from "
        f"{counted(every.positions, 'position')}, {dollars(rest, sign=True)} from dividends, interest and borrowing."
    )
    ended = [trip for trip in trips if trip.exit_at is not None]
    if ended:
        won, lost = [t.sessions for t in ended if t.pnl > SCRATCH], [t.sessions for t in ended if t.pnl < -SCRATCH]
        apart = [f"{name} {_sessions(held)}" for name, held in (("gained", won), ("lost", lost)) if held]
        longest = max(ended, key=lambda trip: trip.sessions)
        yield (
            f"Those that ended were held {_sessions([t.sessions for t in ended])} sessions in the median "
            f"({', '.join(apart)}); the longest {whole(longest.sessions)}, {longest.symbol}."
        )


def _sessions(held: Sequence[float]) -> str:
    return tenths(median(held)).removesuffix(".0")


def _symbols(every: Sequence[Part]) -> list[Row]:
    """Return a row per symbol; of many those that gained and those that lost most, the others as one."""
    if len(every) <= MOST_SYMBOLS:
        return [_row(str(one.key), one) for one in every]
    ends, between = MOST_SYMBOLS // 2, every[MOST_SYMBOLS // 2 : -MOST_SYMBOLS // 2]
    others = Cell(dollars(pnl := fsum(one.pnl for one in between), sign=True), value=pnl)
    positions = sum(one.positions for one in between)
    middle = Row(f"{len(between)} others", (others, Cell(whole(positions), value=positions), *(EMPTY,) * 3))
    rows = [_row(str(one.key), one) for one in (*every[:ends], *every[-ends:])]
    return [*rows[:ends], middle, *rows[ends:]]


def _rest(rest: float, net: float) -> list[Row]:
    named = (("Dividends, interest, borrowing", rest, "apart"), ("Net", net, "apart chosen"))
    return [
        Row(name, (Cell(dollars(value, sign=True), value=number_of(value)), *(EMPTY,) * 4), css=css)
        for name, value, css in named
    ]


def _accounts(evidence: Evidence) -> list[Row]:
    rows = []
    for part, net in account_profit(evidence):
        row = _row(name_account(evidence.run, str(part.key)), part)
        further = (Cell(dollars(v, sign=True), value=number_of(v)) for v in (net - part.pnl, net))
        css = "own" if part.key == evidence.run["account"] else ""
        rows.append(replace(row, cells=(*row.cells, *further), css=css))
    return sorted(rows, key=lambda row: -(row.cells[-1].value or 0.0))


def _row(label: str, one: Part) -> Row:
    why = "" if one.closed else "none has ended"
    won = Cell(percent(one.hit_rate), why, value=one.hit_rate)
    held = Cell("n/a", why) if one.sessions is None else Cell(_sessions([one.sessions]), value=one.sessions)
    return make_row(
        label,
        (
            Cell(dollars(one.pnl, sign=True), value=one.pnl),
            Cell(whole(one.positions), value=one.positions),
            won,
            Cell(percent(one.mean, 2, sign=True), value=one.mean),
            held,
        ),
    )


def _scale(name: str, corner: str, rows: Sequence[Row], further: Sequence[str] = ()) -> ProfitTable:
    """Return the table with its bars; rows set apart have none: a whole has no place among its parts."""
    table = make_table(
        f"Profit and loss {name.lower()}", (*COLUMNS, *map(Column, further)), rows, corner=corner, css="earned"
    )
    values = [None if "apart" in row.css else row.cells[0].value for row in rows]
    scale = Scale(*drawing.bounds([np.array([0.0, *(v for v in values if v is not None)])], room=0.02))
    zero = scale.at(0.0)
    bars = [
        None
        if v is None
        else Bar("", "loss" if v < 0 else "gain", "", zero, min(zero, scale.at(v)), max(zero, scale.at(v)))
        for v in values
    ]
    return ProfitTable(name, table, tuple(bars), zero)
