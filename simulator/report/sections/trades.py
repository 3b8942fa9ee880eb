"""Trades: the round trips of every account, for paper and for the script that sorts and filters them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from simulator.evidence.reader import Evidence, read_orders
from simulator.evidence.row_table import column_of
from simulator.evidence.rows import decided_by, exchange_time
from simulator.market.bars import instant
from simulator.number_format import cents, percent, price, signed_percent, whole
from simulator.report.charts import spell
from simulator.report.sections.equity_and_trades import embed_json, shorten
from simulator.trading.model import RoundTrip

MOST_TRIPS = 5_000
"""Round trips of a page: those that earned or lost most. trades.csv has all."""

ON_PAPER = 25
"""Rows that are there without a script."""

MINUTES = 24 * 60


@dataclass(frozen=True)
class Trades:
    """Columns by key and name, the newest rows in words, a sentence on what is missing, the numbers for the script."""

    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, ...], ...]
    own: str
    several: bool
    note: str
    data: str


COLUMNS = (
    *(("symbol", "Symbol"), ("account", "Account"), ("side", "Side"), ("entered", "Entered"), ("exited", "Exited")),
    *(("sessions", "Sessions"), ("shares", "Shares"), ("entry", "Entry"), ("exit", "Exit"), ("costs", "Costs")),
    *(("pnl", "P&L"), ("fraction", "P&L %"), ("mae", "MAE"), ("mfe", "MFE"), ("ended", "Ended by")),
)
ENDINGS = {"open": "decision"}
"""Words for what ended a trade, where they are not those of trades.csv."""


def compose(evidence: Evidence) -> Trades | None:
    """Return the section, None where nothing was traded. Raises DataError for files that cannot be read."""
    run = evidence.run
    own = run["account"] or ""
    accounts = [own, *(one["name"] for one in run["accounts"] if one["name"] != own)]
    if evidence.own_trips is None:
        note = f"An earlier version wrote this folder, without round trips; `{run['command']}` adds them."
        return Trades((), (), own, False, note, "") if len(evidence.fills) else None
    trips = [(account, trip) for account in accounts for trip in evidence.trips.get(account, ())]
    if not trips:
        return None
    note = ""
    if len(trips) > MOST_TRIPS:
        size = np.array([abs(trip.pnl) for _, trip in trips])
        trips = [trips[n] for n in np.sort(np.argsort(-size, kind="stable")[:MOST_TRIPS]).tolist()]
        note = f"The {whole(MOST_TRIPS)} that earned or lost most are listed; trades.csv has all."
    several = len({account for account, _ in trips}) > 1
    columns = tuple(column for column in COLUMNS if several or column[0] != "account")
    newest = sorted((trip for account, trip in trips if account == own), key=lambda trip: -trip.entry_at)[:ON_PAPER]
    rows = tuple(_write_row(own if several else None, trip, _intraday(trips)) for trip in newest)
    return Trades(columns, rows, own, several, note, _data(evidence, trips))


def _intraday(trips: Sequence[tuple[str, RoundTrip]]) -> bool:
    """Return True where the time of day tells trades apart."""
    times = {at for _, trip in trips for at in (trip.entry_at, trip.exit_at) if at is not None}
    return len({exchange_time(at)[11:16] for at in times}) > 1


def _write_row(account: str | None, trip: RoundTrip, intraday: bool) -> tuple[str, ...]:
    def when(at: int | None) -> str:
        if at is None:
            return "still held"
        moment = datetime.fromisoformat(exchange_time(at))
        return spell(moment.date()) + (f", {moment:%H:%M}" if intraday else "")

    return (
        trip.symbol,
        *(() if account is None else (account,)),
        trip.side,
        when(trip.entry_at),
        when(trip.exit_at),
        whole(trip.sessions),
        f"{trip.quantity:,.2f}",
        price(trip.entry_price),
        "" if trip.exit_price is None else price(trip.exit_price),
        cents(trip.costs),
        cents(trip.pnl),
        signed_percent(trip.pnl_fraction),
        percent(trip.mae),
        percent(trip.mfe),
        describe_end(trip.ended),
    )


def describe_end(ended: str) -> str:
    """Return what ended a trade, in words: ``decision``, ``take profit``."""
    return ENDINGS.get(ended, ended.replace("_", " "))


def _data(evidence: Evidence, trips: Sequence[tuple[str, RoundTrip]]) -> str:
    """Return JSON: texts once, and a row of numbers for each trip, see trade_table.js.

    Its instants are sessions × 1440 + minutes of the day; of the decisions behind entry and exit it holds the numbers,
    −1 where there is none on the page.
    """
    number = {str(day): n for n, day in enumerate(evidence.sessions)}
    accounts = list(dict.fromkeys(account for account, _ in trips))
    symbols = list(dict.fromkeys(trip.symbol for _, trip in trips))
    endings = list(dict.fromkeys(trip.ended for _, trip in trips))
    behind = {account: _decisions_behind(evidence, account) for account in accounts}
    moments = {at for _, trip in trips for at in (trip.entry_at, trip.exit_at) if at is not None}
    when: dict[int | None, int | None] = {None: None}
    for at in moments:
        text = exchange_time(at)
        when[at] = number.get(text[:10], -1) * MINUTES + int(text[11:13]) * 60 + int(text[14:16])
    places = [{name: n for n, name in enumerate(names)} for names in (accounts, symbols, endings)]
    rows = [
        [
            places[0][account],
            places[1][trip.symbol],
            1 if trip.side == "long" else -1,
            when[trip.entry_at],
            when[trip.exit_at],
            trip.sessions,
            shorten(trip.quantity),
            shorten(trip.entry_price),
            None if trip.exit_price is None else shorten(trip.exit_price),
            round(trip.costs, 2),
            round(trip.pnl, 2),
            *(round(value, 5) for value in (trip.pnl_fraction, trip.mae, trip.mfe)),
            places[2][trip.ended],
            behind[account].get(trip.entry_order, -1),
            -1 if trip.exit_order is None or trip.ended != "open" else behind[account].get(trip.exit_order, -1),
        ]
        for account, trip in trips
        if (when[trip.entry_at] or 0) >= 0
    ]
    endings = [describe_end(ended) for ended in endings]
    names = {"accounts": accounts, "symbols": symbols, "endings": endings}
    return embed_json({**names, "timed": _intraday(trips), "rows": rows})


def _decisions_behind(evidence: Evidence, account: str) -> dict[int, int]:
    """Return {order of `account`: number of the decision on the page it stems from}.

    A member's order stems from the meeting or checkpoint of that instant.
    """
    if account == (evidence.run["account"] or ""):
        return decided_by(evidence.decisions, evidence.orders)
    made = {instant(datetime.fromisoformat(one["as_of"])): n for n, one in enumerate(evidence.decisions)}
    orders = read_orders(evidence.folder, evidence.run, account)
    sent = zip(column_of(orders, "id"), column_of(orders, "submitted_at"), strict=True)
    return {order: made[at] for order, at in sent if at in made}
