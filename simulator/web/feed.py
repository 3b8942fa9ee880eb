"""Feed of events: one reader of the store for all browsers.

store ──► poll (a thread, a few times a second, while somebody looks) ──► ring ──► every connection, by position
heartbeats, switches ──► the same thread ──► ``beat``: ages of heartbeats; ``anew`` where health or switches changed
store away or silent ──► ``away``: a browser must not take what it shows for what is
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from functools import partial

import anyio.to_thread

from simulator.errors import SimError
from simulator.forward.status import read_health
from simulator.forward.switches import Switches, read_switches
from simulator.printing import printable
from simulator.store.database import Store
from simulator.store.events import Event, Stored
from simulator.workspace import Workspace

EVERY_S = 0.1
LOOPS_S = 1.0
"""Between two looks at heartbeats and switches: a loop that hangs or was killed writes no event."""
BEAT_S = 5.0
ALLOWED_S = 0.5
"""Between two looks at whether a browser's token still stands."""
SLOW_S = 15.0
"""In which a store has to answer; then browsers are told that nothing is known from it."""
KEPT = 5000
"""Events kept for connections that come back; who was away for longer reads the page anew."""
MOST_TEXT = 300
INTERNAL = frozenset({"id", "at", "born", "digest", "config", "code", "clock"})
"""Facts that nobody reads as they pass by, beside ids and instants by other names."""


class Feed:
    """Newest events of a store, as server-sent events."""

    def __init__(self, store: Store, workspace: Workspace) -> None:
        self.store, self.workspace = store, workspace
        self.ring: deque[tuple[int, bytes]] = deque(maxlen=KEPT)
        self.position, self.first, self.born = -1, 0, 0
        self.last: Stored | None = None
        self.turn, self.answered, self.away = 0, 0.0, ""
        self.health: tuple[dict[str, str], Switches] | None = None
        self.ages, self.aged = dict[str, float](), 0.0
        self.looking = 0
        self.changed = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    async def follow(self, after: int | None, is_allowed: Callable[[], bool]) -> AsyncIterator[bytes]:
        """Yield what is sent to a browser whose last event was `after`, until `is_allowed` says no."""
        self.looking += 1
        if self.task is None or self.task.done():
            self.answered = time.monotonic()
            self.task = asyncio.create_task(self._poll())
        try:
            while self.position < 0 and is_allowed():
                if trouble := self._find_trouble():
                    yield trouble
                await _wait(self.changed, is_allowed)
            seen, born, turn = self.position if after is None else after, self.born, self.turn
            yield f"retry: 1000\nid: {seen}\nevent: hello\ndata: {self.position}\n\n".encode()
            while is_allowed():
                if seen < self.first or born < self.born:  # more has happened than is kept, or it is another store
                    seen, born = self.position, self.born
                    yield f"id: {seen}\nevent: anew\ndata: {seen}\n\n".encode()
                if turn < self.turn:
                    turn = self.turn
                    yield b"event: anew\ndata: \n\n"
                changed, new, seen = self.changed, self._since(seen), self.position  # what comes while it is sent, too
                yield new or self._find_trouble() or self._write_beat()
                await _wait(changed, is_allowed)
        finally:
            self.looking -= 1

    def _since(self, seen: int) -> bytes:
        new = []
        for position, text in reversed(self.ring):
            if position <= seen:
                break
            new.append(text)
        return b"".join(reversed(new))

    def _find_trouble(self) -> bytes:
        slow = time.monotonic() - self.answered > SLOW_S
        why = self.away or ("the store does not answer" if slow else "")
        return f"event: away\ndata: {why}\n\n".encode() if why else b""

    def _write_beat(self) -> bytes:
        gone = time.monotonic() - self.aged
        ages = {run: round(age + gone) for run, age in self.ages.items()}
        return f"event: beat\ndata: {json.dumps(ages)}\n\n".encode()

    async def _poll(self) -> None:
        while self.looking:
            try:
                await self._read()
                away = ""
            except SimError:
                away = "the store cannot be read"
            if away != self.away or time.monotonic() - self.answered > SLOW_S:
                self.away, self.turn = away, self.turn + 1
                self._wake()
            self.answered = time.monotonic()
            if self.answered - self.aged > LOOPS_S:
                await self._look_at_loops()
            await asyncio.sleep(EVERY_S)

    async def _read(self) -> None:
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

    async def _look_at_loops(self) -> None:
        found = await anyio.to_thread.run_sync(read_health, self.workspace)
        self.ages, self.aged = {run: age for run, (_, age) in found.items()}, time.monotonic()
        health = {run: name for run, (name, _) in found.items()}, read_switches(self.workspace)
        if self.health not in (None, health):
            self.turn += 1
            self._wake()
        self.health = health

    def _wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    def _take(self, new: list[Stored]) -> None:
        self.ring.extend((one.position, _write(one)) for one in new)
        self.last = new[-1] if new else self.last
        self.position = 0 if self.last is None else self.last.position
        self.first = self.ring[0][0] - 1 if len(self.ring) == KEPT else 0
        self._wake()


async def _wait(changed: asyncio.Event, is_allowed: Callable[[], bool]) -> None:
    """Return once something has changed, after BEAT_S seconds, or within ALLOWED_S of `is_allowed` saying no."""
    until = time.monotonic() + BEAT_S
    while not changed.is_set() and time.monotonic() < until and is_allowed():
        with suppress(TimeoutError):
            await asyncio.wait_for(changed.wait(), ALLOWED_S)


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
    return printable(" · ".join((*plain, *_list_orders(stored.event))))[:MOST_TEXT]


def _list_orders(event: Event) -> Iterator[str]:
    """Yield what an intent orders, symbol by symbol."""
    for one in event.payload.get("orders", ()) if event.kind == "forward.intent" else ():
        size = one.get("quantity") or one.get("notional") or 0.0
        unit = "" if one.get("quantity") else "$"
        yield f"{'buy' if size > 0.0 else 'sell'} {unit}{abs(size):,.10g} {one['symbol']}"
