"""Accounts held against each other session by session: the difference of two Sharpe ratios is surer than either."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from simulator.analysis.verdict import judged_sessions, withheld
from simulator.evidence.reader import Series, account_curves
from simulator.evidence.records import AccountRecord, RunRecord
from simulator.number_format import UNDEFINED, number_of

if TYPE_CHECKING:  # loaded where something is compared
    from simulator.stats.compare import SharpeDifference
    from simulator.stats.series import Undefined

BENCHMARKS = {"buy_and_hold": "Buy-and-hold", "exposure_matched": "Same exposure"}
"""Holding the symbols, and holding them as much as the run did. Equal weight would ask the first question again."""

DRAWS = 1_000
"""Enough to place p among 0.03, 0.05 and 0.07; ten years then take a tenth of a second for each benchmark."""

DRAWS_FOR_BEST = 2_000

REMEMBERED = "not assessable, too few sessions after the models' cut-off"


@dataclass(frozen=True)
class Paired:
    """The Sharpe ratio of one account less that of another, a year, with a 95 % interval and a two-sided p.

    Ledoit & Wolf (2008): HAC-studentised circular block bootstrap on the same sessions, seed 0. `detectable` is the
    difference that would be found four times in five. All None where undefined, and `why` says so.
    """

    benchmark: str
    label: str
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    detectable: float | None = None
    verdict: str = UNDEFINED
    why: str = ""


def against_benchmarks(run: RunRecord, equity: Mapping[str, Series]) -> tuple[Paired, ...]:
    """Return the run less each benchmark with a curve in equity.csv, on the sessions that are judged; none below 60."""
    if withheld(run):
        return ()
    return tuple(
        _pair(key, label, equity, equity[key], run, DRAWS) for key, label in BENCHMARKS.items() if key in equity
    )


def rank_accounts(run: RunRecord) -> list[AccountRecord]:
    """Return ``accounts`` by Sharpe ratio, the best first; those without one last, in their own order.

    By total return where the run is too short for annualised figures: what is withheld orders nothing.
    """
    key = "total_return" if withheld(run) else "sharpe"

    def place(account: AccountRecord) -> float:
        value = number_of(account["metrics"].get(key))
        return np.inf if value is None else -value

    return sorted(run["accounts"], key=place)


def against_best(run: RunRecord, equity: Mapping[str, Series]) -> Paired | None:
    """Return the council less its best member, `label` its name; None without members. `equity` as in `Evidence`."""
    others = [one for one in rank_accounts(run) if one["name"] != run["account"]]
    best = next((one["name"] for one in others if number_of(one["metrics"].get("sharpe")) is not None), "")
    other = account_curves(run, equity).get(best)
    if other is None:
        return None
    if withheld(run):
        return Paired(best, best, why="too few sessions")
    return _pair(best, best, equity, other, run, DRAWS_FOR_BEST)


def returns_of(equity: Series, cash: float) -> Series:
    """(T,) simple returns at each close, the first one from `cash`."""
    before: Series = np.r_[cash, equity[:-1]]
    return equity / before - 1.0


def _pair(key: str, label: str, equity: Mapping[str, Series], other: Series, run: RunRecord, draws: int) -> Paired:
    from simulator.stats.series import Undefined

    own = equity["equity"]
    free = np.nan_to_num(equity.get("risk_free", np.zeros_like(own)))
    if not (np.isfinite(own).all() and np.isfinite(other).all() and min(own.min(), other.min()) > 0):
        return Paired(key, label, why="an account was lost")
    if np.ptp(own) == 0:
        return Paired(key, label, why="no position was held")
    judged, cash = judged_sessions(run), run["cash"]
    if judged is None:
        return Paired(key, label, why=REMEMBERED)
    kept = slice(len(own) - judged, None)
    judged_returns = (returns_of(own, cash)[kept], returns_of(other, cash)[kept], free[kept])
    found = _compare(*(series.tobytes() for series in judged_returns), draws=draws)
    if isinstance(found, Undefined):
        return Paired(key, label, why=found.reason)
    verdict = {"the first is better": "better", "the second is better": "worse"}.get(found.verdict, found.verdict)
    verdict = f"{verdict}, borderline" if found.borderline else verdict
    return Paired(key, label, found.difference, found.low, found.high, found.p, found.detectable, verdict)


@lru_cache(maxsize=8)
def _compare(first: bytes, second: bytes, risk_free: bytes, draws: int) -> SharpeDifference | Undefined:
    # The page and the terminal say the same of the same accounts.
    from simulator.stats.compare import compare

    return compare(np.frombuffer(first), np.frombuffer(second), np.frombuffer(risk_free), draws=draws)
