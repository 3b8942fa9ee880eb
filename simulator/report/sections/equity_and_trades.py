"""Equity and trades: equity, drawdown, exposure and fills over one axis, for paper and for the script."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import NamedTuple

import numpy as np

from simulator.analysis.periods import drawdown, exposures
from simulator.evidence.members import name_account, name_seat, who_by_seat
from simulator.evidence.reader import Evidence, Series
from simulator.evidence.records import RunRecord
from simulator.evidence.row_table import column_of
from simulator.evidence.rows import decided_by, exchange_time
from simulator.number_format import UNDEFINED, counted, dollars, percent, signed_percent, whole
from simulator.printing import is_printable_json, printable_values
from simulator.report import drawing
from simulator.report.charts import Chart, Curve, Key, draw_drawdown, draw_growth, span, speak, spell
from simulator.report.drawing import LANE, Frame, Layer, Panel, Shape

BENCHMARKS = {"buy_and_hold": ("hold", "Buy-and-hold"), "equal_weight": ("equal", "Equal-weight")}
"""Column of equity.csv → CSS class and name."""

FORCED = ("stop", "take_profit", "margin_call")
"""Why a position was closed by its protection."""


MOST_TRADES = 5_000
"""Trades a page lists: more nobody reads, and a browser is slow with."""


class Trade(NamedTuple):
    """A fill: number of its session, symbol, shares, price, why, number of the decision behind it or −1."""

    session: int
    symbol: str
    shares: float
    price: float
    why: str
    decision: int


@dataclass(frozen=True)
class EquityAndTrades:
    """Three charts, the rows of markers below the first, a sentence on the trades, and the numbers the script reads."""

    equity: Chart
    drawdown: Chart
    exposure: Chart
    bought: Panel | None
    sold: Panel | None
    traded: str
    evidence: str


def compose(evidence: Evidence) -> EquityAndTrades:
    """Return the section for the run's own account."""
    trades = list_trades(evidence)
    return EquityAndTrades(
        equity=draw_equity(evidence),
        drawdown=draw_underwater(evidence),
        exposure=draw_exposure(evidence),
        bought=_draw_trades(evidence, [trade for trade in trades if trade.shares > 0]) if trades else None,
        sold=_draw_trades(evidence, [trade for trade in trades if trade.shares <= 0]) if trades else None,
        traded=_count_trades(trades),
        evidence=_numbers(evidence, trades),
    )


def list_trades(evidence: Evidence, symbols: Collection[str] | None = None) -> list[Trade]:
    """Return the fills of the run's own account, in file order; only those of `symbols` where they are given."""
    behind = decided_by(evidence.decisions, evidence.orders)
    number = {str(day): n for n, day in enumerate(evidence.sessions)}
    fills = evidence.fills
    at = column_of(fills, "at")
    session = {moment: number.get(exchange_time(moment)[:10], -1) for moment in set(at)}
    columns = [column_of(fills, name) for name in ("symbol", "quantity", "price", "why", "order_id")]
    return [
        Trade(session[moment], symbol, shorten(shares), shorten(price), why.replace("_", " "), behind.get(order, -1))
        for moment, symbol, shares, price, why, order in zip(at, *columns, strict=True)
        if session[moment] >= 0 and (symbols is None or symbol in symbols)
    ]


def largest_trades(trades: Sequence[Trade]) -> Sequence[Trade]:
    """Return the MOST_TRADES that moved most dollars, in their order; all where there are no more."""
    if len(trades) <= MOST_TRADES:
        return trades
    worth = np.array([abs(trade.shares * trade.price) for trade in trades])
    kept = np.sort(np.argsort(-worth, kind="stable")[:MOST_TRADES])
    return [trades[n] for n in kept.tolist()]


def shorten(value: float) -> float:
    """Return `value` to four decimals, below 1 to six significant digits."""
    return round(value, 4) if abs(value) >= 1 else float(f"{value:.6g}")


def list_curves(evidence: Evidence) -> list[Curve]:
    """Return the paths of the strategy and of the benchmarks that have one, from the starting cash."""
    cash, equity = float(evidence.run["cash"]), evidence.equity
    curves = [Curve("strategy", evidence.run["strategy"], np.r_[cash, equity["equity"]])]
    curves += [
        Curve(css, name, np.r_[cash, equity[column]])
        for column, (css, name) in BENCHMARKS.items()
        if column in equity and np.isfinite(equity[column]).any()
    ]
    return curves


def draw_equity(evidence: Evidence) -> Chart:
    """Return dollars of the strategy and both benchmarks, on a log axis unless an account reaches zero."""
    curves = list_curves(evidence)
    panel, log = draw_growth(curves, len(evidence.sessions), 320, drawing.dollar_ticks)
    keys = tuple(Key(c.css, c.name, f"{dollars(c.last)} ({signed_percent(c.growth)})") for c in curves)
    scale = "logarithmic" if log else "linear"
    spoken = f"Equity on a {scale} axis, {span(evidence.sessions)}, from {dollars(evidence.run['cash'])}: {speak(keys)}"
    note = "" if log else "The axis is linear: an account reached zero or less, which has no logarithm."
    return Chart(panel, keys, spoken, note)


