"""Decides which question gets the last of the money: that of the oldest date, so that a run stops with whole dates.

    question ─► FairQueue: money left for it, oldest date first? ─► Limits ─► asked ─► settled ─► next in turn

Dollars are promised at the most a question may cost. With many questions in flight the promises reach the limit long
before the money is spent; the rest waits here, without holding a place at the endpoint.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from typing import Any

from simulator.llm.limiter import Limiter
from simulator.llm.messages import ChatRequest
from simulator.llm.spending.budget import Budget

TRIALS, QUICK_SECONDS = 3, 5.0
"""Questions put alone to a model that fails, and seconds after which one of them counts for all of its endpoint."""
LEASE_SECONDS = 300.0
"""Seconds that a trial in another process is waited for; one that died is not waited for at all."""


class FairQueue:
    """A `limiter.Limiter` before another one. `estimate` gives (likely, at most) dollars of a question.

    A model that is `untried` is asked one question alone, with no other trial at its endpoint in any process of the
    workspace: many at once could cost what nobody set aside. For the same reason questions go one by one where less is
    left than one of them may cost `at_worst`.

    It only orders who may reserve next. `budget` decides what may be spent and raises when the money is spent: with
    nothing in flight the next in turn is let through so that it does.
    """

    def __init__(
        self,
        limits: Limiter,
        budget: Budget,
        estimate: Callable[[ChatRequest], tuple[float, float]],
        untried: Callable[[ChatRequest], str] = lambda request: "",  # noqa: ARG005
        at_worst: Callable[[ChatRequest], float] = lambda request: 0.0,  # noqa: ARG005
    ) -> None:
        self._limits, self._budget, self._estimate, self._untried = limits, budget, estimate, untried
        self._at_worst = at_worst
        self._alone: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._trials: Counter[str] = Counter()
        self._waiting: list[tuple[str, int, float, float, asyncio.Future[None]]] = []
        self._order = count()
        self._promised: dict[int, float] = {}
        self._awaiting_trial: Counter[str] = Counter()
        """Questions by date that wait for a trial: later dates do not take the money from them meanwhile."""
        self._at_first: float | None = None

    @asynccontextmanager
    async def slot(self, request: ChatRequest) -> AsyncIterator[Any]:
        number, session, trial = next(self._order), request.purpose.get("session", ""), False
        async with AsyncExitStack() as alone:
            if name := self._unproven(request):
                self._awaiting_trial[session] += 1
                try:
                    await self._wait_for_trials(request, alone)
                finally:
                    self._awaiting_trial[session] -= 1
                    self._awaiting_trial = +self._awaiting_trial
                    self._admit()
                trial = bool(self._unproven(request))
                if trial:
                    alone.callback(self._count_trial, request, name, time.monotonic())
                else:
                    await alone.aclose()
            most = self._estimate(request)[1]
            try:
                if most and trial:  # its turn is the trial: an older date may be waiting for just that
                    self._promised[number] = most
                elif most:
                    await self._turn(session, number, most, self._at_worst(request))
                async with self._limits.slot(request) as place:
                    yield place
            finally:
                self._promised.pop(number, None)
                self._admit()

    def _unproven(self, request: ChatRequest) -> str:
        name = self._untried(request)
        return name if max(self._trials[name], self._trials[_endpoint(request)]) < TRIALS else ""

    async def _wait_for_trials(self, request: ChatRequest, alone: AsyncExitStack) -> None:
        """Take the endpoint's one trial, for as long as `alone` is open, once others had theirs."""
        await alone.enter_async_context(self._alone[_endpoint(request)])
        ledger, key, until = self._budget.ledger, f"trial|{_endpoint(request)}", time.monotonic() + LEASE_SECONDS
        while ledger is not None and self._unproven(request) and time.monotonic() < until:
            if ledger.claim(key):
                alone.callback(ledger.release, key)
                return
            await asyncio.sleep(0.05)

    def _count_trial(self, request: ChatRequest, name: str, began: float) -> None:
        if time.monotonic() - began < QUICK_SECONDS:
            self._trials[name] += 1
        elif self._untried(request):
            # A service that hangs is not waited for again and again by one question after the other.
            self._trials[_endpoint(request)] = TRIALS

    async def _turn(self, session: str, number: int, most: float, at_worst: float) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (session, number, most, at_worst, turn))
        self._admit()
        await turn

    def _admit(self) -> None:
        """Let in, in turn, all that the money left covers; with nothing promised the first whatever it costs."""
        while self._waiting:
            session, number, most, at_worst, turn = self._waiting[0]
            # A turn that is done belongs to a caller that was cancelled while it waited.
            if not turn.done():
                if self._awaiting_trial and min(self._awaiting_trial) < session:
                    return
                if self._promised and max(sum(self._promised.values()) + most, at_worst) > self._dollars_left():
                    return
                self._promised[number] = most
                turn.set_result(None)
            heapq.heappop(self._waiting)

    def _dollars_left(self) -> float:
        """Dollars of the run and of the day that are not spent.

        The ledger is read once and what was paid from here is subtracted since: this is asked for every question, and
        what other processes spend meanwhile only makes the order less exact.
        """
        budget = self._budget
        if self._at_first is None:
            self._at_first = min(budget.max_usd_per_run, budget.max_usd_per_day)
            if budget.ledger is not None:
                with budget.ledger.transaction() as db:
                    now = budget.ledger.spending(db, budget.run)
                self._at_first = min(budget.max_usd_per_run - now.run, budget.max_usd_per_day - now.day)
            self._at_first += budget.spent_usd + budget.lost_usd
        return self._at_first - budget.spent_usd - budget.lost_usd


def _endpoint(request: ChatRequest) -> str:
    return request.endpoint or request.provider
