"""Rate limits of an endpoint: attempts in flight, tokens by the minute, calls by the hour.

slot(request) ─► queue, oldest date first ─► room? ─► calls of the hour, tokens of the minute? ─► asked
                                              ▲ AIMD: a 429 or a time-out narrows it, every answer widens it a little
"""

from __future__ import annotations

import asyncio
import heapq
import math
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count

from simulator.config import EndpointLimits, Seat
from simulator.errors import BudgetError
from simulator.llm.messages import ChatRequest, Usage
from simulator.llm.providers import TransientError, is_local
from simulator.llm.spending.shared_ledger import HOUR, SharedLedger

REMOTE = EndpointLimits(concurrency=64)
LOCAL = EndpointLimits(concurrency=4)
KNOWN = {"claude_code": EndpointLimits(concurrency=4, calls_per_hour=50)}
MINUTE = 60.0
NARROWER, WIDER = 0.7, 0.25
"""Share of the room that stays after a 429, places gained by an answer. Where a service is asked for a little more than
it gives, some 1 % of 64 in flight are refused; where one attempt in twenty fails at random, 16 stay in flight."""
PATIENCE = 120.0
"""Seconds an hourly limit or a service is waited for; beyond that the run stops and says when to go on."""


class HourlyLimitError(BudgetError):
    """The calls of the hour are made."""


@dataclass
class Gate:
    """Attempts in flight at one endpoint, within this process and one event loop.

    `room` is the number that may be in flight now, between 1 and the endpoint's concurrency; `last_cut` the monotonic
    time at which it was last narrowed.
    """

    limits: EndpointLimits
    room: float
    in_flight: int = 0
    closed_until: float = 0.0
    last_cut: float = float("-inf")
    waiting: list[tuple[str, int, asyncio.Future[None]]] = field(default_factory=list)
    order: count[int] = field(default_factory=count)
    alarm: asyncio.TimerHandle | None = None
    shut: TransientError | None = None

    async def enter(self, priority: str) -> None:
        """Wait for room: the smallest `priority` goes first, then the first to come.

        Raises TransientError while the service asks to be left alone for longer than anyone waits.
        """
        if self.shut is not None and (pause := self.closed_until - time.monotonic()) > PATIENCE:
            raise TransientError(self.shut.found, retry_after=pause, throttled=True)
        self.admit()
        if not self.waiting and self._open():
            self.in_flight += 1
            return
        turn = asyncio.get_running_loop().create_future()
        heapq.heappush(self.waiting, (priority, next(self.order), turn))
        self.admit()
        try:
            await turn
        except asyncio.CancelledError:
            # Cancelled after the turn was given and before this task ran again: the place would be lost for good.
            if turn.done() and not turn.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        self.in_flight -= 1
        self.admit()

    def admit(self) -> None:
        """Let in as many as there is room for; during a pause come back at its end."""
        while self.waiting and self._open():
            turn = heapq.heappop(self.waiting)[2]
            if not turn.done():
                self.in_flight += 1
                turn.set_result(None)
        if self.waiting and self.alarm is None and (pause := self.closed_until - time.monotonic()) > 0:
            self.alarm = asyncio.get_running_loop().call_later(pause, self._ring)

    def widen(self) -> None:
        self.room = min(float(self.limits.concurrency or 1), self.room + WIDER)

    def narrow(self, began: float, error: TransientError) -> None:
        """Narrow the room, once for all attempts that were in flight together, and pause as long as is asked."""
        now = time.monotonic()
        if error.retry_after:
            self.closed_until = max(self.closed_until, now + error.retry_after)
            if error.retry_after > PATIENCE:
                self.shut = error
                for _, _, turn in self.waiting:
                    if not turn.done():
                        turn.set_exception(TransientError(error.found, retry_after=error.retry_after, throttled=True))
                self.waiting.clear()
        # An attempt that began before the last cut belongs to the crowd that was cut for, and says nothing new.
        if (error.throttled or error.timed_out) and began > self.last_cut:
            self.room, self.last_cut = max(1.0, NARROWER * self.room), now

    def _ring(self) -> None:
        self.alarm = None
        self.admit()

    def _open(self) -> bool:
        return self.in_flight < int(self.room) and time.monotonic() >= self.closed_until


