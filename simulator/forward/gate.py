"""Gate before a broker: every order of an intent is looked at again right before it is sent, however long it waited."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from simulator.forward.protocols import ForwardBroker
from simulator.trading.broker import DeniedError
from simulator.trading.cycle import Intent
from simulator.trading.model import Book, OrderReport
from simulator.trading.orders import Ticket
from simulator.trading.parts import Parts

Check = Callable[[Ticket, Book], str]
"""Returns why a ticket is not to be sent on an account as it was read last, empty where it is. It may raise."""
Hold = Callable[[Intent, Sequence[Ticket]], frozenset[str]]
"""Returns the ids of tickets that wait for a person."""


@dataclass(eq=False)
class Gated:
    """`broker` as `trading.cycle.execute` sees it: what `check` refuses is given up, what `hold` names waits."""

    broker: ForwardBroker
    check: Check | None = None
    hold: Hold | None = None
    _book: Book | None = None

    async def account(self) -> Book:
        self._book = await self.broker.account()
        return self._book

    async def submit(self, ticket: Ticket) -> OrderReport:
        book = self._book or await self.account()
        if self.check is not None and (why := self.check(ticket, book)):
            raise DeniedError(why)
        return await self.broker.submit(ticket)

    def find_held_back(self, intent: Intent, tickets: Sequence[Ticket]) -> frozenset[str]:
        return frozenset() if self.hold is None else self.hold(intent, tickets)

    async def find(self, client_order_id: str) -> OrderReport | None:
        return await self.broker.find(client_order_id)

    async def cancel(self, client_order_id: str) -> OrderReport:
        return await self.broker.cancel(client_order_id)

    async def protect(
        self, symbol: str, stop: float | None, take_profit: float | None, client_order_id: str, exits: Parts = ()
    ) -> float:
        return await self.broker.protect(symbol, stop, take_profit, client_order_id, exits)

    async def release(self, symbol: str) -> None:
        await self.broker.release(symbol)

    def updates(self) -> AsyncIterator[OrderReport]:
        return self.broker.updates()
