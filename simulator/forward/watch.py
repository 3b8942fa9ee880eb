"""Watch over a loop: its log and heartbeat, alerts, the switches others throw, and what an account may lose in a day.

each poll   look ──► kill switch, SIGTERM: StoppedError      a beat, when one is due
each wait   beat_while(models, broker) ──► beats   look_while(data, models) ──► StoppedError
each point  refuse_entries ──► paused, day's loss spent ──► without_entries(intent): exits alone
anything    tell ──► log       alert ──► log, store, channels
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from simulator.errors import SimError
from simulator.files import write_file
from simulator.forward.alerts import Alert, Alerts, Deliver, Kind
from simulator.forward.log import Log
from simulator.forward.market_data import Quote
from simulator.forward.notify import notify
from simulator.forward.quotes import write_quotes
from simulator.forward.settings import Forward
from simulator.forward.switches import STOP, Heartbeat, Switches, beat, read_switches, throw
from simulator.market.calendar import NEW_YORK
from simulator.trading.cycle import Intent
from simulator.trading.model import Book, Decision, Order, Rejection
from simulator.trading.orders import Ticket
from simulator.workspace import Workspace

if TYPE_CHECKING:
    from simulator.forward.closing import Owed

T = TypeVar("T")

LOOK_S = 1.0
"""Between two looks at the switches while data or models are waited for."""
LONGEST_S = 3600.0
"""Seconds that one piece of work may take before the heart stops."""

Record = Callable[[str, datetime, str, Mapping[str, Any]], None]
"""Puts an event ``forward.<kind>`` into the store: kind, instant, account or empty, payload."""


class StoppedError(SimError):
    """The loop was stopped from outside; positions keep their stops and targets at the broker."""

    exit_code = 0


@dataclass(frozen=True)
class Watched:
    """Loop under watch: id of its registration, strategy, {account: number at the broker}; paper, live or rehearsal."""

    run: str
    strategy: str
    accounts: Mapping[str, str]
    mode: str = "paper"


class Watch:
    """Watch over the loop of `watched` in `workspace`.

    `record` puts events into the store; `clock` is this machine's, in seconds, and only spaces heartbeats. Of all
    methods only `look` and `check` raise.
    """

    def __init__(
        self,
        workspace: Workspace,
        settings: Forward,
        watched: Watched,
        record: Record,
        channels: Mapping[str, Deliver] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.workspace, self.settings, self.watched = workspace, settings, watched
        self.log = Log(workspace.logs, watched.run, lambda why: self.alert("disk", f"the log: {why}", self._now))
        self.alerts = Alerts(settings.alerts, self.log, channels)
        self.paused: str | None = None
        """Reason of the pause that is in force."""
        self.clock_doubt = ""
        """Says that this machine's clock and the broker's are too far apart, while they are: nothing is entered."""
        self.stop_asked: str | None = None
        """Set by a signal handler: `look` stops the loop then."""
        self.prices: Mapping[str, Quote] = {}
        """Newest quotes of the symbols that wait for a person or are held."""
        self.owed: Callable[[], Owed | None] = lambda: None
        """Returns a close-all that is asked for and not done."""
        self.is_ending = False
        """Set once the loop leaves its accounts: exits are put back with all patience."""
        self._record, self._clock = record, clock
        self._since, self._now, self._next = "", datetime.now(UTC), ""
        self._killed = False
        self._beaten, self._state = -float("inf"), ""
        self._priced: Mapping[str, Quote] = {}

    def keep_report(self, decision: Decision) -> None:
        """Write the report that a decision makes of its day into ``logs/reports/RUN/daily_YYYYMMDD.json``, of its week
        into ``weekly_YYYYMMDD.json``; nothing where it makes none. The newest of all tests lies in ``logs/reports``."""
        report = decision.record.get("report")
        if not report:
            return
        period = "daily" if report["days"] == 1 else "weekly"
        name, folder = f"{period}_{report['session'].replace('-', '')}.json", self.workspace.logs.parent / "reports"
        content = (json.dumps({"run": self.watched.run, **report}, indent=1) + "\n").encode()
        try:
            for path in (folder / self.watched.run / name, folder / name):
                write_file(path, content)
        except SimError as error:
            self.alert("disk", f"the report of {report['session']}: {error.found}", self._now)

    @property
    def killed(self) -> str:
        """Says that the kill switch is thrown, and why; empty where it is not."""
        reason = read_switches(self.workspace).stop
        return "" if reason is None else f"the kill switch is thrown: {reason}"

    def start(self, now: datetime) -> None:
        """Say that the loop is at work, from `now` on."""
        self._now, self._since = now, now.astimezone(NEW_YORK).isoformat()
        where = {"live": "with real money", "rehearsal": "in a rehearsal"}.get(self.watched.mode, "on paper")
        self.alert("started", f"{self.watched.strategy} on {', '.join(self.watched.accounts)}, {where}", now)
        self.beat("running", now)
        notify("READY=1")

    def look(self, now: datetime | None = None, next_point: str | None = None) -> None:
        """Read the switches and let the heart beat: at each poll. `now` is the broker's time, by default that of the
        look before; `next_point` is when and what comes next.

        Raises StoppedError where the kill switch is thrown or the process was asked to end.
        """
        now = now or self._now
        self._now, self._next = now, next_point or self._next
        switches = self._read_switches()
        self._follow_pause(switches, now)
        self.is_ending = switches.stop is not None or self.stop_asked is not None
        if switches.stop is not None:
            if not self._killed:
                self.alert("kill switch", switches.stop, now)
            self._killed = True
            raise StoppedError(f"the kill switch is thrown: {switches.stop}")
        if self.stop_asked is not None:
            raise StoppedError(f"{self.stop_asked} asked for it")
        self.beat("running" if self.paused is None else "paused", now)

    def _read_switches(self) -> Switches:
        """Return how the switches stand. The kill switch of a close-all is thrown here where it was released again, or
        whoever asked was killed before throwing it."""
        switches, owed = read_switches(self.workspace), None
        with suppress(SimError):
            owed = self.owed() if switches.stop is None else None
        if owed is None:
            return switches
        with suppress(SimError):
            throw(self.workspace, STOP, owed.thrown)
        return replace(switches, stop=owed.thrown)

    def is_asked_to_end(self) -> bool:
        """Return True while somebody waits for the loop to end: what does not answer is not asked again then."""
        return not self.is_ending and (self.stop_asked is not None or read_switches(self.workspace).stop is not None)

    def _follow_pause(self, switches: Switches, now: datetime) -> None:
        if (switches.pause is None) != (self.paused is None):
            self.paused = switches.pause
            kind: Kind = "resumed" if self.paused is None else "paused"
            self._put(kind, now, "", {"why": self.paused or ""})
            self.alert(kind, self.paused or "entries are allowed again", now)

    def refuse_entries(self, account: str, morning: float, equity: float) -> str:
        """Return why nothing may be entered in `account` now, empty where it may.

        `morning` and `equity` are dollars: at the close before, and now.
        """
        if self.paused is not None:
            return f"paused: {self.paused}"
        if self.clock_doubt:
            return self.clock_doubt
        limit = self.settings.loss_limit(account, morning)
        if morning - equity < limit or limit == float("inf"):
            return ""
        lost = f"lost ${morning - equity:,.2f} of the ${limit:,.2f} a day may lose"
        self.alert("loss limit", lost, self._now, account)
        return lost

    def check(self, ticket: Ticket, book: Book, now: datetime, account: str, morning: float) -> str:
        """Return why `ticket` is not sent now on `book`, empty where it is; what closes always is. Raises as `look`."""
        self.look(now)
        closes = (ticket.quantity or 1.0) * book.positions.get(ticket.symbol, 0.0) < 0.0
        return "" if closes else self.refuse_entries(account, morning, book.equity)

    def doubt_clock(self, why: str) -> None:
        """Enter nothing from now on because of `why`, with an alert; empty takes that back."""
        if why and not self.clock_doubt:
            self.alert("clock", f"{why}: nothing is entered", self._now)
        self.clock_doubt = why

    def tell(self, kind: str, at: datetime, account: str = "", /, **facts: Any) -> None:
        """Write a line to the log."""
        self.log.write(kind, at, account, **facts)

    def alert(self, kind: Kind, text: str, at: datetime, account: str = "") -> None:
        """Let people know: log, store, e-mail and webhook."""
        self.alerts.send(Alert(kind, text, at, account))
        self._put("alert", at, account, {"kind": kind, "text": text})

    def beat(self, state: str, now: datetime) -> None:
        """Write the heartbeat where one is due, or state or prices have changed."""
        tick = self._clock()
        told = state == self._state and self._priced == self.prices
        if told and tick - self._beaten < self.settings.heartbeat_s:
            return
        self._beaten, self._state, self._priced = tick, state, self.prices
        notify(
            "STOPPING=1" if state == "stopped" else f"WATCHDOG=1\nSTATUS={state}, next {self._next or 'not known yet'}"
        )
        run, strategy, accounts, mode = vars(self.watched).values()
        every = self.settings.heartbeat_s
        heart = Heartbeat(
            run, strategy, accounts, mode, state, self._since, now.isoformat(), self._next, every,
            prices=write_quotes(self.prices),
        )  # fmt: skip
        if not beat(self.workspace, heart):
            self.alert("disk", f"no heartbeat can be written in {self.workspace.logs}", now)

    async def look_while(self, work: Awaitable[T]) -> T:
        """Return what `work`, which may be left at any moment, does. Raises as `look`, a second late at most."""
        return await _await(work, LOOK_S, self.look)

    async def beat_while(self, work: Awaitable[T]) -> T:
        """Return what `work` does; the heart beats meanwhile, for an hour at most: models may take minutes, and so may
        every attempt at a broker that does not answer. What takes longer hangs."""
        until = self._clock() + LONGEST_S

        def beat() -> None:
            if self._clock() < until:
                self.beat(self._state, self._now)

        return await _await(work, self.settings.heartbeat_s, beat)

    def end(self, why: str, now: datetime | None = None) -> None:
        """Say that the loop has ended, and let the channels finish."""
        at = self._now if now is None else now
        self.alert("stopped", why, at)
        self.beat("stopped", at)
        self.alerts.close()

    def _put(self, kind: str, at: datetime, account: str, payload: Mapping[str, Any]) -> None:
        try:
            self._record(kind, at, account, payload)
        except SimError as error:  # the store is down, which its next event will not pass over
            self.log.write("store.lost", at, account, event=kind, why=str(error))


async def _await(work: Awaitable[T], every_s: float, meanwhile: Callable[[], None]) -> T:
    """Return what `work` does; `meanwhile` is called again and again, and where it raises the work is left."""
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            await asyncio.wait([task], timeout=every_s)
            meanwhile()
    finally:
        task.cancel()
    return task.result()


def without_entries(intent: Intent, why: str) -> Intent:
    """Return `intent` with nothing that opens or enlarges a position; what goes through zero ends there.

    Withdrawals and protective prices stay. Ids count up without a gap, as those of any intent.
    """
    orders: list[Order] = []
    refused = list(intent.refused)
    first = intent.orders[0].id if intent.orders else 0
    for order in intent.orders:
        held, mark = intent.book.positions.get(order.symbol, 0.0), intent.book.marks.get(order.symbol, 0.0)
        dollars, shares = order.notional or 0.0, order.quantity or 0.0
        wanted = shares if not dollars else dollars / mark if mark else 0.0
        if wanted * held >= 0.0:
            refused.append(Rejection(-1, order.symbol, order.submitted_at, wanted, 0.0, why))
            continue
        if abs(wanted) > abs(held):
            refused.append(Rejection(-1, order.symbol, order.submitted_at, wanted + held, 0.0, why))
            order = Order(order.id, order.symbol, order.submitted_at, -held)
        orders.append(replace(order, id=first + len(orders)))
    return replace(intent, orders=tuple(orders), refused=tuple(refused))
