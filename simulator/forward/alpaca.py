"""One account at Alpaca, by way of alpaca-py: orders, protective orders, the account from one consistent reading.

    submit ─► denied: never sent        protect, release ─► cancel ─► wait until it is confirmed ─► what is held now?
              rejected                                                   the fill wins ◄─┘           └─► send the rest
              accepted
              unknown ─► looked up by its id before anything else is sent

Every id is the caller's; exits are sent under ids made of it. REST is the truth, the stream a hint that it has changed.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from simulator.errors import BrokerError
from simulator.forward import messages
from simulator.forward.messages import AccountState, Clock, PlacedOrder
from simulator.forward.mode import Keys, check_address
from simulator.forward.requests import Line, OneAttempt, Patience, RateLimit, thread_pool
from simulator.market.calendar import NEW_YORK
from simulator.trading.broker import RejectedError, UnansweredError
from simulator.trading.model import Book, OrderReport
from simulator.trading.orders import Ticket

if TYPE_CHECKING:
    from alpaca.trading.requests import OrderRequest

READINGS = 6
"""Readings of an account before it is said not to hold still."""
MOST_ORDERS = 500
"""Orders of one answer."""
CLOCK_LIMIT_S = 120.0
"""Seconds by which this machine's clock may differ from the broker's, which is the one that counts."""
OWN_ID = re.compile(r"(exit-)?[0-9a-f]{40}(-\d+)?")
"""Ids of orders that this program sends, see `trading.orders.client_order_id`."""
EXIT = "exit-"


class AlpacaAccount:
    """`trading.broker.Broker` for one account.

    Parameters
    ----------
    url : address of a rehearsal exchange on this machine, in place of Alpaca's
    number : number of the account at the broker; another one is refused
    is_own : tells from a `client_order_id` whether this program sent the order; others are external
    local_time : this machine's clock, against which the broker's is held; None where it runs by itself, as a
        rehearsal's does
    """

    def __init__(
        self,
        keys: Keys,
        *,
        url: str | None = None,
        number: str | None = None,
        patience: Patience = Patience(),  # noqa: B008 - frozen
        is_own: Callable[[str], bool] = lambda one: OWN_ID.fullmatch(one) is not None,
        local_time: Callable[[], datetime] | None = lambda: datetime.now(UTC),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        from alpaca.trading.client import TradingClient

        check_address(url, keys.paper)
        self.name, self.number, self.patience, self.is_own = keys.account, number, patience, is_own
        self._keys, self._url, self._local_time, self._sleep = keys, url, local_time, sleep
        self._client = TradingClient(keys.key, keys.secret, paper=keys.paper, raw_data=True, url_override=url)
        limit = RateLimit()
        self._client._session = OneAttempt(limit, patience, local=url is not None)
        self._pool = thread_pool(keys.account)
        self._line = Line(limit, patience, self._pool, sleep)

    def __repr__(self) -> str:
        return f"AlpacaAccount({self.name})"

    def close(self) -> None:
        """End its connections; what is under way goes on at the broker."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._client._session.close()

    # The account ------------------------------------------------------------------------------------------------------

    async def state(self) -> AccountState:
        """Return cash, equity and restrictions. Raises BrokerError where it is not the account that is pinned."""
        found = messages.read_account(await self._line.ask(self._client.get_account))
        if self.number is not None and found.number != self.number:
            raise BrokerError(
                f"the keys of {self.name} open account {found.number}, registered is {self.number}",
                mend="a paper account that was reset is another one: register anew",
            )
        return found

    async def account(self) -> Book:
        """Return the account as `Broker.account` has it: read again until no fill and no order came in between."""
        for _ in range(READINGS):
            orders, before = await self._open_orders(), await self.state()
            positions = messages.read_positions(await self._line.ask(self._client.get_all_positions))
            after, still = await self.state(), await self._open_orders()
            if before.cash == after.cash and orders == still:
                entries = [one.report(self._is_external(one)) for one in orders if not is_exit(one)]
                return Book(
                    after.cash,
                    {symbol: shares for symbol, (shares, _) in positions.items()},
                    {symbol: price for symbol, (_, price) in positions.items()},
                    after.equity,
                    tuple(entries),
                )
        raise UnansweredError(f"account {self.name} did not hold still over {READINGS} readings")

    async def positions(self) -> dict[str, float]:
        """Return signed shares. Raises BrokerError: a failed query is not flat."""
        found = messages.read_positions(await self._line.ask(self._client.get_all_positions))
        return {symbol: shares for symbol, (shares, _) in found.items()}

    async def clock(self) -> Clock:
        """Return the broker's clock. Raises BrokerError where this machine's is further from it than CLOCK_LIMIT_S."""
        found = messages.read_clock(await self._line.ask(self._client.get_clock))
        if self._local_time is not None:
            apart = abs((self._local_time() - found.now).total_seconds())
            if apart > CLOCK_LIMIT_S:
                raise BrokerError(f"the broker's clock is {apart:.0f} s from this machine's", mend="set the clock")
        return found

    async def calendar(self, first: date, last: date) -> list[tuple[datetime, datetime]]:
        """Return (open, close) of each session from `first` to `last`."""
        from alpaca.trading.requests import GetCalendarRequest

        found: Any = await self._line.ask(self._client.get_calendar, GetCalendarRequest(start=first, end=last))
        try:
            return [
                (_in_new_york(f"{one['date']}T{one['open']}"), _in_new_york(f"{one['date']}T{one['close']}"))
                for one in found
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise BrokerError(f"the broker's calendar is not understood: {error}") from None

    # Orders -----------------------------------------------------------------------------------------------------------

    async def find(self, client_order_id: str) -> OrderReport | None:
        """Return the order of that id, or the one that took its place; None where the broker has none."""
        placed = await self._placed(client_order_id)
        if placed is None:
            return None
        last = await self._follow(placed)
        return _under(client_order_id, last.report(self._is_external(placed)))

    async def submit(self, ticket: Ticket) -> OrderReport:
        """Send a ticket. Returns it as the broker has it, also where an earlier attempt had reached it.

        Raises DeniedError, RejectedError, UnansweredError where the broker has not got it yet and may still get it, and
        BrokerError where the id belongs to a different order.
        """
        messages.check_ticket(ticket)
        return await self._send(messages.to_request(ticket))

    async def cancel(self, client_order_id: str) -> OrderReport:
        """Withdraw an order of our own. Returns it as it ended, when that is confirmed."""
        placed = await self._placed(client_order_id)
        if placed is None:
            raise BrokerError(f"{self.name} has no order {client_order_id} to cancel")
        if self._is_external(placed):
            raise BrokerError(f"order {client_order_id} on {placed.symbol} was sent by somebody else: left as it is")
        ended = await self._end(await self._follow(placed))
        return _under(client_order_id, ended.report())

    async def _send(self, request: OrderRequest) -> OrderReport:
        client_order_id = str(request.client_order_id)
        try:
            placed = messages.read_order(await self._line.order(self._client.submit_order, request))
        except UnansweredError as error:
            placed = await self._look_up(client_order_id, error)
        except RejectedError as error:
            # An earlier attempt may have taken the id: status 422, in whatever words.
            found = await self._placed(client_order_id) if error.status == 422 else None
            if found is None:
                raise
            placed = found
        if not messages.is_same(request, placed):
            raise BrokerError(
                f"order {client_order_id} at {self.name} is another one, for {placed.symbol}",
                mend="nothing is sent under that id; `sim forward reconcile` shows both",
            )
        return (await self._follow(placed)).report()

    async def _look_up(self, client_order_id: str, error: UnansweredError) -> PlacedOrder:
        """Find out what became of an order whose answer never came: it may still be on its way."""
        wait = self.patience.backoff_s / 4
        while True:
            found = await self._placed(client_order_id)
            if found is not None:
                return found
            if wait > self.patience.backoff_s:
                raise error
            await self._sleep(wait)
            wait *= 2.0

    async def _placed(self, client_order_id: str) -> PlacedOrder | None:
        try:
            body = await self._line.ask(self._client.get_order_by_client_id, client_order_id)
        except RejectedError as error:
            if error.status == 404:
                return None
            raise
        return messages.read_order(body)

    async def _by_id(self, order_id: str) -> PlacedOrder:
        return messages.read_order(await self._line.ask(self._client.get_order_by_id, order_id))

    async def _follow(self, placed: PlacedOrder) -> PlacedOrder:
        """Return the order at the end of a chain of replacements."""
        while placed.status == "replaced" and placed.replaced_by is not None:
            placed = await self._by_id(placed.replaced_by)
        return placed

    async def _end(self, placed: PlacedOrder) -> PlacedOrder:
        """Cancel an order and return it once it has ended, by that or by a fill that came first."""
        if placed.is_open:
            with suppress(RejectedError, UnansweredError):  # ended already, or not known: the next reading tells
                await self._line.order(self._client.cancel_order_by_id, placed.id)
        wait, waited = 0.05, 0.0
        while True:
            placed = await self._follow(await self._by_id(placed.id))
            if not placed.is_open:
                return placed
            if waited >= self.patience.settle_s:
                raise UnansweredError(f"the end of order {placed.client_order_id} is not confirmed")
            await self._sleep(wait)
            waited, wait = waited + wait, min(2.0 * wait, 1.0)

    async def _orders(self, status: str, symbols: Sequence[str] = (), after: datetime | None = None) -> Any:
        from alpaca.trading.enums import QueryOrderStatus
        from alpaca.trading.requests import GetOrdersRequest

        asked = GetOrdersRequest(
            status=QueryOrderStatus(status), limit=MOST_ORDERS, nested=True, symbols=list(symbols) or None, after=after
        )
        return messages.read_orders(await self._line.ask(self._client.get_orders, asked))

    async def _open_orders(self, symbol: str | None = None) -> list[PlacedOrder]:
        """Return open orders, legs among them, oldest last."""
        found = await self._orders("open", [] if symbol is None else [symbol])
        return [one for order in found for one in order.family() if one.is_open]

    def _is_external(self, placed: PlacedOrder) -> bool:
        return not placed.is_leg and not self.is_own(placed.client_order_id)

    # Protection -------------------------------------------------------------------------------------------------------

    async def protect(self, symbol: str, stop: float | None, take_profit: float | None, client_order_id: str) -> float:
        """Replace the protective orders of a position, sized to the whole shares that are held. Returns these; none
        where the position has gone meanwhile.

        Raises RejectedError where the broker takes no such exit, e.g. a stop that the price has passed already.
        """
        held = (await self.positions()).get(symbol, 0.0)
        wanted = messages.exit_request(symbol, held, stop, take_profit, client_order_id)
        if wanted is not None and _stand_already(stop, take_profit, held, await self._exits(symbol)):
            return wanted.qty or 0.0
        await self.release(symbol)
        # Only now is it known what is held: an exit may have filled before its cancel came.
        now = (await self.positions()).get(symbol, 0.0)
        if now * held < 0.0:
            raise BrokerError(f"{self.name} holds {now:g} {symbol} where it held {held:g}: both exits filled")
        own = f"{EXIT}{client_order_id}-"
        count = sum(one.client_order_id.startswith(own) for one in await self._orders("all", [symbol]))
        wanted = messages.exit_request(symbol, now, stop, take_profit, f"{own}{count}")
        if wanted is None:
            return 0.0
        await self._send(wanted)
        return wanted.qty or 0.0

    async def release(self, symbol: str) -> None:
        """Cancel the protective orders of a position; return when all are confirmed gone."""
        for one in await self._exits(symbol):
            await self._end(one)

    async def _exits(self, symbol: str) -> list[PlacedOrder]:
        """Return our open exits of a position; those that wait for an entry are its own matter."""
        return [
            one
            for one in await self._open_orders(symbol)
            if is_exit(one) and one.status != "held" and not self._is_external(one)
        ]

    # Updates ----------------------------------------------------------------------------------------------------------

    async def updates(self) -> AsyncIterator[OrderReport]:
        """Yield orders of the account as they change, from now on."""
        known = {one.id: one for one in await self._open_orders()}
        newest = (await self.clock()).now
        while True:
            await self._sleep(1.0)
            found = {one.id: one for one in await self._open_orders()}
            for order in await self._orders("all", after=newest - timedelta(seconds=1)):
                found.update({one.id: one for one in order.family()})
            for gone in known.keys() - found.keys():
                if known[gone].is_open:
                    found[gone] = await self._by_id(gone)
            for one in found.values():
                if known.get(one.id) != one:
                    yield one.report(self._is_external(one))
            known.update(found)


def is_exit(one: PlacedOrder) -> bool:
    """Return True for a protective order: a leg, or one that `protect` sent."""
    return one.is_leg or one.client_order_id.startswith(EXIT)


def _stand_already(stop: float | None, take_profit: float | None, held: float, exits: Iterable[PlacedOrder]) -> bool:
    """Return True where the open `exits` are those that are wanted."""
    there = sorted((one.stop or 0.0, one.limit or 0.0, one.sign * one.left) for one in exits)
    shares = -math.copysign(math.floor(abs(held) + 1e-9), held)
    prices = [(stop or 0.0, 0.0), (0.0, take_profit or 0.0)]
    return there == sorted((*pair, shares) for pair in prices if any(pair))


def _under(client_order_id: str, report: OrderReport) -> OrderReport:
    return replace(report, client_order_id=client_order_id)


def _in_new_york(given: str) -> datetime:
    return datetime.fromisoformat(given).replace(tzinfo=NEW_YORK)
