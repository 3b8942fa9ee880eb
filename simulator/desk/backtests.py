"""Backtests as the desk's tools see them: what is wanted, what came of it, and who makes them.

Wanted ──Backtester.run────► Backtest      within a replay on its bars so far: recorded there, no trial
       ──Backtester.sweep──► Sensitivity   for a person on those of the workspace: a run or a sweep on record, a trial
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol

from simulator.market.bars import Floats, Snapshot
from simulator.trading.model import RoundTrip

Setting = bool | int | float | str
Report = Callable[[int, int, str], None]
"""Called with what is done, of how much, and a word on it; what it raises ends the work."""


def unheard(_done: int, _total: int, _what: str) -> None:
    """Report to nobody."""


@dataclass(frozen=True)
class Wanted:
    """A backtest to make; `last` None = the last session that is over."""

    strategy: str
    symbols: tuple[str, ...]
    first: date
    last: date | None = None
    parameters: Mapping[str, Setting] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Backtest:
    """A backtest that was made.

    Attributes
    ----------
    id : name by which it is found again: that of the run, or of this instant of a replay
    counts : True where it is on record and counts as a trial
    cash : dollars it began with
    sessions, equity : (S,) days, and dollars at their closes
    trips : positions from flat to flat, by entry
    metrics, reasons : as `simulator.stats.metrics` has them, and why one is None
    p : of nothing earned beyond its own usual exposure, as the best of all tried; None for a reason
    trials : all that were tried, as the verdict counts them: of a sweep it is judged in p takes the members together
    verdict : the sentence that may be said of it
    notes : sentences a reader must know
    """

    id: str
    counts: bool
    wanted: Wanted
    cash: float
    sessions: tuple[date, ...]
    equity: Floats
    trips: Sequence[RoundTrip]
    metrics: Mapping[str, float | None]
    reasons: Mapping[str, str]
    p: float | None
    trials: float
    verdict: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """A strategy in many settings.

    Attributes
    ----------
    id : of the sweep, or of this instant of a replay
    counts : True where its members are on record and count as trials
    settings : of each member, N of them
    sharpe, total_return, max_drawdown : (N,) NaN where undefined
    p : (N,) of nothing beyond its own exposure, as one of all members
    best : member of the smallest p, of equals the largest ratio beyond its exposure; nearly idle ones cannot be it
    p_of_all : that of the best, with all that was tried beside these members
    overfitting : probability that the best one in sample is below the median out of sample; None for `reason`
    failed : {member: why it could not be played}
    """

    id: str
    counts: bool
    wanted: Wanted
    sessions: tuple[date, date]
    settings: Sequence[Mapping[str, Setting]]
    sharpe: Floats
    total_return: Floats
    max_drawdown: Floats
    p: Floats
    best: int
    p_of_all: float
    overfitting: float | None
    reason: str
    failed: Mapping[int, str]


class Backtester(Protocol):
    """Whoever makes backtests. Raises SimError for what cannot be made, and what `report` raises."""

    def run(self, wanted: Wanted, market: Snapshot, report: Report) -> Backtest:
        """Return the backtest `wanted`; nothing in it is later than `market`."""

    def find(self, name: str, market: Snapshot) -> Backtest:
        """Return the backtest that was made under that id, at this instant of a replay or on record."""

    def sweep(
        self, wanted: Wanted, swept: Mapping[str, Sequence[Setting]], market: Snapshot, report: Report
    ) -> Sensitivity:
        """Return `wanted` in every combination of the values `swept` {parameter: values}."""
