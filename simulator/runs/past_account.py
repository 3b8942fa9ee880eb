"""Account of a run or a forward test as it was at an instant: nothing that happened later is in it.

run folder: fills.csv, decisions.jsonl, equity.csv ─┐
store: forward.* events of the account ─────────────┴─► Recorded ──until(snapshot)──► PastAccount
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import NamedTuple, TypedDict

import numpy as np

from simulator.errors import UsageError
from simulator.evidence.reader import account_curves, read_books, read_equity, read_run
from simulator.forward.books import Split, in_new_shares, ratios_of
from simulator.forward.registration import registrations
from simulator.forward.state import State
from simulator.market.bars import Snapshot, instant, moment
from simulator.market.calendar import NEW_YORK, sessions
from simulator.store.database import open_store
from simulator.store.folders import find_run
from simulator.trading.model import Book, Fill, RoundTrip
from simulator.trading.orders import Origin
from simulator.trading.past import History
from simulator.workspace import Workspace

Exits = tuple[float | None, float | None]
"""Stop and take-profit price."""


class Opening(TypedDict, total=False):
    """Dollars and signed shares that an account of a forward test began with; nothing where it was not reached."""

    cash: float
    positions: dict[str, float]


class Close(NamedTuple):
    """Dollars at the close of a session, and those in cash, None where not recorded: what filled by the instant `at` is
    in both."""

    session: date
    equity: float
    cash: float | None
    at: int


@dataclass(frozen=True)
class Recorded:
    """An account as it was recorded, to the end.

    Attributes
    ----------
    opening : shares it began with, {symbol: signed shares}
    cash : dollars it began with
    fills, exits : in shares and dollars of their time, exits as (instant, symbol, stop and take-profit) as they were
        decided, oldest first
    splits : those that came meanwhile: its bars are as traded
    bars : folder of the bars it was traded on, None for those of the workspace
    until : its last close, None while it goes on
    strategy, parameters : what traded it
    """

    name: str
    symbols: tuple[str, ...]
    cash: float
    fills: Sequence[Fill] = ()
    closes: Sequence[Close] = ()
    exits: Sequence[tuple[datetime, str, Exits]] = ()
    splits: Sequence[Split] = ()
    opening: Mapping[str, float] = field(default_factory=dict)
    bars: Path | None = None
    until: datetime | None = None
    strategy: str = ""
    parameters: Mapping[str, object] = field(default_factory=dict)

    def splits_by(self, as_of: datetime) -> list[Split]:
        """Return the splits of sessions up to that of `as_of`."""
        return [one for one in self.splits if one.session <= as_of.astimezone(NEW_YORK).date()]


@dataclass(frozen=True)
class PastAccount:
    """An account at an instant, in the words of `DeskState`."""

    book: Book
    trips: tuple[RoundTrip, ...] = ()
    equity: tuple[tuple[date, float], ...] = ()
    stops: Mapping[str, float] = field(default_factory=dict)
    targets: Mapping[str, float] = field(default_factory=dict)
    entries_today: int = 0
    began: float | None = None


def find_account_folder(workspace: Workspace, run: str) -> Path:
    """Return the folder of `run`, a replay or a forward test by its id, folder or the beginning of one. Raises
    UsageError where none, or more than one, is meant."""
    names = {one.name: one for one in sorted(workspace.reports.glob("forward-*")) if one.is_dir()}
    fit = [one for name, one in names.items() if name == run or name.rpartition("-")[2].startswith(run)]
    return fit[0] if len(fit) == 1 else find_run(workspace.reports, run)


def read_account(workspace: Workspace, folder: Path, account: str | None = None) -> Recorded:
    """Return the account of the run in `folder`, as `find_account_folder` gives it.

    Without a name it is the account the run reports, of a forward test its primary one. Raises UsageError where there
    is no such account.
    """
    return _of_forward(workspace, folder, account) if folder.name.startswith("forward-") else _of_run(folder, account)


def at(recorded: Recorded, snapshot: Snapshot) -> PastAccount:
    """Return the account as known in `snapshot`.

    A fill at an open is known from then on; one within a bar, as of a stop, when the bar has closed. Prices in the
    snapshot are those after all splits known by then, and so is the account.
    """
    now, closed = instant(snapshot.as_of), int(snapshot.bars.closes_at[-1])
    splits = recorded.splits_by(snapshot.as_of)
    known = [one for one in recorded.fills if one.at <= now and (one.why in ("", "open") or one.at < closed)]
    fills, ratios = in_new_shares(known, splits), ratios_of(splits)
    closes = [one for one in recorded.closes if one.at <= now]
    marks = {symbol: snapshot.last(symbol) for symbol in snapshot.symbols if snapshot.has(symbol)}
    opening = {symbol: held * ratios.get(symbol, 1.0) for symbol, held in recorded.opening.items()}
    shares = _shares(opening, fills)
    cash = _cash(recorded, fills, closes, snapshot)
    worth = sum(held * marks.get(symbol, 0.0) for symbol, held in shares.items())
    trips = _trips(fills, snapshot)
    exits: dict[str, Exits] = {}
    for decided_at, symbol, pair in recorded.exits:
        if decided_at <= snapshot.as_of:
            exits[symbol] = pair
    today = snapshot.as_of.astimezone(NEW_YORK).date()
    return PastAccount(
        Book(cash, {symbol: held for symbol, held in shares.items() if symbol in marks}, marks, cash + worth),
        trips,
        tuple((one.session, one.equity) for one in closes),
        {symbol: pair[0] for symbol, pair in exits.items() if symbol in shares and pair[0] is not None},
        {symbol: pair[1] for symbol, pair in exits.items() if symbol in shares and pair[1] is not None},
        sum(moment(trip.entry_at).astimezone(NEW_YORK).date() == today for trip in trips),
        None if recorded.opening else recorded.cash,  # at which prices shares were taken over is not on record
    )


def _of_run(folder: Path, account: str | None) -> Recorded:
    run = read_run(folder)
    days, columns = read_equity(folder, run, ("equity", "cash"))
    curves = account_curves(run, columns)
    own = account in (None, run["account"])
    if not own and account not in curves:
        raise UsageError(f'run {run["run_id"]} has no account "{account}"', mend=f"it has {', '.join(curves)}")
    books = read_books(folder, run, None if own else account)
    dollars = columns["equity"] if own else curves[str(account)]
    cash = columns["cash"].tolist() if own else [None] * len(days)
    return Recorded(
        account or run["account"] or "",
        tuple(run["symbols"]),
        run["cash"],
        list(books.fills),
        [Close(*one, _close_of(one[0])) for one in zip(days, dollars.tolist(), cash, strict=True)],
        [
            (datetime.fromisoformat(row["as_of"]), one["symbol"], (one.get("stop"), one.get("take_profit")))
            for row in books.decisions
            for one in row["targets"]
        ],
        until=moment(_close_of(days[-1])),
        strategy=run["strategy"],
        parameters=run["parameters"],
    )


def _of_forward(workspace: Workspace, folder: Path, account: str | None) -> Recorded:
    run = folder.name.rpartition("-")[2]
    with open_store(workspace) as store:
        events = [one.event for one in store.of_forward(run)]
    opening = next((one.payload["opening"] for one in events if "opening" in one.payload), dict[str, Opening]())
    primary = {one.id: one.primary for one in registrations(workspace.reports)}.get(run, next(reversed(opening), ""))
    name = account or primary
    if name not in opening:
        there = f"it has {', '.join(opening)}" if opening else "it holds nothing before its first session"
        raise UsageError(f'forward test {run} has no account "{name}"', mend=there)
    state, fills, closes, exits, splits = State(Origin(run, name)), list[Fill](), list[Close](), [], list[Split]()
    state.begin(opening[name])
    began = dict(state.shares)
    for event in events:
        if event.kind != "forward.split" and event.account != name:
            continue
        held, count = dict(state.protection), len(state.fills)
        state.apply(event.kind, event.payload)
        if event.kind == "forward.split":
            day = date.fromisoformat(event.payload["session"])
            splits.append(Split(str(event.payload["symbol"]), day, float(event.payload["ratio"])))
        if len(state.fills) > count:
            new = [*state.fills.values()][-1]
            fills.append(Fill(len(fills), new.symbol, new.at, new.quantity, new.price, 0.0, 0.0, ""))
        if event.kind == "forward.session":
            row = event.payload
            stated = date.fromisoformat(row["session"]), float(row["equity"]), float(row["cash"])
            told_at = _close_of(stated[0]) if event.at is None else instant(datetime.fromisoformat(event.at))
            closes.append(Close(*stated, told_at))
        if state.protection != held and event.at is not None:
            decided_at = datetime.fromisoformat(event.at)
            exits += [(decided_at, s, (p.stop, p.take_profit)) for s, p in state.protection.items()]
    started = next((one.payload for one in events if "symbols" in one.payload), {})
    data = folder / "data"
    return Recorded(
        name,
        tuple(started.get("symbols", ())),
        float(opening[name].get("cash", 0.0)),
        sorted(fills, key=lambda one: one.at),
        closes,
        exits,
        splits,
        began,
        data if data.is_dir() else None,
        strategy=started.get("strategy", ""),
        parameters=started.get("parameters", {}),
    )


def _close_of(session: date) -> int:
    return int(sessions(session, session).closes_at[0])


def _shares(opening: Mapping[str, float], fills: Sequence[Fill]) -> dict[str, float]:
    shares = dict(opening)
    for fill in fills:
        shares[fill.symbol] = shares.get(fill.symbol, 0.0) + fill.quantity
    return {symbol: held for symbol, held in shares.items() if abs(held) > 1e-9}


def _cash(
    recorded: Recorded,
    fills: Sequence[Fill],
    closes: Sequence[Close],
    snapshot: Snapshot,
) -> float:
    """Return dollars: those of the last close that was recorded, less what was traded since."""
    after, cash = -1, recorded.cash
    if closes:
        _, dollars, stated, after = closes[-1]
        if stated is None:
            then = _shares(recorded.opening, [one for one in fills if one.at <= after])
            row = int(np.searchsorted(snapshot.bars.closes_at, after, side="right"))
            known = snapshot.bars.rows(0, row).snapshot(snapshot.as_of)
            stated = dollars - sum(held * known.last(symbol) for symbol, held in then.items())
        cash = stated
    return cash - sum(f.quantity * f.price + f.slippage + f.commission for f in fills if f.at > after)


def _trips(fills: Sequence[Fill], snapshot: Snapshot) -> tuple[RoundTrip, ...]:
    bars = snapshot.bars
    known = [fill for fill in fills if fill.symbol in bars.columns]
    if not known or not len(bars):
        return ()
    # The opening of a bar stands for instants within it, and that of the last for what fills in the one after it.
    row = np.searchsorted(bars.opens_at, [fill.at for fill in known], side="right") - 1
    opens = bars.opens_at[np.clip(row, 0, len(bars) - 1)].tolist()
    numbered = [
        replace(fill, order_id=n, at=opened, why=fill.why or "open")
        for n, (fill, opened) in enumerate(zip(known, opens, strict=True))
    ]
    marks = {symbol: snapshot.last(symbol) for symbol in {fill.symbol for fill in known}}
    trips = History(bars).past(numbered, np.zeros(len(bars)).tolist(), marks, snapshot.as_of).trips
    return tuple(
        replace(
            trip,
            entry_at=known[trip.entry_order].at,
            exit_at=None if trip.exit_order is None else known[trip.exit_order].at,
            entry_order=known[trip.entry_order].order_id,
            exit_order=None if trip.exit_order is None else known[trip.exit_order].order_id,
        )
        for trip in trips
    )
