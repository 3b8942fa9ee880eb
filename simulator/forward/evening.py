"""The end of a session: books against the broker, a row of the day for each account. A row that cannot be written,
for want of bars or of a broker's answer, is owed, and made good as soon as both are there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Protocol

from simulator.forward.agenda import MORNING, Due
from simulator.forward.day import day_row
from simulator.forward.protocols import Known
from simulator.forward.trader import Tell, Trader
from simulator.market.bars import moment
from simulator.store.events import Kind
from simulator.trading.orders import session_hours

SOON, LATER = timedelta(minutes=5), timedelta(hours=1)
"""Time between two attempts on a row that is owed: while the broker's account is still that of the close, and then."""


class Record(Protocol):
    """Puts an event on record, and applies it."""

    def __call__(self, kind: Kind, at: datetime, account: str | None, payload: Mapping[str, Any]) -> None: ...


Work = Callable[[Trader], Awaitable[None]]


@dataclass(eq=False)
class Evening:
    """Ends of sessions of `traders`, and which of their rows are on record.

    `known` reads knowledge, and takes it into the books where its flag says so; `settle` sees to an account as ever;
    `each` does it side by side, True where it was done. `is_closed` asks the broker whether a session was held at all.
    """

    traders: Sequence[Trader]
    known: Callable[[datetime, bool], Awaitable[Known | None]]
    settle: Work
    each: Callable[[Work, Sequence[Trader]], Awaitable[list[bool]]]
    is_closed: Callable[[str], Awaitable[bool]]
    inputs: Callable[[], Mapping[str, object]]
    record: Record
    tell: Tell
    rows: set[tuple[str, str | None]] = field(default_factory=set)
    """(session, account) of rows on record; the account is None for that of the loop itself."""
    owed: list[Due] = field(default_factory=list)
    """Ends of which a row is missing, oldest first."""
    again_at: datetime | None = None
    """Instant of the next attempt on what is owed."""
    _traffic: tuple[int, int] = (0, 0)

    def is_booked(self, day: str) -> bool:
        """Return True where the session has all its rows; accounts that are left alone get none."""
        names = [None, *(one.name for one in self.traders if not one.barred)]
        return all((day, name) in self.rows for name in names)

    async def close(self, due: Due, now: datetime) -> None:
        """Book the end `due`, after those that are owed."""
        self.owed.append(due)
        await self.make_good(now)

    async def make_good(self, now: datetime) -> None:
        """Write the rows that are owed, those of an account in the order of its sessions."""
        behind = set[str]()
        for due in list(self.owed):
            if self.is_booked(due.name) or await self._book(due, now, behind):
                self.owed.remove(due)
        self.again_at = None
        if self.owed:
            self.again_at = now + (SOON if now < moment(self.owed[-1].at) + MORNING else LATER)

    async def _book(self, due: Due, now: datetime, behind: set[str]) -> bool:
        """Write what rows of `due` can be written; return True where none is missing any more."""
        at, day = moment(due.at), due.name
        tonight = now < session_hours(at)[0] - MORNING  # later on, the splits of the next session are in the books
        in_time = now < at + MORNING
        known = await self.known(at, tonight)
        if known is None:
            behind.update(one.name for one in self.traders)
            return not tonight and await self.is_closed(day)

        async def one(trader: Trader) -> None:
            if tonight:
                await trader.review(at, self.record, self.tell)
                trader.guard.stirred = True
                await self.settle(trader)
            else:
                await trader.book_fills(self.record, self.tell)
            account = await trader.broker.account()
            await trader.check_shares(now, account.positions, self.record, self.tell)
            if in_time:
                await trader.reconcile(at, account, self.record, self.tell)
            row = day_row(trader, known, date.fromisoformat(day), account if in_time else None)
            self.record("forward.session", at, trader.name, row)

        among = [one for one in self.traders if (day, one.name) not in self.rows and one.name not in behind]
        done = await self.each(one, among)
        behind.update(one.name for one, ok in zip(among, done, strict=True) if not ok)
        if (day, None) not in self.rows:
            asked, failed = (sum(one.broker.traffic[k] for one in self.traders) for k in (0, 1))
            counts = {"requests": asked - self._traffic[0], "failed": failed - self._traffic[1]}
            self._traffic = asked, failed
            self.record("forward.session", at, None, {"session": day, **counts, "inputs": self.inputs()})
        for trader in self.traders if tonight else ():
            trader.guard.asleep = True  # until the night's splits are known
        return self.is_booked(day)