def draw_underwater(evidence: Evidence) -> Chart:
    """Return the strategy's and buy-and-hold's distance from the highest close so far."""
    curves = [curve for curve in list_curves(evidence) if curve.css != "equal"]
    falls = [Curve(curve.css, curve.name, drawdown(curve.path)) for curve in curves]
    keys = tuple(Key(fall.css, fall.name, _deepest(fall.path[1:], evidence.sessions)) for fall in falls)
    left = curves[0].last
    note = f"The account lost everything{f' and owes {dollars(-left)}' if left < 0 else ''}." if left <= 0 else ""
    panel = draw_drawdown(falls, len(evidence.sessions), 150, filled=True)
    return Chart(panel, keys, f"Drawdown, {span(evidence.sessions)}. Deepest: {speak(keys)} {note}".rstrip(), note)


def draw_exposure(evidence: Evidence) -> Chart:
    """Return gross and net exposure as fractions of equity."""
    gross, net = exposures(evidence.equity)
    low, high = drawing.bounds([gross, net, np.array([0.0, 0.1])], room=0.03)
    low = low if float(np.nanmin(np.r_[net, gross, 0.0])) < 0 else 0.0
    named = (("gross", "Gross", gross), ("net", "Net", net))
    keys = tuple(Key(css, name, f"mean {percent(mean(v))}") for css, name, v in named)
    layers = [drawing.staircase("gross fill", gross), drawing.line("net", net)]
    ticks = drawing.percent_ticks(drawing.steps(low, high, 4))
    panel = drawing.draw(layers, Frame(-1, len(evidence.sessions) - 1, low, high, 110), ticks)
    return Chart(panel, keys, f"Exposure, {span(evidence.sessions)}: {speak(keys)}")


def draw_markers(trades: Sequence[Trade]) -> list[Layer]:
    """Return ▲ for purchases, ▼ for sales and ✕ for what its protection closed, one for each session."""
    forced = {why.replace("_", " ") for why in FORCED}
    spots: dict[Shape, set[float]] = {"buys": set(), "sells": set(), "exits": set()}
    for trade in trades:
        shape: Shape = "exits" if trade.why in forced else "buys" if trade.shares > 0 else "sells"
        spots[shape].add(trade.session - 0.5)
    return [Layer(s, s, np.array(sorted(at)), np.zeros(len(at))) for s, at in spots.items() if at]


def _draw_trades(evidence: Evidence, trades: Sequence[Trade]) -> Panel:
    return drawing.draw(draw_markers(trades), Frame(-1, len(evidence.sessions) - 1, 0.0, 1.0, LANE, lane=True))


def _count_trades(trades: Sequence[Trade]) -> str:
    if not trades:
        return "Nothing was traded."
    bought = sum(trade.shares > 0 for trade in trades)
    forced = sum(trade.why in {why.replace("_", " ") for why in FORCED} for trade in trades)
    closed = f", {whole(forced)} of them by stop, target or margin call" if forced else ""
    shown = (
        f" The {whole(MOST_TRADES)} largest are listed here, fills.csv has all." if len(trades) > MOST_TRADES else ""
    )
    return f"{counted(bought, 'purchase')} and {counted(len(trades) - bought, 'sale')}{closed}.{shown}"


def _numbers(evidence: Evidence, trades: Sequence[Trade]) -> str:
    own, run = evidence.equity, evidence.run
    gross, net = exposures(own)
    columns = {"equity": "equity", "hold": "buy_and_hold", "equal": "equal_weight"}
    curves = {name: _round_series(own[column], 2) for name, column in columns.items() if column in own}
    return embed_json(
        {
            "run": run["run_id"],
            "cash": run["cash"],
            "who": _name_seats(run),
            "days": [day.isoformat() for day in evidence.sessions],
            "curves": {**curves, "gross": _round_series(gross, 4), "net": _round_series(net, 4)},
            "trades": largest_trades(trades),
        }
    )


def _name_seats(run: RunRecord) -> dict[str, str]:
    """{seat: who answers there, and in brackets its account}."""
    accounts = {account["seat"]: account["name"] for account in run["accounts"]}
    return {s: name_account(run, accounts[s]) if s in accounts else name_seat(run, s) for s in who_by_seat(run)}


def embed_json(value: object) -> str:
    """Return compact JSON that may stand inside a script element: no ``<``, no NaN, its texts printable."""
    write = partial(json.dumps, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    text = write(value)
    return (text if is_printable_json(text) else write(printable_values(value))).replace("<", "\\u003c")


def _round_series(values: Series, digits: int) -> list[float | None]:
    return [round(v, digits) if np.isfinite(v) else None for v in values.tolist()]


def _deepest(falls: Series, sessions: Sequence[date]) -> str:
    if not np.isfinite(falls).any() or np.nanmin(falls) <= -1.0:  # all was lost, and figures are n/a
        return UNDEFINED
    at = int(np.nanargmin(falls))
    return percent(falls[at]) + (f" on {spell(sessions[at])}" if falls[at] < 0 else "")


def mean(values: Series) -> float:
    """Return the mean of the values there are, NaN without one."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")
