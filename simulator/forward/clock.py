"""The broker's clock, followed on this machine: asked now and then, carried on by seconds that no one can set.

broker's clock ──every RESYNC_S──► now ──► sleep_until(at): until then, or until something may have changed
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from simulator.errors import BrokerError
from simulator.forward.messages import Clock
from simulator.forward.requests import ClockError

RESYNC_S = 60.0
"""Seconds after which the broker is asked again: a machine that slept has lost count meanwhile."""
IDLE_S = 30.0
"""Longest sleep while nothing is under way."""

Changed = Callable[[float], Awaitable[bool]]
"""Waits so many seconds at most; True as soon as an order may have changed."""


async def nothing_changes(seconds: float) -> bool:
    """Wait, and hear of nothing."""
    await asyncio.sleep(seconds)
    return False


async def ask_broker(ask: Callable[[], Awaitable[Clock]], doubt: Callable[[str], None]) -> datetime:
    """Return the broker's time. `doubt` is called with why this machine's is too far from it, empty where it is not."""
    try:
        told = await ask()
    except ClockError as error:
        doubt(error.found)
        raise
    doubt("")
    return told.now


class BrokerClock:
    """Clock of the broker that `ask` asks. `look` is called with the time every `poll_s` seconds of waiting, and what
    it raises ends the wait.

    One that is `rehearsed` may run faster than this machine's, and is asked every time. Where the broker does not
    answer the time goes on by this machine's seconds; the first answer must be had.
    """

    def __init__(
        self,
        ask: Callable[[], Awaitable[datetime]],
        look: Callable[[datetime], None],
        poll_s: float,
        changed: Changed = nothing_changes,
        ticks: Callable[[], float] = time.monotonic,
        rehearsed: bool = False,
    ) -> None:
        self._resync_s, self._idle_s = (0.0, 5.0) if rehearsed else (RESYNC_S, IDLE_S)
        self._ask, self._look, self._poll_s, self._changed, self._ticks = ask, look, poll_s, changed, ticks
        self._look_s = min(poll_s, 0.1) if rehearsed else poll_s
        self._told: datetime | None = None
        self._at, self._stale = 0.0, False
        self.fault: BrokerError | None = None
        """Failure of the last question; None where it was answered."""

    async def now(self) -> datetime:
        """Return the broker's time. Raises BrokerError where it never stated one."""
        if self._told is None or self._stale or self._ticks() - self._at >= self._resync_s:
            before = self._ticks()
            try:
                told = await self._ask()
            except BrokerError as error:
                if self._told is None:
                    raise
                self.fault, self._told = error, self._carried_on(self._told)
            else:
                # The answer was made somewhere on its way: half of it is the best guess.
                self.fault, self._told = None, told + timedelta(seconds=(self._ticks() - before) / 2)
            self._at, self._stale = self._ticks(), False
        return self._carried_on(self._told)

    def _carried_on(self, told: datetime) -> datetime:
        return told + timedelta(seconds=self._ticks() - self._at)

    async def sleep_until(self, at: datetime, busy: bool = False) -> None:
        """Return at `at` or a little later, at once where that has passed; before it where an order may have changed,
        every few seconds while `busy`, every half minute else."""
        began, checked = self._ticks(), True
        while True:
            now = await self.now()
            left = (at - now).total_seconds()
            if left <= 0.0:
                if checked:
                    return
                checked = self._stale = True  # so this machine says: is it so?
                continue
            self._look(now)
            rest = (self._poll_s if busy else self._idle_s) - (self._ticks() - began)
            if rest <= 0.0:
                return
            checked = False
            if await self._changed(min(left, self._look_s, rest)):
                return
