"""Rules that no agent can talk its way around: each proposal is held against all of them, and every veto is kept.

Proposal ──► risk per trade, position, sector, stop, daily loss, losses in a row, no revenge, entries a day ──► vetoes
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np

from simulator.desk.formulas import WIDEST_STOP
from simulator.desk.state import DeskState
from simulator.market.bars import instant, moment
from simulator.market.calendar import NEW_YORK, day_number
from simulator.trading.model import RoundTrip

LOSSES_IN_A_ROW = 3
"""Losing round trips, one after the other, after which nothing is entered in that session and the next."""
RESTING_SESSIONS = 2
"""Sessions within which a symbol is not entered again after a losing exit."""
ENTRIES_A_DAY = 3
DAILY_LOSS = 0.02
"""Fraction of the day's first equity; beyond it nothing is entered until tomorrow."""

SLACK = 1e-9
"""By how much a limit may be passed: rounding is not a reason to refuse."""


@dataclass(frozen=True)
class Proposal:
    """A long entry that somebody wants: shares, and dollars a share. `stop` None = without one."""

    symbol: str
    shares: float
    entry: float
    stop: float | None


@dataclass(frozen=True)
class Veto:
    """A rule that forbids a proposal, with the numbers that say so."""

    rule: str
    symbol: str
    why: str


def find_vetoes(wanted: Proposal, state: DeskState) -> tuple[Veto, ...]:
    """Return every rule that forbids `wanted` as of the state; () where it may be ordered."""
    found = ((rule, check(wanted, state)) for rule, check in RULES.items())
    return tuple(Veto(rule, wanted.symbol, why) for rule, why in found if why is not None)


def check_risk(wanted: Proposal, state: DeskState) -> str | None:
    if wanted.stop is None:
        return "has no stop, so its risk has no limit"
    risk = (wanted.entry - wanted.stop) * wanted.shares / state.book.equity if state.book.equity > 0.0 else math.inf
    most = state.caps.risk
    return f"{risk:.2%} of equity at risk, most is {most:.2%}" if risk > most + SLACK else None


def check_position(wanted: Proposal, state: DeskState) -> str | None:
    if state.book.equity <= 0.0:
        return "no equity is left"
    held = state.book.positions.get(wanted.symbol, 0.0)
    weight = (held + wanted.shares) * wanted.entry / state.book.equity
    most = state.caps.position
    return f"{weight:.2%} of equity, most is {most:.2%}" if weight > most + SLACK else None


def check_sector(wanted: Proposal, state: DeskState) -> str | None:
    sector = state.sector(wanted.symbol)
    added = wanted.shares * wanted.entry / state.book.equity if state.book.equity > 0.0 else math.inf
    weight, most = state.sector_weight(sector) + added, state.caps.sector
    return f"{weight:.2%} of equity in {sector}, most is {most:.2%}" if weight > most + SLACK else None


def check_stop(wanted: Proposal, _: DeskState) -> str | None:
    if wanted.stop is None:
        return "has no stop"
    if not 0.0 < wanted.stop < wanted.entry:
        return f"stop {wanted.stop:.2f} is not below the entry {wanted.entry:.2f}"
    width = 1.0 - wanted.stop / wanted.entry
    return f"stop {width:.2%} below the entry, most is {WIDEST_STOP:.0%}" if width > WIDEST_STOP + SLACK else None


def check_daily_loss(_: Proposal, state: DeskState) -> str | None:
    first = state.equity[-1][1] if state.equity else state.book.equity
    lost = 1.0 - state.book.equity / first if first > 0.0 else 1.0
    return f"{lost:.2%} lost today, most is {DAILY_LOSS:.0%}" if lost >= DAILY_LOSS - SLACK else None


def check_losses(_: Proposal, state: DeskState) -> str | None:
    ended = sorted((trip for trip in state.trips if trip.exit_at is not None), key=lambda trip: trip.exit_at or 0)
    last = ended[-LOSSES_IN_A_ROW:]
    if len(last) < LOSSES_IN_A_ROW or any(trip.pnl >= 0.0 for trip in last):
        return None
    # The run begins anew after it has been rested for: only one that ended in this session or the one before counts.
    since = sessions_since(last[-1], state)
    return f"{LOSSES_IN_A_ROW} losing trades in a row, the last {since} sessions ago" if since <= 1 else None


def check_revenge(wanted: Proposal, state: DeskState) -> str | None:
    lost = [
        sessions_since(trip, state)
        for trip in state.trips
        if trip.symbol == wanted.symbol and trip.exit_at is not None and trip.pnl < 0.0
    ]
    since = min(lost, default=None)
    if since is None or since > RESTING_SESSIONS:
        return None
    return f"left at a loss {since} sessions ago, not entered again within {RESTING_SESSIONS}"


def check_entries(_: Proposal, state: DeskState) -> str | None:
    return f"{state.entries_today} entries today" if state.entries_today >= ENTRIES_A_DAY else None


RULES: Mapping[str, Callable[[Proposal, DeskState], str | None]] = {
    "risk per trade": check_risk,
    "position": check_position,
    "sector": check_sector,
    "stop": check_stop,
    "daily loss": check_daily_loss,
    "losses in a row": check_losses,
    "no revenge": check_revenge,
    "entries a day": check_entries,
}
"""{rule: function that says why it forbids a proposal, None where it does not}."""


def sessions_since(trip: RoundTrip, state: DeskState) -> int:
    """Return the sessions from the exit of `trip` to now: 0 in the session of the exit."""
    left = moment(trip.exit_at or 0).astimezone(NEW_YORK).date()
    today: date = moment(instant(state.snapshot.as_of)).astimezone(NEW_YORK).date()
    days = np.unique(state.snapshot.bars.session_of)
    known = int(((days > day_number(left)) & (days <= day_number(today))).sum())
    # Before its first bar has closed, today's session is not among the bars.
    return known + (bool(len(days)) and int(days[-1]) < day_number(today) and left < today)
