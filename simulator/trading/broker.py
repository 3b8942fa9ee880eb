"""Brokers, to which orders go: a real one, asked over a network, and the books of a replay, which answer at once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from simulator.errors import BrokerError
from simulator.trading.model import Book, Order, OrderReport, Past, Rejection
from simulator.trading.parts import Parts

if TYPE_CHECKING:
    from simulator.trading.cycle import Intent
    from simulator.trading.orders import Ticket


class UnansweredError(BrokerError):
    """A request whose answer never came: the broker may have carried it out, or may not."""


class DeniedError(BrokerError):
    """An order that is never sent: the broker takes nothing of the kind."""


class RejectedError(BrokerError):
    """A request that the broker refused for good, with the HTTP `status` of its answer; it had no effect."""

    def __init__(self, found: str, *, mend: str | None = None, status: int = 422) -> None:
        super().__init__(found, mend=mend)
        self.status = status


class Broker(Protocol):
    """One account at a broker. Orders fill between any two calls, and every call may raise BrokerError.

    A call that may or may not have reached the broker raises UnansweredError; the order is then looked up with `find`
    before anything is sent again.
    """

    async def account(self) -> Book:
        """Return the account from one reading: cash, positions, open orders, marks and equity that belong together."""

    async def find(self, client_order_id: str) -> OrderReport | None:
        """Return the order of that id, open or not; None where the broker never took it and never will."""

    async def submit(self, ticket: Ticket) -> OrderReport:
        """Send `ticket` under its id. Raises DeniedError, RejectedError, UnansweredError."""

    async def cancel(self, client_order_id: str) -> OrderReport:
        """Withdraw an order. Returns it as it ended: it may have filled first. Raises UnansweredError."""

    async def protect(
        self, symbol: str, stop: float | None, take_profit: float | None, client_order_id: str, exits: Parts = ()
    ) -> float:
        """Replace the protective prices of a position; none at all removes them. The same call twice is one. `exits`
        are what leaves before the rest, as shares of what is left.

        Returns the shares that are protected, whole ones. Raises RejectedError where the broker takes no such exit.
        """

    async def release(self, symbol: str) -> None:
        """Cancel the protective orders of a position; returns when all are confirmed gone and its shares are free.
        Each may have filled first. Nothing happens where there are none. Raises UnansweredError."""

    def updates(self) -> AsyncIterator[OrderReport]:
        """Yield orders of the account as they change, from now on."""


@runtime_checkable
class HoldsOrders(Protocol):
    """A broker behind a gate at which orders wait for a person."""

    def find_held_back(self, intent: Intent, tickets: Sequence[Ticket]) -> frozenset[str]:
        """Return the ids of those `tickets` of `intent` that are not to be sent yet."""


class ImmediateBroker(Protocol):
    """The books of a replay: a call is carried out when it returns, and nothing fills between two calls."""

    def book(self) -> Book:
        """Return the account as of the newest known prices."""

    def past(self, as_of: datetime) -> Past:
        """Return what the account has been through by then."""

    @property
    def next_id(self) -> int:
        """`Order.id` the next order is to carry."""

    def submit(self, orders: Sequence[Order], refused: Sequence[Rejection] = ()) -> None:
        """Take the orders of one decision. They fill no earlier than the next bar that opens.

        `refused` are targets that sizing could not turn into orders; they are recorded only.
        """

    def cancel(self, symbols: Sequence[str]) -> None:
        """Withdraw what is still pending on `symbols`; nothing happens where nothing is."""

    def protect(self, symbol: str, stop: float | None, take_profit: float | None, exits: Parts = ()) -> None:
        """Replace the protective prices of a position that is already held; none at all removes them. `exits` are what
        leaves before the rest, as shares of what is left."""
