"""Feed of events: one reader of the store for all browsers.

store ──► poll (a thread, a few times a second, while somebody looks) ──► ring ──► every connection, by position
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial

import anyio.to_thread

from simulator.errors import SimError
from simulator.printing import printable
from simulator.store.database import Store
from simulator.store.events import Stored

EVERY_S = 0.1
BEAT_S = 10.0
KEPT = 5000
"""Events kept for connections that come back; who was away for longer reads the page anew."""
MOST_TEXT = 300
INTERNAL = frozenset({"id", "at", "born", "digest", "config", "code", "clock"})
"""Facts that nobody reads as they pass by, beside ids and instants by other names."""


class Feed:
    """Newest events of a store, as server-sent events."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.ring: deque[tuple[int, bytes]] = deque(maxlen=KEPT)
        self.position, self.first, self.born = -1, 0, 0
        self.last: Stored | None = None
        self.looking = 0
        self.changed = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    async def follow(self, after: int | None, is_allowed: Callable[[], bool]) -> AsyncIterator[bytes]:
        """Yield what is sent to a browser whose last event was `after`, until `is_allowed` says no."""
        self.looking += 1
        if self.task is None or self.task.done():
            self.task = asyncio.create_task(self._poll())
        try:
            while self.position < 0:
                await _wait(self.changed)
            seen, born = self.position if after is None else after, self.born
            yield f"retry: 1000\nid: {seen}\nevent: hello\ndata: {self.position}\n\n".encode()
            while is_allowed():
                if seen < self.first or born < self.born:  # more has happened than is kept, or it is another store
                    seen, born = self.position, self.born
                    yield f"id: {seen}\nevent: anew\ndata: {seen}\n\n".encode()
                changed, new, seen = self.changed, self._since(seen), self.position  # what comes while it is sent, too
                yield new or b": beat\n\n"
                await _wait(changed)
        finally:
            self.looking -= 1

    def _since(self, seen: int) -> bytes:
        new = []
        for position, text in reversed(self.ring):
            if position <= seen:
                break
            new.append(text)
        return b"".join(reversed(new))

    async def _poll(self) -> None:
        while self.looking:
            with suppress(SimError):  # the store is away: browsers see that nothing comes but beats
                there = self.last is None or await anyio.to_thread.run_sync(self.store.holds, self.last)
                newest = partial(self.store.newest_forward, KEPT)
                since = partial(self.store.of_forward, None, (), self.position)
                new = await anyio.to_thread.run_sync(since if there and self.position >= 0 else newest)
                if not there:  # a backup was put back
                    self.last = None
                    self.ring.clear()
                    self.born += 1
                if new or not there or self.position < 0:
                    self._take(new)
            await asyncio.sleep(EVERY_S)

    def _take(self, new: list[Stored]) -> None:
        self.ring.extend((one.position, _write(one)) for one in new)
        self.last = new[-1] if new else self.last
        self.position = 0 if self.last is None else self.last.position
        self.first = self.ring[0][0] - 1 if len(self.ring) == KEPT else 0
        self.changed.set()
        self.changed = asyncio.Event()


async def _wait(changed: asyncio.Event) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(changed.wait(), BEAT_S)


def _write(stored: Stored) -> bytes:
    event = stored.event
    facts = {"kind": event.kind, "run": stored.run_id, "at": event.at, "account": event.account}
    data = json.dumps({**facts, "recorded_at": stored.recorded_at, "text": describe(stored)})
    return f"id: {stored.position}\ndata: {data}\n\n".encode()


def describe(stored: Stored) -> str:
    """Return one line about an event: the plain facts of its payload."""
    plain = (
        f"{name.replace('_', ' ')} {f'{value:,.2f}' if isinstance(value, float) else value}"
        for name, value in stored.event.payload.items()
        if isinstance(value, str | int | float) and value and name not in INTERNAL and not name.endswith(("_id", "_at"))
    )
    return printable(" · ".join(plain))[:MOST_TEXT]
