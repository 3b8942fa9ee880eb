"""Rules that no agent can talk its way around: each proposal is held against all of them, and every veto is kept.

Proposal ──► risk per trade, position, sector, stop, daily loss, losses in a row, no revenge, entries a day ──► vetoes
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from simulator.desk.state import DeskState
from simulator.market import calendar
from simulator.market.bars import moment
from simulator.trading.model import RoundTrip
from simulator.trading.risk import Entry

NO_EQUITY = "no equity is left"
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


def _entry(wanted: Proposal, state: DeskState) -> Entry:
    book, paid = state.book, wanted.shares * wanted.entry
    position = (book.positions.get(wanted.symbol, 0.0) + wanted.shares) * wanted.entry
    sector = state.sector_weight(state.sector(wanted.symbol)) * book.equity + paid
    return Entry(wanted.shares, wanted.entry, wanted.stop, position, sector, book.equity)


# Each limit is asked as "not within it", so that what is no number (NaN) is refused by all.


def check_risk(wanted: Proposal, state: DeskState) -> str | None:
    if wanted.stop is None:
        return "has no stop, so its risk has no limit"
    if not state.book.equity > 0.0:
        return NO_EQUITY
    risk, most = _entry(wanted, state).risk, state.caps.risk
    return None if risk <= most + SLACK else f"{risk:.2%} of equity at risk, most is {most:.2%}"


def check_position(wanted: Proposal, state: DeskState) -> str | None:
    if not state.book.equity > 0.0:
        return NO_EQUITY
    if not (wanted.shares > 0.0 and wanted.entry > 0.0):
        return f"{wanted.shares:g} shares at {wanted.entry:g} are no purchase"
    weight, most = _entry(wanted, state).weight, state.caps.position
    return None if weight <= most + SLACK else f"{weight:.2%} of equity, most is {most:.2%}"


def check_sector(wanted: Proposal, state: DeskState) -> str | None:
    if not state.book.equity > 0.0:
        return NO_EQUITY
    weight, most = _entry(wanted, state).sector_weight, state.caps.sector
    where = state.sector(wanted.symbol)
    return None if weight <= most + SLACK else f"{weight:.2%} of equity in {where}, most is {most:.2%}"


def check_stop(wanted: Proposal, state: DeskState) -> str | None:
    if wanted.stop is None:
        return "has no stop"
    if not 0.0 < wanted.stop < wanted.entry:
        return f"stop {wanted.stop:.2f} is not below the entry {wanted.entry:.2f}"
    width, most = _entry(wanted, state).width, state.caps.stop
    return None if width <= most + SLACK else f"stop {width:.2%} below the entry, most is {most * 100:g}%"


def check_daily_loss(_: Proposal, state: DeskState) -> str | None:
    first = state.book.equity if state.first_equity is None else state.first_equity
    lost = 1.0 - state.book.equity / first if first > 0.0 else 1.0
    most = state.caps.daily_loss
    return None if lost < most - SLACK else f"{lost:.2%} lost today, most is {most * 100:g}%"


def check_losses(_: Proposal, state: DeskState) -> str | None:
    ended = sorted((trip for trip in state.trips if trip.exit_at is not None), key=lambda trip: trip.exit_at or 0)
    count = state.caps.losses_in_a_row
    last = ended[-count:]
    if len(last) < count or any(trip.pnl >= 0.0 for trip in last):
        return None
    # It is rested in the session of the last loss and in the next.
    since = sessions_since(last[-1], state)
    return f"{count} losing trades in a row, the last {since} sessions ago" if since <= 1 else None


def check_revenge(wanted: Proposal, state: DeskState) -> str | None:
    lost = [
        sessions_since(trip, state)
        for trip in state.trips
        if trip.symbol == wanted.symbol and trip.exit_at is not None and trip.pnl < 0.0
    ]
    since = min(lost, default=None)
    most = state.caps.resting_sessions
    if since is None or since > most:
        return None
    return f"left at a loss {since} sessions ago, not entered again within {most}"


def check_entries(_: Proposal, state: DeskState) -> str | None:
    return f"{state.entries_today} entries today" if state.entries_today >= state.caps.entries_a_day else None


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

CLOSING = ("daily loss", "losses in a row", "no revenge", "entries a day")
"""Rules that forbid an entry of any size: one that waits at its limit is withdrawn. By the others it was sized when it
was sent, and a price that moves since is no reason to take it back."""


def sessions_since(trip: RoundTrip, state: DeskState) -> int:
    """Return the sessions from the exit of `trip` to now: 0 in the session of the exit."""
    left = moment(trip.exit_at or 0).astimezone(calendar.NEW_YORK).date()
    return len(calendar.sessions(left + timedelta(days=1), state.today))
