"""Questions of dates that are asked side by side, gathered into rounds.

    date ─► ask ─► parked ─┐
    date ─► ask ─► parked ─┼─► nothing else goes on ─► put(all that are parked) ─► answers ─► dates go on ─► parked …
    date ─► ask ─► parked ─┘

A round is what all dates wait for at once: as many rounds as a date has stages, one more for a question about a bad
answer, and one for each checkpoint that waits for the one before it.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from simulator.errors import SimError
from simulator.llm.gateway import Gateway
from simulator.llm.messages import ChatRequest, ChatResponse
from simulator.llm.registry import OPENAI_COMPATIBLE

STILL_TURNS = 60
"""Turns of the event loop without a further question after which every date is taken to wait. A date takes a few from
an answer to its next question; where it took more, it would only be in a round of its own."""
LOOK_SECONDS = 0.02


@dataclass(eq=False)
class Parked:
    """A question that waits for its round; `tries` rounds have not answered it."""

    request: ChatRequest
    answer: asyncio.Future[ChatResponse]
    tries: int = 0


@dataclass(eq=False)
class Rounds(ABC):
    """Takes questions from `gateway` while it is open, all but those of the stages `left_out`.

    After a stop nothing it would take is asked any more: each such question raises `stopped`.
    """

    gateway: Gateway
    left_out: Collection[str]
    is_open: bool = field(default=False, init=False)
    stopped: SimError | None = field(default=None, init=False)
    rounds: int = field(default=0, init=False)
    parked: dict[str, Parked] = field(default_factory=dict, init=False)

    def takes(self, request: ChatRequest) -> bool:
        here = request.provider == OPENAI_COMPATIBLE and request.purpose.get("stage") not in self.left_out
        return here and (self.is_open or self.stopped is not None)

    @abstractmethod
    async def begin(self) -> None:
        """Called before each question of the gateway, whoever answers it."""

    async def ask(self, request: ChatRequest) -> ChatResponse:
        """Wait for the answer of a round. Raises as `Gateway.ask`, what a provider raises for the question included."""
        if self.stopped is not None:
            raise self.stopped
        one = Parked(request, asyncio.get_running_loop().create_future())
        self.parked[request.key] = one
        try:
            return await one.answer
        finally:
            if self.parked.get(request.key) is one:
                del self.parked[request.key]

    @asynccontextmanager
    async def going(self) -> AsyncIterator[None]:
        """Take questions and put round after round, as long as the block goes on."""
        self.is_open = True
        driver = asyncio.create_task(self._drive())
        try:
            yield
        finally:
            self.is_open = False
            driver.cancel()
            await asyncio.gather(driver, return_exceptions=True)
            await self.close()

    async def _drive(self) -> None:
        try:
            while True:
                await self._still()
                if self.parked:
                    try:
                        await self.put()
                    except SimError as error:
                        self.stop(error)
                await asyncio.sleep(LOOK_SECONDS if not self.parked else 0)
        except Exception as bug:
            # Or every date would wait for ever.
            for one in self.parked.values():
                if not one.answer.done():
                    one.answer.set_exception(bug)
            raise

    def stop(self, error: SimError) -> None:
        self.stopped = self.stopped or error
        for one in self.parked.values():
            if not one.answer.done():
                one.answer.set_exception(error)

    def deliver(self, key: str, answer: ChatResponse | Exception) -> None:
        """Hand the answer, or what is raised instead, to whoever waits for it."""
        one = self.parked.get(key)
        if one is not None and not one.answer.done():
            if isinstance(answer, Exception):
                one.answer.set_exception(answer)
            else:
                one.answer.set_result(answer)

    def describe(self) -> str:
        """State of the round, for a progress bar."""
        return ""

    @abstractmethod
    async def close(self) -> None:
        """Close connections; the next round opens new ones."""

    @abstractmethod
    async def put(self) -> None:
        """Put the questions that are parked, deliver what comes, count the round. The others stay for the next one."""

    async def _still(self) -> None:
        """Wait until all that goes on in the gateway is parked, and nobody comes with a further question."""
        seen, turns = (-1, -1, -1), 0
        while turns < STILL_TURNS:
            waiting = sum(not one.answer.done() for one in self.parked.values())
            now = (self.gateway.questions, self.gateway.in_flight, waiting)
            turns = turns + 1 if now == seen else 0
            seen = now
            busy = now[1] != waiting
            await asyncio.sleep(LOOK_SECONDS if busy else 0)
            turns = 0 if busy else turns