class Limits:
    """The limits of all endpoints. Implements `limiter.Limiter`.

    Parameters
    ----------
    by_endpoint : endpoint (URL, or the provider's name where it has none) → its limits
    ledger : shared by the processes of a workspace; hourly and per-minute limits need it
    """

    def __init__(
        self, by_endpoint: Mapping[str, EndpointLimits] | None = None, ledger: SharedLedger | None = None
    ) -> None:
        self._limits, self._ledger = dict(by_endpoint or {}), ledger
        self._gates: dict[str, Gate] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    @classmethod
    def for_seats(
        cls,
        seats: Iterable[Seat],
        configured: Mapping[str, EndpointLimits] | None = None,
        ledger: SharedLedger | None = None,
    ) -> Limits:
        """Limits of the endpoints of `seats`: what is configured, else what is usual.

        Usual are 64 attempts at once over the network, 4 on this machine, 4 and 50 calls an hour for claude_code.
        """
        limits: dict[str, EndpointLimits] = {}
        for seat in seats:
            name = seat.endpoint or seat.provider
            usual = KNOWN.get(seat.provider, LOCAL if is_local(seat.endpoint) else REMOTE)
            given = (configured or {}).get(name, EndpointLimits()).model_dump(exclude_unset=True)
            limits[name] = usual.model_copy(update=given)
        return cls(limits, ledger)

    def room(self, endpoint: str) -> int:
        """Attempts that may be in flight at that endpoint now."""
        return int(self._gate(endpoint).room)

    @asynccontextmanager
    async def slot(self, request: ChatRequest) -> AsyncIterator[Place]:
        """Hold a place at the request's endpoint.

        A TransientError that passes through narrows the room there, an answer widens it.
        """
        gate = self._gate(request.endpoint or request.provider)
        await gate.enter(request.purpose.get("session", ""))
        began = time.monotonic()
        try:
            yield Place(request, gate.limits, self._ledger)
            gate.widen()
        except TransientError as error:
            gate.narrow(began, error)
            raise
        finally:
            gate.leave()

    def _gate(self, endpoint: str) -> Gate:
        try:
            loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        if loop is not None and loop is not self._loop:
            # Futures and timers belong to the loop that made them; what was learnt about the room is kept.
            self._loop, kept = loop, self._gates
            self._gates = {name: Gate(gate.limits, gate.room) for name, gate in kept.items()}
        if endpoint not in self._gates:
            limits = self._limits.get(endpoint, REMOTE)
            self._gates[endpoint] = Gate(limits, float(limits.concurrency or 1))
        return self._gates[endpoint]


@dataclass
class Place:
    """A place at an endpoint, held by one request. Implements `gateway.Slot`."""

    request: ChatRequest
    limits: EndpointLimits
    ledger: SharedLedger | None
    number: int | None = None

    async def count(self) -> None:
        """Enter the call into the ledger once the limits by hour and by minute allow it.

        Raises HourlyLimitError where the calls of the hour are made and the wait is long.
        """
        if self.ledger is None or not (self.limits.calls_per_hour or self.limits.tokens_per_minute):
            return
        tokens = tokens_of(self.request)
        while (wait := self._enter(self.ledger, tokens)) > 0:
            if wait > PATIENCE:
                at = time.strftime("%H:%M", time.localtime(self.ledger.clock() + wait))
                raise HourlyLimitError(
                    f"{self.limits.calls_per_hour} calls an hour are made",
                    where=self.endpoint,
                    mend=f"the same command continues from {at} on, answers that came are kept",
                )
            await asyncio.sleep(min(max(wait, 0.01), 1.0))

    def correct(self, usage: Usage) -> None:
        """Replace the estimated tokens of the call by those it used."""
        if self.number is not None and self.ledger is not None:
            tokens = usage.prompt_tokens + usage.completion_tokens
            with self.ledger.transaction() as db:
                db.execute("UPDATE calls SET tokens = ? WHERE id = ?", (tokens, self.number))

    @property
    def endpoint(self) -> str:
        return self.request.endpoint or self.request.provider

    def _enter(self, ledger: SharedLedger, tokens: int) -> float:
        """Enter the call and return 0, or return the seconds until there may be room."""
        now, limits = ledger.clock(), self.limits
        with ledger.transaction() as db:
            db.execute("DELETE FROM calls WHERE at < ?", (now - HOUR,))
            wait = 0.0
            if limits.calls_per_hour:
                latest = "SELECT at FROM calls WHERE endpoint = ? ORDER BY at DESC LIMIT 1 OFFSET ?"
                row = db.execute(latest, (self.endpoint, limits.calls_per_hour - 1)).fetchone()
                wait = row[0] + HOUR - now if row else 0.0
            if limits.tokens_per_minute and wait <= 0:
                recent = "SELECT at, tokens FROM calls WHERE endpoint = ? AND at > ? ORDER BY at"
                found = db.execute(recent, (self.endpoint, now - MINUTE)).fetchall()
                wait = _until_room(found, limits.tokens_per_minute, tokens, now)
            if wait > 0:
                return wait
            enter = "INSERT INTO calls (endpoint, at, tokens) VALUES (?, ?, ?)"
            self.number = db.execute(enter, (self.endpoint, now, tokens)).lastrowid
            return 0.0


def tokens_of(request: ChatRequest) -> int:
    """Tokens a request usually takes: one for four bytes of prompt, a quarter of `max_tokens` for the answer."""
    prompt = sum(len(message.content.encode()) for message in request.messages) // 4
    return prompt + math.ceil((request.max_tokens or 2000) / 4)


def _until_room(recent: list[tuple[float, int]], limit: int, tokens: int, now: float) -> float:
    """Seconds until enough of the last minute's tokens are older. A request above the whole limit goes alone."""
    used, wait = sum(spent for _, spent in recent), 0.0
    for at, spent in recent:
        if used + tokens <= limit:
            break
        used, wait = used - spent, at + MINUTE - now
    return wait
