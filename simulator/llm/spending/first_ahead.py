"""The first question with a beginning goes ahead of the others, so that its service has read the beginning by then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from simulator.llm.beginnings import first_beginning
from simulator.llm.limiter import Limiter, Slot
from simulator.llm.messages import ChatRequest


class FirstAhead:
    """A `limiter.Limiter` before another one.

    Where a service charges less for what it has read before (`discounts`), questions that begin alike wait for the
    first of them: for one attempt, whatever comes of it, and for no other reason.
    """

    def __init__(self, limits: Limiter, discounts: Callable[[ChatRequest], bool]) -> None:
        self._limits, self._discounts = limits, discounts
        self._attempted: dict[bytes, asyncio.Event] = {}

    @asynccontextmanager
    async def slot(self, request: ChatRequest) -> AsyncIterator[Slot]:
        """Hold a place for `request`, once the first question with its beginning was attempted."""
        mine = asyncio.Event()
        if self._discounts(request) and (start := first_beginning(request)) is not None:
            first = self._attempted.setdefault(start.digest, mine)
            if first is not mine:
                await first.wait()
        try:
            async with self._limits.slot(request) as slot:
                yield slot
        finally:
            mine.set()
