"""Validation of a forward test: money, recommendations, costs, executions, errors, uptime, and the verdict by account.

ForwardRecord, Registration ──► ForwardFacts ──► report.forward_page, docs/forward_test_results.md, --json
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from pathlib import Path

import numpy as np

from simulator.analysis.anytime import Course, ForwardVerdict, judge_forward, make_course
from simulator.config import load_config
from simulator.errors import DataError
from simulator.forward.project import project
from simulator.forward.records import DayRow, FillRow, ForwardRecord, OrderRow, PointState, Recommendation
from simulator.forward.registration import (
    FILE,
    MEND,
    Registration,
    count_trials,
    find_folder,
    read_registration,
    recorded_digest,
)
from simulator.stats.confidence_sequence import sessions_to_find
from simulator.stats.metrics import PERIODS
from simulator.stats.series import Floats, Undefined
from simulator.store.database import open_store
from simulator.store.events import Event, Stored
from simulator.workspace import Workspace

REFUSED = ("denied", "rejected", "unknown")
"""States of orders that did not become one at the broker, or of which that is not known."""
TAKEN_BACK = ("declined", "given up")
"""States of orders that were never sent: by a person, or for any other reason than a rule of the broker."""


@dataclass(frozen=True)
class Hits:
    """Recommendations whose direction came true, of those that are known: with a direction, and a bar since.

    `interval` is that of the share at 95 % (Wilson 1927), as of recommendations that are independent; `rising` is how
    many rose whatever was said: always saying "up" would have been right so often.
    """

    right: int
    of: int
    rising: int

    @property
    def share(self) -> float | None:
        return self.right / self.of if self.of else None

    @property
    def interval(self) -> tuple[float, float] | None:
        if self.share is None:
            return None
        z, n, p = 1.959963984540054, self.of, self.share
        half = z * math.sqrt(p * (1.0 - p) / n + z * z / (4.0 * n * n))
        middle, scale = p + z * z / (2.0 * n), 1.0 + z * z / n
        return (middle - half) / scale, (middle + half) / scale


@dataclass(frozen=True, eq=False)
class Approver:
    """The book as a person approved it, beside the one the strategy decided: its `verdict`, the equity `decided`
    (S + 1,) of the other, and the course of what the person `added`, a difference of returns by session. `unknown_from`
    is the first session that the other book does not have, None where it has all."""

    verdict: ForwardVerdict
    decided: Floats
    added: Course
    unknown_from: str | None = None


@dataclass(frozen=True, eq=False)
class AccountFacts:
    """An account at its last close. Its `verdict` is on what the strategy decided, all else on what was traded; where a
    person changed something between the two, `approver` is there.

    `path` (S + 1,) is its equity from the start; `accruals` are dollars replay's rules book and the broker does not,
    `unexplained` the largest difference of a day that they leave; `slippage` dollars lost against the prices that
    replay fills at, `slippage_bps` of what was traded, None where no recorded bar tells.
    """

    name: str
    number: str
    verdict: ForwardVerdict
    path: Floats
    accruals: float
    unexplained: float | None
    costs: float
    orders: int
    refused: tuple[OrderRow, ...]
    taken_back: tuple[OrderRow, ...]
    fills: tuple[FillRow, ...]
    slippage: float | None
    slippage_bps: float | None
    approver: Approver | None = None

    @property
    def not_sent(self) -> dict[str, int]:
        """Number of orders that were refused, declined by a person, or given up for another reason."""
        states = Counter[str](one.state for one in self.taken_back)
        return {"refused": len(self.refused), **{name.replace(" ", "_"): states[name] for name in TAKEN_BACK}}

    @property
    def equity(self) -> float:
        return float(self.path[-1])

    @property
    def pnl(self) -> float:
        return self.equity - float(self.path[0])

    @property
    def total_return(self) -> float:
        return self.equity / float(self.path[0]) - 1.0

    @property
    def max_drawdown(self) -> float:
        """Largest fall from a close before it, ≤ 0."""
        return float((self.path / np.maximum.accumulate(self.path) - 1.0).min())


@dataclass(frozen=True, eq=False)
class ForwardFacts:
    """All a report shows.

    Attributes
    ----------
    sessions : dates on which the loop or an account has a row
    accounts : the primary one first
    held : (S + 1,) growth of all symbols held in equal parts from the start, with dividends, before costs
    hits, hits_by_symbol : recommendations that came true
    points : {state: how many due points ended so}
    cost_usd, expected : dollars of models, and what their plan expected so far: low, likely, high
    requests, failed : to broker and models, and those that failed or whose order the broker refused
    minutes, alive : the exchange was open, and of those the loop was at work
    """

    record: ForwardRecord
    registration: Registration
    sessions: tuple[str, ...]
    accounts: tuple[AccountFacts, ...]
    held: Floats
    hits: Hits
    hits_by_symbol: dict[str, Hits]
    points: dict[PointState, int]
    calls: int
    cost_usd: float
    expected: tuple[float, float, float] | None
    requests: int
    failed: int
    restarts: int
    minutes: float
    alive: float

    @property
    def primary(self) -> AccountFacts:
        return self.accounts[0]

    @property
    def error_rate(self) -> float | None:
        """Share of requests that failed, or whose order the broker refused."""
        return self.failed / self.requests if self.requests else None

    @property
    def uptime(self) -> float | None:
        """Share of the exchange's open minutes with a heartbeat."""
        return self.alive / self.minutes if self.minutes else None

    @property
    def executed(self) -> float | None:
        """Share of due points that were held, late ones too."""
        due = sum(self.points.values())
        return (self.points["done"] + self.points["late"]) / due if due else None


