"""The shortlist of a meeting: of many symbols those that it is about. What is on it is shown, and nothing else may be
named.

    more symbols than `size` ─┬─► by rule: ranks of liquidity and momentum, added ──┬─► the best, and what may be held
                              └─► by the model in its seat, from SCREENED facts ────┘        (minutes of the one before)

    liquidity   median of close × volume over the newest 63 sessions, largest first
    momentum    return from 252 to 21 sessions ago, largest first whatever its sign, for shorts may be pitched as well

Ties, of a rank and of a sum of ranks, are broken by name. What may be held are the instruments pitched or approved at
the meeting before, and, where that one decided nothing or a manager gave no pitch, what may have been held then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simulator.council.answers import Picked
from simulator.council.context import Answered
from simulator.council.records import DecisionRecord
from simulator.market.bars import Bars, Snapshot
from simulator.market.daily import DailyBars, newest_days

if TYPE_CHECKING:
    from simulator.council.context import PipelineContext
    from simulator.council.spec import ShortlistSpec
    from simulator.trading.model import Decision

TRADED = 63
FROM, TO = 252, 21
SCREENED = (
    *("return_21_pct", "return_63_pct", "return_252_pct", "volatility_63_pct", "rsi_14"),
    *("sma_200_distance_pct", "drawdown_252_pct"),
)
"""Facts of each symbol that a model makes its list from, beside the close and ATR(14)."""


@dataclass(frozen=True)
class Shortlist:
    """Symbols a meeting is about, in the order they are traded in.

    Attributes
    ----------
    of : symbols that had a price
    by : criteria of the rule, or ``seat`` of the model
    held : those on it because they may be held
    answered : the model's answer; None by rule. Without a usable one the list is the rule's
    """

    symbols: tuple[str, ...]
    of: int
    by: str
    held: tuple[str, ...] = ()
    answered: Answered[Picked] | None = None


def shortlist_by_rule(market: Snapshot, spec: ShortlistSpec, held: Sequence[str]) -> Shortlist | None:
    """Return the list by rule of what is known at ``market.as_of``; None where all symbols fit on it."""
    priced = priced_symbols(market)
    if len(priced) <= spec.size:
        return None
    return make_shortlist(priced, rank_symbols(market, spec.rank_by), spec, held, " and ".join(spec.rank_by))


def make_shortlist(
    priced: Sequence[str], ranked: Sequence[str], spec: ShortlistSpec, held: Sequence[str], by: str
) -> Shortlist:
    """Return what may be held of `priced`, and the best `ranked` as far as there is room."""
    kept = [symbol for symbol in priced if symbol in held]
    room = max(0, spec.size - len(kept))
    chosen = {*kept, *[symbol for symbol in ranked if symbol not in kept][:room]}
    return Shortlist(tuple(symbol for symbol in priced if symbol in chosen), len(priced), by, tuple(kept))


def rank_symbols(market: Snapshot, by: Sequence[str]) -> tuple[str, ...]:
    """Return the symbols with a price, best first by the sum of their ranks in `by`."""
    symbols = priced_symbols(market)
    columns = [market.symbols.index(symbol) for symbol in symbols]
    days = newest_days(market.bars, columns, FROM + 1)
    rank = dict.fromkeys(symbols, 0)
    for name in by:
        value = _moves(days) if name == "momentum" else _dollars(market.bars, columns, days.first_row[-TRADED:])
        scores = dict(zip(symbols, value, strict=True))
        for n, symbol in enumerate(sorted(symbols, key=lambda s: (-scores[s], s))):
            rank[symbol] += n
    return tuple(sorted(symbols, key=lambda s: (rank[s], s)))


def _dollars(bars: Bars, columns: Sequence[int], starts: NDArray[np.intp]) -> list[float]:
    """Median dollars traded in a session, of the sessions that begin at rows `starts`."""
    first = int(starts[0])
    traded = np.nan_to_num(bars.close[first:, columns] * bars.volume[first:, columns])
    return [float(one) for one in np.median(np.add.reduceat(traded, starts - first, axis=0), axis=0)]


def _moves(days: DailyBars) -> list[float]:
    """Size of the move from 252 to 21 sessions ago, or from the first close where there are fewer."""
    found = []
    for column in days.close.T:
        known = column[~np.isnan(column)]
        recent = known[-1 - TO if len(known) > TO else -1 :][:1]
        found.append(abs(float(recent[0] / known[0]) - 1) if len(known) else 0.0)
    return found


def priced_symbols(snapshot: Snapshot) -> tuple[str, ...]:
    """Return the symbols that have had a bar by now."""
    newest = snapshot.bars.close[-1] if len(snapshot) else np.empty(0)
    return tuple(
        symbol
        for n, symbol in enumerate(snapshot.symbols)
        if len(newest) and (not np.isnan(newest[n]) or snapshot.has(symbol))
    )


def held_by_minutes(journal: Sequence[Decision]) -> tuple[str, ...]:
    """Return what may be held by the minutes of the meeting or checkpoint before."""
    record: DecisionRecord = journal[-1].record if journal else {}
    return tuple(record.get("may_hold", ()))


def may_hold(context: PipelineContext) -> list[str]:
    """Return the instruments that some account may hold after this meeting, in alphabetical order."""
    decision = None if context.chairman_decision is None else context.chairman_decision.value
    named = {pitch.instrument for pitch in context.pitches.values() if pitch.conviction}
    named |= {trade.instrument for trade in decision.approved_trades} if decision is not None else set()
    if context.shortlist is not None and (
        context.no_decision is not None or any(one.value is None for one in context.pm_pitches)
    ):
        named |= set(context.shortlist.held)
    return sorted(named)
