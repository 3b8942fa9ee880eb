"""The broker's clock, followed on this machine: asked now and then, carried on by seconds that no one can set.

broker's clock ──every RESYNC_S──► now ──► sleep_until(at): a poll every few seconds until then
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from simulator.errors import BrokerError

RESYNC_S = 60.0
"""Seconds after which the broker is asked again: a machine that slept has lost count meanwhile."""


class BrokerClock:
    """Clock of the broker that `ask` asks. `poll` is called every `poll_s` seconds of waiting, with the time.

    Where the broker does not answer the time goes on by this machine's seconds; the first answer must be had.
    """

    def __init__(
        self,
        ask: Callable[[], Awaitable[datetime]],
        poll: Callable[[datetime], Awaitable[None]],
        poll_s: float,
        ticks: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._ask, self._poll, self._poll_s, self._ticks, self._sleep = ask, poll, poll_s, ticks, sleep
        self._told: datetime | None = None
        self._at, self._stale = 0.0, False
        self.fault: BrokerError | None = None
        """Failure of the last question; None where it was answered."""

    async def now(self) -> datetime:
        """Return the broker's time. Raises BrokerError where it never told one."""
        if self._told is None or self._stale or self._ticks() - self._at >= RESYNC_S:
            before = self._ticks()
            try:
                told = await self._ask()
            except BrokerError as error:
                if self._told is None:
                    raise
                self.fault, self._told = error, self._carried_on()
            else:
                # The answer was made somewhere on its way: half of it is the best guess.
                self.fault, self._told = None, told + timedelta(seconds=(self._ticks() - before) / 2)
            self._at, self._stale = self._ticks(), False
        return self._carried_on()

    def _carried_on(self) -> datetime:
        if self._told is None:
            raise BrokerError("the broker's clock was never read")
        return self._told + timedelta(seconds=self._ticks() - self._at)

    async def sleep_until(self, at: datetime) -> None:
        """Return at `at` or a little later, having polled on the way; at once where that has passed."""
        checked = True
        while True:
            now = await self.now()
            left = (at - now).total_seconds()
            if left > 0.0:
                checked = False
                await self._poll(now)
                await self._sleep(min(left, self._poll_s))
            elif checked:
                return
            else:  # this machine says so: is it so?
                checked, self._stale = True, True