Decided = Callable[[Workspace, str, Path, ForwardRecord], Mapping[str, Sequence[DayRow]]]
"""Returns the days of a test as its strategy decided them, by account: `rehearsal.shadow.decided_days`."""


def read_facts(workspace: Workspace, name: str = "last", decided: Decided | None = None) -> tuple[Path, ForwardFacts]:
    """Return the folder and the facts of the forward test, or rehearsal, that `name` stands for, by all its events.
    Without `decided` the verdict is on the book as it was approved. Raises as `read_test` and `gather_facts`."""
    folder, record, said, trials = read_test(workspace, name)
    days = {} if decided is None else decided(workspace, record.registration, folder, record)
    return folder, gather_facts(record, said, trials, days)


def read_test(
    workspace: Workspace, name: str = "last", stored: Sequence[Stored] | None = None
) -> tuple[Path, ForwardRecord, Registration, int]:
    """Return folder, record and registration of the forward test, or rehearsal, that `name` stands for, and the number
    of tests of its strategy on record; `stored` are its events, where they were read.

    Raises UsageError for a test there is not, DataError for a registration that is not the one on record.
    """
    folder = find_folder(workspace.reports, name)
    run = folder.name.rpartition("-")[2]
    with open_store(workspace) as store:
        stored = store.of_forward(run) if stored is None else stored
        if (folder / FILE).exists():
            said = read_registration(folder / FILE)
            if recorded_digest(said.id, store) != said.digest:
                raise DataError("the registration is not the one on record", where=str(folder / FILE), mend=MEND)
            trials = count_trials(said, workspace.reports, store)
        else:
            said, trials = _stand_in([one.event for one in stored], folder, workspace), 1
    return folder, project(run, stored, said), said, trials


def _stand_in(events: Sequence[Event], folder: Path, workspace: Workspace) -> Registration:
    """Return the registration that an older rehearsal, which registered nothing, stands under."""
    given = next((one.payload for one in events if one.kind == "forward.started" and "symbols" in one.payload), None)
    accounts: Mapping[str, object] = next((one.payload["opening"] for one in events if "opening" in one.payload), {})
    if given is None or not accounts:
        raise DataError("nothing is on record of it", where=str(folder), mend="run it again: `sim rehearse`")
    found = sessions_to_find(1.0 / math.sqrt(PERIODS))
    needed = 0 if isinstance(found, Undefined) else int(found)
    return Registration(
        strategy=str(given["strategy"]), files={}, prompts={}, models={}, parameters=dict(given["parameters"]),
        config="", code="", symbols=tuple(given["symbols"]), benchmark="its own usual exposure",
        question="none: a rehearsal registers nothing", primary=[*accounts][-1], smallest_edge=1.0,
        sessions_needed=needed, accounts=dict.fromkeys(accounts, ""),
        registered_at=str(given["first"]), cash_instrument=load_config(workspace.config).assets.cash_instrument,
    )  # fmt: skip


def gather_facts(
    record: ForwardRecord,
    registration: Registration,
    trials: int = 1,
    decided: Mapping[str, Sequence[DayRow]] | None = None,
) -> ForwardFacts:
    """Return the facts of a test so far; `trials` are the tests of its strategy on record, `decided` the days of
    accounts as the strategy decided them where a person changed that. Raises DataError as `anytime.forward_series`."""
    names = sorted(record.accounts, key=lambda name: name != registration.primary)
    days = {row.session for row in record.days} | {row.session for row in record.sessions}
    first = [day for day in record.days if day.account == names[0]]
    told = [(one, _came_true(one, later, first)) for one, later in _pair_with_next(record.recommendations)]
    hits = {symbol: _count(one for one in told if one[0].symbol == symbol) for symbol in registration.symbols}
    states: tuple[PointState, ...] = ("done", "late", "missed", "failed")
    loop, planned = record.sessions, record.expected_cost
    cost = (planned.low, planned.likely, planned.high) if planned else registration.expected_usd
    return ForwardFacts(
        record=record,
        registration=registration,
        sessions=tuple(sorted(days)),
        accounts=tuple(_account(record, registration, name, trials, (decided or {}).get(name)) for name in names),
        held=_grow_equally(first, registration.symbols),
        hits=_count(iter(told)),
        hits_by_symbol={symbol: one for symbol, one in hits.items() if one.of},
        points={state: sum(point.state == state for point in record.points) for state in states},
        calls=sum(row.calls for row in loop),
        cost_usd=math.fsum(row.cost_usd for row in loop),
        expected=None if cost is None else (cost[0] * len(loop), cost[1] * len(loop), cost[2] * len(loop)),
        requests=sum(row.requests + row.calls for row in loop),
        failed=sum(row.failed + row.failed_calls for row in loop),
        restarts=sum(row.restarts for row in loop),
        minutes=math.fsum(row.minutes for row in loop),
        alive=math.fsum(min(row.alive, row.minutes) for row in loop),
    )


