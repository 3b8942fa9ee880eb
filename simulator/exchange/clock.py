"""Logical clock: time passes only while no request is open and every frame sent so far has gone out.

So a rehearsal comes out the same on a slow machine and on a fast one: nothing happens at an instant of the exchange
because somebody's answer took long.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from starlette.websockets import WebSocket

from simulator.exchange.accounts import PaperAccount
from simulator.exchange.exchange import Exchange

LONGEST_SEND_S = 5.0
"""A client that takes no frame for so long no longer holds up the clock: its connection is cut."""


@dataclass(eq=False)
class StreamConnection:
    """One connection to a stream: frames that wait to go out, and whose account it is about."""

    socket: WebSocket
    account: PaperAccount | None = None
    frames: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)

    def send(self, frame: bytes) -> None:
        self.frames.put_nowait(frame)

    def cut(self) -> None:
        """End the connection after the frames that wait."""
        self.frames.put_nowait(None)

    async def relay(self) -> None:
        """Send frames as they come; what comes after the end of the connection is lost."""
        connected = True
        while True:
            frame = await self.frames.get()
            try:
                if connected:
                    connected = frame is not None
                    async with asyncio.timeout(LONGEST_SEND_S):
                        await (self.socket.close(1012) if frame is None else self.socket.send_bytes(frame))
            except Exception:  # whatever ended the connection: else the clock would wait for it for ever
                connected = False
            finally:
                self.frames.task_done()


@dataclass(eq=False)
class LogicalClock:
    """Clock of `exchange` as everybody who is connected sees it."""

    exchange: Exchange
    lines: set[StreamConnection] = field(default_factory=set)
    requests: int = 0
    begun: int = 0
    passed: Callable[[int, bool], None] | None = None
    """Told each instant that time goes on to, before it does, and whether only to before what opens then."""

    def __post_init__(self) -> None:
        self._answered, self._alone = asyncio.Condition(), asyncio.Lock()
        self.exchange.cutters.append(self.cut)

    def cut(self, account: PaperAccount | None = None) -> None:
        """Break the streams of an account, or all."""
        for line in self.lines:
            if account is None or line.account is account:
                line.cut()

    @asynccontextmanager
    async def request(self) -> AsyncIterator[None]:
        """Hold the clock while a request is open."""
        self.requests, self.begun = self.requests + 1, self.begun + 1
        try:
            yield
        finally:
            self.requests -= 1
            async with self._answered:
                self._answered.notify_all()

    @asynccontextmanager
    async def forgotten(self) -> AsyncIterator[None]:
        """Let the clock go on during an open request that will not be answered in time."""
        self.requests -= 1
        async with self._answered:
            self._answered.notify_all()
        try:
            yield
        finally:
            self.requests += 1

    @contextmanager
    def line(self, socket: WebSocket) -> Iterator[StreamConnection]:
        """Yield the line of a connection, whose frames the clock waits for."""
        line = StreamConnection(socket)
        sender = asyncio.create_task(line.relay())
        self.lines.add(line)
        try:
            yield line
        finally:
            self.lines.discard(line)
            sender.cancel()
            while not line.frames.empty():
                line.frames.get_nowait()
                line.frames.task_done()

    async def flush(self) -> None:
        """Wait until every frame has gone out."""
        for line in list(self.lines):
            await line.frames.join()

    async def settle(self) -> None:
        """Wait until no request is open and every frame has gone out."""
        while True:
            begun = self.begun
            async with self._answered:
                await self._answered.wait_for(lambda: not self.requests)
            await self.flush()
            if begun == self.begun:  # else a request came while frames went out
                return

    async def advance(self, to: int, first_event: bool = False, before_open: bool = False) -> None:
        """Let time pass until `to`, one due point after the other; no further than one at which an order changed,
        where `first_event`; to before what opens at `to`, where `before_open`."""
        async with self._alone:
            while True:
                await self.settle()
                told, due = self.exchange.told, self.exchange.due()
                step = to if due is None else min(due, to)
                stands = before_open and step == to
                if self.passed is not None:
                    self.passed(step, stands)
                self.exchange.advance(step, stands)
                if step == to or (first_event and self.exchange.told != told):
                    break
            await self.settle()
