"""Tables and charts of a forward test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import numpy as np

from simulator.analysis.anytime import BASIS, Course
from simulator.analysis.forward_facts import AccountFacts, ForwardFacts, Hits
from simulator.analysis.verdict import JUDGEMENT
from simulator.forward.records import AlertRow, FillRow, OrderRow, PointRow
from simulator.number_format import (
    cents,
    counted,
    dollars,
    interval,
    number_of,
    percent,
    price,
    ratio,
    shares,
    signed_percent,
    signed_ratio,
    whole,
)
from simulator.report import drawing
from simulator.report.charts import Chart, Curve, Key, draw_growth, speak
from simulator.report.drawing import Frame, Layer, Panel, Scale, TimeAxis
from simulator.report.sections.sweep_luck import Scaled
from simulator.report.table import Cell, Column, Group, Row, Table, make_row, make_table


def tabulate_validation(facts: ForwardFacts) -> Table:
    """Return the figures of a validation: money, recommendations, costs, executions, errors, uptime."""
    first, points, due = facts.primary, facts.points, sum(facts.points.values())
    missed = ", ".join(f"{count} {state}" for state, count in points.items() if count and state != "done")
    days = max(len(first.path) - 1, 1)
    points_held = f"{whole(points['done'] + points['late'])} of {whole(due)}"
    asked = f"{whole(facts.failed)} of {counted(facts.requests, 'request')} failed or were refused by the broker"
    lost = f"{ratio(facts.minutes - facts.alive, 0)} of {whole(facts.minutes)} open minutes without a heartbeat"
    up = f"{lost}, {counted(facts.restarts, 'restart')}"
    rows = [
        ("Profit and loss", _sign_dollars(first.pnl), first.pnl, f"{_sign_dollars(first.pnl / days)} a session"),
        ("Recommendations that came true", *_share(facts.hits)),
        ("Cost of models", cents(facts.cost_usd), facts.cost_usd, _describe_calls(facts)),
        ("Points held", points_held, facts.executed, missed or "none late, missed or failed"),
        ("Error rate", percent(facts.error_rate, 2), facts.error_rate, asked),
        ("Uptime", percent(facts.uptime, 2), facts.uptime, up),
    ]
    return make_table(
        "Validation",
        [Column("")],
        [make_row(name, (Cell(text, value=number_of(value)),), hint) for name, text, value, hint in rows],
        css="results",
    )


def _share(hits: Hits) -> tuple[str, float | None, str]:
    bounds = hits.interval
    if bounds is None:
        return percent(None), None, "none can be told yet"
    always = f"always “up” would have been right in {whole(hits.rising)}"
    between = f"95\u00a0% interval {interval(bounds[0], bounds[1], percent)}"
    return percent(hits.share), hits.share, f"{whole(hits.right)} of {whole(hits.of)}, {between}; {always}"


def _describe_calls(facts: ForwardFacts) -> str:
    asked = counted(facts.calls, "call")
    if facts.expected is None:
        return f"{asked}; no plan says what was expected"
    low, likely, high = facts.expected
    within = "within" if low <= facts.cost_usd <= high else "outside"
    return f"{asked}; the plan expected {cents(likely)}: {within} {cents(low)} to {cents(high)}"


def _sign_dollars(value: float | None) -> str:
    return dollars(value, 2, sign=True)


def newest(table: Table, most: int) -> Table:
    """Return the first `most` rows of a table, which has the newest first."""
    return replace(table, groups=(Group("", table.rows[:most]),))


def _time(at: str) -> str:
    """``2024-06-03 09:30:00`` of an ISO text, in its own zone."""
    return at[:19].replace("T", " ")


def draw_sequence(course: Course) -> Scaled | None:
    """Return the mean of d by session in basis points, with the interval of one look and then the sequence; None
    before the second session."""
    n = len(course.sessions)
    if n < 2:
        return None
    mean, low, high = (BASIS * values for values in (course.mean, course.low, course.high))
    x, at = np.arange(1.0, n + 1), np.arange(1, n + 1)
    once = at < course.first
    shown = np.r_[mean[min(9, n - 2) :], low[np.isfinite(low)], high[np.isfinite(high)]]
    bottom, top = drawing.bounds([shown, np.zeros(1)])
    layers = [Layer("grid", "line", np.array([course.first, course.first], dtype=float), np.array([bottom, top]))]
    for name, part in (("equal", once), ("hold", ~once)):
        layers += [Layer(name, "line", x, np.where(part, ends, np.nan)) for ends in (low, high)]
    layers.append(Layer("strategy", "line", x, np.clip(mean, bottom, top)))
    panel = drawing.draw(
        layers, Frame(0.5, n + 0.5, bottom, top, 260), drawing.plain_ticks(drawing.steps(bottom, top, 6))
    )
    ends = interval(low[-1], high[-1])
    keys = [Key("strategy", "Mean so far", f"{signed_ratio(mean[-1])} basis points a session")]
    keys += [Key("equal", "95\u00a0% interval of one look", "" if n >= course.first else ends)]
    keys += [Key("hold", "95\u00a0% interval at every look", ends)] if n >= course.first else []
    note = f"From session {course.first} on the interval holds at whichever session one looks."
    chart = Chart(panel, tuple(keys), f"Beyond its usual exposure by session: {speak(keys)}", note)
    return Scaled(chart, tuple(tick for tick in Scale(0.5, n + 0.5).ticks(6) if "." not in tick.label))


def draw_equity(facts: ForwardFacts) -> tuple[Chart, TimeAxis] | None:
    """Return the equity of all accounts, the primary one in front, beside its symbols held in equal parts."""
    first = facts.primary
    if len(first.path) < 2:
        return None
    curves = [
        Curve("strategy", first.name, first.path),
        Curve("hold", "Symbols held in equal parts", float(first.path[0]) * facts.held),
        *(Curve("w63", one.name, one.path) for one in facts.accounts[1:]),
    ]
    if first.approver is not None:
        curves.append(Curve("equal", f"{first.name} as decided", first.approver.decided))
    days = [date.fromisoformat(day) for day in first.verdict.course.sessions]
    panel, _ = draw_growth(curves, len(first.path) - 1, 260, drawing.dollar_ticks)
    keys = tuple(Key(one.css, one.name, signed_percent(one.growth)) for one in curves)
    return Chart(panel, keys, f"Equity by session: {speak(keys)}"), drawing.time_axis(days)


def draw_days(facts: ForwardFacts) -> Panel | None:
    """Return the profit and loss of each session of the primary account."""
    pnl = np.diff(facts.primary.path)
    if len(pnl) < 2:
        return None
    low, high = drawing.bounds([pnl, np.zeros(1)])
    ticks = drawing.dollar_ticks(drawing.steps(low, high, 4))
    return drawing.draw([drawing.staircase("weight", pnl)], Frame(-1, len(pnl) - 1, low, high, 130), ticks)


def tabulate_accounts(facts: ForwardFacts) -> Table:
    """Return a row per account: money, orders, and its verdict."""
    columns = [
        Column("Verdict", words=True),
        *map(Column, ("Equity", "Return", "Profit and loss", "Drawdown", "Costs")),
        Column("Accruals", "ours alone"),
        Column("Unexplained", "worst day"),
        Column("Orders", "not carried out"),
        Column("Slippage", "of what was traded"),
        Column("e-value"),
    ]
    return make_table("Accounts", columns, [_account(one) for one in facts.accounts], "Account", css="accounts")


def _account(one: AccountFacts) -> Row:
    unsent = ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in one.not_sent.items() if count)
    slippage = "" if one.slippage_bps is None else f"{ratio(one.slippage_bps, 1)} bp"
    cells = (
        JUDGEMENT[one.verdict.standing],
        Cell(cents(one.equity), value=one.equity),
        Cell(signed_percent(one.total_return), value=one.total_return),
        Cell(_sign_dollars(one.pnl), value=one.pnl),
        Cell(percent(one.max_drawdown), value=one.max_drawdown),
        Cell(cents(one.costs), value=one.costs),
        Cell(_sign_dollars(one.accruals), value=one.accruals),
        Cell(
            _sign_dollars(one.unexplained),
            value=one.unexplained,
            why="" if one.unexplained is not None else "not read yet",
        ),
        Cell(whole(one.orders), note=unsent, value=float(one.orders)),
        Cell(_sign_dollars(one.slippage), note=slippage, value=one.slippage),
        Cell(ratio(one.verdict.e_value), value=one.verdict.e_value),
    )
    return make_row(one.name, cells, one.number)


def tabulate_days(facts: ForwardFacts) -> Table:
    """Return a row per session, the newest first: profit and loss of the primary account, points, and the loop."""
    own = {day.session: day for day in facts.record.days if day.account == facts.primary.name}
    every: dict[str, list[float]] = {}
    for row in facts.record.days:
        every.setdefault(row.session, []).append(row.pnl)
    loops = {loop.session: loop for loop in facts.record.sessions}
    rows = []
    for session in reversed(facts.sessions):
        due = [point for point in facts.record.points if point.session == session]
        held = sum(point.state in ("done", "late") for point in due)
        day, loop = own.get(session), loops.get(session)
        total = math.fsum(every.get(session, ()))
        books = (None, None) if day is None else (day.pnl, day.equity)
        calls, cost, errors, up = 4 * [None] if loop is None else loop.figures
        cells = [
            Cell(_sign_dollars(books[0]), value=books[0], why="" if day else "no row"),
            Cell(cents(books[1]), value=books[1]),
            Cell(_sign_dollars(total), value=total),
            Cell(f"{held} of {len(due)}" if due else "none due", value=float(held)),
            *(Cell(write(value), value=value) for write, value in
              ((whole, calls), (cents, cost), (whole, errors), (percent, up))),
        ]  # fmt: skip
        rows.append(make_row(session, cells))
    columns = ("Profit and loss", "Equity", Column("All accounts", "profit and loss"),
               *("Points", "Calls", "Cost", "Errors", "Uptime"))  # fmt: skip
    return make_table("Sessions", columns, rows, "Session", css="days")


def tabulate_fills(fills: Sequence[FillRow]) -> Table:
    """Return executions, the newest first, with their slippage."""
    columns = [*(Column(name, words=True) for name in ("Account", "Symbol")), *map(Column, ("Shares", "Price"))]
    columns += [Column("Reference", "where replay fills"), Column("Slippage"), Column("Why", words=True)]
    rows = [
        make_row(
            _time(one.at),
            [
                one.account,
                one.symbol,
                Cell(shares(one.quantity), value=one.quantity),
                Cell(price(one.price), value=one.price),
                Cell(price(one.reference), value=one.reference, why="" if one.reference else "no bar tells"),
                Cell(_sign_dollars(one.slippage), value=one.slippage),
                one.why,
            ],
        )
        for one in sorted(fills, key=lambda fill: fill.at, reverse=True)
    ]
    return make_table("Fills", columns, rows, "Time", css="fills")


def tabulate_unsent(orders: Sequence[OrderRow], title: str) -> Table | None:
    """Return orders that never stood at the broker, or of which that is not known; None without any."""
    columns = [Column(name, words=True) for name in ("Account", "Symbol", "State", "Why")]
    rows = [make_row(_time(one.at), [one.account, one.symbol, one.state, one.why]) for one in orders]
    return make_table(title, columns, rows, "Time", css="words") if rows else None


def tabulate_points(points: Sequence[PointRow]) -> Table | None:
    """Return points that were late, missed or failed, the newest first; None without any."""
    columns = [Column(name, words=True) for name in ("Point", "State", "Ran", "Why")]
    rows = [
        make_row(_time(one.due), [one.name, one.state, one.ran_at[11:16] if one.ran_at else "never", one.why])
        for one in reversed(points)
        if one.state != "done"
    ]
    return make_table("Points that were not held in time", columns, rows, "Due", css="words") if rows else None


def tabulate_alerts(alerts: Sequence[AlertRow]) -> Table | None:
    """Return alerts, the newest first; None without any."""
    columns = [Column(name, words=True) for name in ("Kind", "Account", "Alert")]
    rows = [
        make_row(_time(one.at), [one.kind.replace("_", " "), one.account or "all", one.text])
        for one in reversed(alerts)
    ]
    return make_table("Alerts", columns, rows, "Time", css="words") if rows else None


def tabulate_hits(facts: ForwardFacts) -> Table | None:
    """Return recommendations that came true by symbol; None while there is none."""
    if not facts.hits_by_symbol:
        return None
    columns = [
        Column("Came true"),
        Column("Of"),
        Column("Share"),
        Column("95\u00a0% interval"),
        Column("Rose", "whatever was said"),
    ]
    rows = []
    for name, one in (*facts.hits_by_symbol.items(), ("All", facts.hits)):
        bounds = one.interval or (None, None)
        counts = [Cell(whole(count), value=float(count)) for count in (one.right, one.of, one.rising)]
        between = Cell(interval(bounds[0], bounds[1], percent))
        cells = (*counts[:2], Cell(percent(one.share), value=one.share), between, counts[2])
        rows.append(make_row(name, cells, css="own" if name == "All" else ""))
    return make_table("Recommendations", columns, rows, "Symbol", css="hits")