def _account(
    record: ForwardRecord, registration: Registration, name: str, trials: int, decided: Sequence[DayRow] | None
) -> AccountFacts:
    days = [day for day in record.days if day.account == name]
    orders = [order for order in record.orders if order.account == name]
    fills = tuple(fill for fill in record.fills if fill.account == name)
    known = [fill for fill in fills if fill.reference is not None]
    traded = math.fsum(abs(fill.quantity * fill.price) for fill in known)
    lost = math.fsum(fill.slippage or 0.0 for fill in known) if known else None
    left = [day.unexplained for day in days if day.unexplained is not None]
    verdict, approver = judge_forward(record, registration, name, trials), None
    if decided is not None:
        approver = _compare(verdict, days, decided, record.cash[name])
        verdict = judge_forward(replace(record, days=tuple(decided)), registration, name, trials)
    return AccountFacts(
        name=name,
        number=registration.accounts.get(name, ""),
        verdict=verdict,
        path=np.array([record.cash[name], *(day.equity for day in days)]),
        accruals=math.fsum(day.accruals.total for day in days),
        unexplained=max(left, key=abs) if left else None,
        costs=math.fsum(day.costs for day in days),
        orders=len(orders),
        refused=tuple(order for order in orders if order.state in REFUSED),
        taken_back=tuple(order for order in orders if order.state in TAKEN_BACK),
        fills=fills,
        slippage=lost,
        slippage_bps=lost / traded * 1e4 if lost is not None and traded else None,
        approver=approver,
    )


def _compare(approved: ForwardVerdict, days: Sequence[DayRow], decided: Sequence[DayRow], cash: float) -> Approver:
    """Return what a person added, on the sessions that both books have."""
    traded = {day.session: day.equity for day in days}
    both = [day for day in decided if day.session in traded]
    paths = np.array([[cash, *(traded[day.session] for day in both)], [cash, *(day.equity for day in both)]])
    earned = paths[:, 1:] / paths[:, :-1] - 1.0
    added = make_course(tuple(day.session for day in both), np.empty(0), earned[0] - earned[1], 1)
    there = {day.session for day in decided}
    unknown = next((day.session for day in days if day.session not in there), None)
    return Approver(approved, np.array([cash, *(day.equity for day in decided)]), added, unknown)


def _grow_equally(days: Sequence[DayRow], symbols: Sequence[str]) -> Floats:
    """(S + 1,) mean growth of the symbols from the first open on; one counts from its first bar on."""
    growth = np.ones((len(days) + 1, len(symbols)))
    for t, day in enumerate(days):
        moves = [
            [(1.0 + bar.moves.get(symbol, 0.0)) / (1.0 + bar.overnight.get(symbol, 0.0)) for symbol in symbols]
            for bar in day.held
        ]
        growth[t + 1] = growth[t] * np.prod(np.array(moves), axis=0)
    return np.asarray(growth.mean(axis=1))


def _pair_with_next(told: Sequence[Recommendation]) -> Iterator[tuple[Recommendation, str | None]]:
    """Yield each recommendation with the instant of the next on its symbol."""
    for _, group in groupby(sorted(told, key=lambda one: (one.symbol, one.at)), key=lambda one: one.symbol):
        same = list(group)
        yield from zip(same, [*(one.at for one in same[1:]), None], strict=True)


def _came_true(one: Recommendation, later: str | None, days: Sequence[DayRow]) -> tuple[bool, bool] | None:
    """(came true, rose) over the bars that opened at or after it and before the next; None where that is not known."""
    # To want the same again is to say the same again.
    said = (one.weight - one.before or one.weight) if one.conviction is None else float(one.conviction)
    start, end = datetime.fromisoformat(one.at), None if later is None else datetime.fromisoformat(later)
    moved, seen = 1.0, False
    for bar in (bar for day in days if day.session >= one.session for bar in day.held if one.symbol in bar.moves):
        at = datetime.fromisoformat(bar.at)
        if at >= start and (end is None or at < end):
            moved, seen = moved * (1.0 + bar.moves[one.symbol]), True
    if not said or not seen or moved == 1.0:
        return None
    return (said > 0) == (moved > 1.0), moved > 1.0


def _count(told: Iterator[tuple[Recommendation, tuple[bool, bool] | None]]) -> Hits:
    known = [outcome for _, outcome in told if outcome is not None]
    return Hits(sum(right for right, _ in known), len(known), sum(rose for _, rose in known))
