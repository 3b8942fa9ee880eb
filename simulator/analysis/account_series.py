"""An account of a run session by session, out of its folder alone, and what each of its positions earned in each.

equity.csv ──► returns, risk-free, benchmark ─┐
fills.csv, weights.csv ──► HeldPosition: dollars of a position in each session, from flat to flat
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path

import numpy as np

from simulator.analysis.explain import find_account
from simulator.errors import DataError
from simulator.evidence.reader import (
    Books,
    account_curves,
    folder_of_account,
    read_books,
    read_equity,
    read_run,
    read_weights,
)
from simulator.evidence.records import AccountRecord, RunRecord
from simulator.evidence.row_table import column_of
from simulator.evidence.rows import decided_by, exchange_times
from simulator.stats.metrics import alpha_beta, information_ratio
from simulator.stats.series import Floats, excess_over, split
from simulator.stats.trades import FLAT

_Fill = tuple[int, int, int, float, float, float]


@dataclass(frozen=True, eq=False)
class HeldPosition:
    """A position from flat to flat, or to the end: sessions as positions in those of the run, `last` None while held.

    `dollars` are what it earned in each session from `first` on, after costs, without dividends and interest; `before`
    what it was worth when each began. `closed_by` is the fill it ended with, by its place in fills.csv.
    """

    symbol: str
    side: str
    first: int
    last: int | None
    order: int
    closed_by: int
    dollars: Floats
    before: Floats

    @property
    def pnl(self) -> float:
        """Dollars earned in all."""
        return float(self.dollars.sum())

    @property
    def sessions(self) -> slice:
        """Sessions of `dollars`."""
        return slice(self.first, self.first + len(self.dollars))


@dataclass(frozen=True, eq=False)
class AccountSeries:
    """One account, or one benchmark, by session (T,): dollars at the close and before it, and returns.

    `values` and `reasons` are the figures that its run's pages show, by name. `free` is what idle cash returned, `hold`
    buy-and-hold, `basket` equal weight, None in folders that have none; `excess` the return over `free`, `over` that of
    buy-and-hold.
    `books` are decisions and fills, None of a benchmark.
    """

    run: RunRecord
    folder: Path
    name: str | None
    books: Books | None
    sessions: tuple[date, ...]
    equity: Floats
    returns: Floats
    free: Floats
    hold: Floats | None
    basket: Floats | None
    values: Mapping[str, object]
    reasons: Mapping[str, str]
    market: str = "buy-and-hold's"

    @cached_property
    def before(self) -> Floats:
        before: Floats = np.r_[self.run["cash"], self.equity[:-1]]
        return before

    @cached_property
    def excess(self) -> Floats:
        return excess_over(self.returns, self.free)

    @cached_property
    def over(self) -> Floats:
        return np.zeros(len(self.free)) if self.hold is None else self.hold - self.free

    @cached_property
    def weights(self) -> dict[str, Floats]:
        """Signed fraction of equity at the close by symbol; none of a benchmark."""
        if self.books is None:
            return {}
        place = folder_of_account(self.folder, self.run, self.name)
        sessions, found = read_weights(place, self.run)
        if sessions != self.sessions:
            mend = f"`{self.run['command']}` writes it again"
            raise DataError("has other sessions than equity.csv", where=str(place / "weights.csv"), mend=mend)
        return {symbol: np.nan_to_num(weight) for symbol, weight in found.items()}

    @cached_property
    def fills(self) -> dict[str, list[_Fill]]:
        """Fills by symbol: place in the file, session, order, quantity, dollars traded, costs."""
        found: dict[str, list[_Fill]] = {}
        if self.books is None or not len(self.books.fills):
            return found
        at = {str(day): n for n, day in enumerate(self.sessions)}
        times = exchange_times(np.array(column_of(self.books.fills, "at"), dtype=np.int64))
        for place, (time, fill) in enumerate(zip(times, self.books.fills, strict=True)):
            traded, costs = fill.quantity * fill.price, fill.slippage + fill.commission
            row = (place, at.get(time[:10], 0), fill.order_id, fill.quantity, traded, costs)
            found.setdefault(fill.symbol, []).append(row)
        return found

    @cached_property
    def held(self) -> tuple[HeldPosition, ...]:
        """Every position, in the order of its first fill."""
        found = (self._follow(symbol) for symbol in self.fills)
        return tuple(sorted((one for part in found for one in part), key=lambda one: one.first))

    def map_deciding_sessions(self) -> dict[int, str]:
        """{order: session of the decision behind it}."""
        if self.books is None:
            return {}
        behind = decided_by(self.books.decisions, self.books.orders)
        return {order: self.books.decisions[at]["session"] for order, at in behind.items()}

    def _follow(self, symbol: str) -> Iterator[HeldPosition]:
        """Yield the positions of a symbol; a fill that turns one around belongs to both, its costs by quantity."""
        worth = self.weights.get(symbol, np.zeros(len(self.equity))) * self.equity
        held, flows, opened = 0.0, list[tuple[int, float]](), 0
        for place, day, order, quantity, traded, costs in self.fills[symbol]:
            opened = order if held == 0.0 else opened
            left, paid = held + quantity, traded + costs
            flat = held != 0.0 and abs(left) <= FLAT * max(abs(quantity), abs(held))
            if flat or left * held < 0.0:
                share = 1.0 if flat else abs(held / quantity)
                yield _hold(symbol, held, (opened, place), [*flows, (day, -share * paid)], worth)
                flows, opened, left = [], order, 0.0 if flat else left
                paid *= 1.0 - share
            if left != 0.0:
                flows.append((day, -paid))
            held = left
        if held != 0.0:
            yield _hold(symbol, held, (opened, -1), flows, worth)


def _hold(symbol: str, held: float, by: tuple[int, int], flows: list[tuple[int, float]], worth: Floats) -> HeldPosition:
    """Return a position: each session earns the change of what it is worth at the close, and what was paid and got."""
    first, last = flows[0][0], flows[-1][0] if by[1] >= 0 else None
    own = worth[first : None if last is None else last + 1].copy()
    if last is not None:
        own[-1] = 0.0
    before = np.r_[0.0, own[:-1]]
    earned = own - before
    for day, dollars in flows:
        earned[day - first] += dollars
    return HeldPosition(symbol, "long" if held > 0 else "short", first, last, *by, earned, before)


def read_account(folder: Path, account: str | None = None) -> AccountSeries:
    """Return `account` of a run folder, the run's own where it is None; benchmarks go by their column of equity.csv.

    Raises UsageError for an account the run does not have, DataError for a damaged folder.
    """
    run = read_run(folder)
    benchmark = account in run["benchmarks"]
    name = account if benchmark else find_account(run, account)
    sessions, columns = read_equity(folder, run)
    if len(sessions) != run["sessions"]:  # its parts add up to no number of the run
        counts = f"holds {len(sessions)} sessions, run.json says {run['sessions']}"
        raise DataError(counts, where=str(folder / "equity.csv"), mend=f"`{run['command']}` writes it again")
    own = name == run["account"]
    equity = columns["equity"] if own else columns[str(name)] if benchmark else account_curves(run, columns)[str(name)]
    free, hold = columns.get("risk_free", np.zeros(len(equity))), columns.get("buy_and_hold")
    books = None if benchmark else read_books(folder, run, name)
    returns = _returns(equity, run["cash"])
    held = None if hold is None else _returns(hold, run["cash"])
    equal = columns.get("equal_weight")
    basket = None if equal is None else _returns(equal, run["cash"])
    values, reasons = _figures(run, name, benchmark)
    if held is not None and values.get("alpha") is None and values.get("information_ratio") is None:
        # Other accounts than the run's own were held against nothing in folders made before 0.2.
        relative = {**alpha_beta(returns, held, free), "information_ratio": information_ratio(returns, held)}
        known, why = split(relative)
        values, reasons = {**values, **known}, {**reasons, **why}
    return AccountSeries(run, folder, name, books, sessions, equity, returns, free, held, basket, values, reasons)


def _returns(equity: Floats, cash: float) -> Floats:
    """Return the simple returns of an account as the run measured them. What is left of nothing returns nothing."""
    before = np.r_[cash, equity[:-1]]
    alive = before != 0.0
    returns: Floats = np.where(alive, equity / np.where(alive, before, 1.0) - 1, 0.0)
    return returns


def _figures(run: RunRecord, name: str | None, benchmark: bool) -> tuple[dict[str, object], dict[str, str]]:
    if benchmark:
        values: dict[str, object] = dict(run["benchmarks"][str(name)])
        reasons = values.pop("reasons", None)
        return values, dict(reasons) if isinstance(reasons, Mapping) else {}
    entry = next((one for one in run["accounts"] if one["name"] == name), None)
    asked, why = _opinions(entry) if entry else ({}, {})
    if entry is None or name == run["account"]:
        return {**run["inference"], **run["metrics"], **asked}, {**run["reasons"], **why}
    ends = {"sharpe_ci_low": entry["sharpe_ci_low"], "sharpe_ci_high": entry["sharpe_ci_high"]}
    return {**ends, **entry["metrics"], **asked}, {**entry["reasons"], **why}


def _opinions(entry: AccountRecord) -> tuple[dict[str, object], dict[str, str]]:
    """Return what an account's answers cost, and how its convictions and the reviews of its pitches came out."""
    bill, convictions, reviews = entry["llm"], entry["calibration"], entry["reviews"]
    values: dict[str, object] = {"llm_cost": bill["cost_usd"]} if bill else {}
    reasons: dict[str, str] = {}
    if convictions:
        values["calibration"], reasons["calibration"] = convictions["ic"], convictions["reasons"].get("ic", "")
    if reviews:
        values["reviews"], reasons["reviews"] = reviews["correlation"], reviews["reasons"].get("correlation", "")
    return values, {name: why for name, why in reasons.items() if why}
