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
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from simulator.errors import BrokerError
from simulator.forward import messages
from simulator.forward.messages import AccountState, Clock, PlacedOrder
from simulator.forward.mode import Keys, check_address, pin_account
from simulator.forward.requests import (
    ClockError,
    OneAttempt,
    OtherOrderError,
    Patience,
    RateLimit,
    Requester,
    UnsentError,
)
from simulator.forward.stream import TradeStream
from simulator.market.bars import moment
from simulator.market.calendar import NEW_YORK
from simulator.trading.broker import DeniedError, RejectedError, UnansweredError
from simulator.trading.model import Book, BrokerFill, OrderReport
from simulator.trading.orders import Ticket
from simulator.trading.parts import Parts, quantities

if TYPE_CHECKING:
    from alpaca.trading.requests import OrderRequest

READINGS = 6
"""Readings of an account before it is said not to hold still."""
MOST_ORDERS = 500
"""Orders of one answer."""
MOST_REPLACED = 1000
"""Replacements of one order that are followed, back and forth."""
OVERLAP = timedelta(hours=1)
"""Executions of so long before the newest are asked for again: they need not be told in order."""
PAGE = 100
"""Executions of one answer."""
OWN_ID = re.compile(r"(exit-|close-)?[0-9a-f]{40}(-\d+)?")
"""Ids of orders that this program sends, see `trading.orders.client_order_id`."""
EXIT, CLOSE = "exit-", "close-"
"""Begin the ids of orders that protect a position, and that close it; their number ends them."""


class AlpacaAccount:
    """`trading.broker.Broker` for one account.

    Parameters
    ----------
    url : address of a rehearsal exchange on this machine, in place of Alpaca's
    number : number of the account at the broker; another one is refused
    is_own : tells from a `client_order_id` whether this program sent the order; others are external
    local_time : this machine's clock, against which the broker's is held; None where that runs by itself, as in a
        rehearsal
    """

    def __init__(
        self,
        keys: Keys,
        *,
        url: str | None = None,
        number: str | None = None,
        patience: Patience = Patience(),  # noqa: B008 - frozen
        is_own: Callable[[str], bool] = lambda one: OWN_ID.fullmatch(one) is not None,
        local_time: Callable[[], datetime] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        from alpaca.trading.client import TradingClient

        check_address(url, keys.paper)
        self.name, self.number, self.patience, self.is_own = keys.account, number, patience, is_own
        self._keys, self._sleep = keys, sleep
        utc = (lambda: datetime.now(UTC)) if url is None else None
        self._local_time = local_time or utc
        self._client = TradingClient(keys.key, keys.secret, paper=keys.paper, raw_data=True, url_override=url)
        limit = RateLimit()
        self._client._session = OneAttempt(limit, patience, local=url is not None)
        self._line = Requester(limit, patience, sleep)
        self.stream: TradeStream | None = None
        self.ticket_of: Callable[[str], Ticket | None] = lambda _id: None
        self.was_refused: Callable[[str], bool] = lambda _id: False
        self._rejected: dict[str, OrderReport] = {}
        self._refused: set[str] = set()
        self._roots: dict[str, str] = {}
        self._legs: set[str] = set()
        self._whys: dict[str, str] = {}
        self._executions: dict[str, BrokerFill] = {}

    def __repr__(self) -> str:
        return f"AlpacaAccount({self.name})"

    def close(self) -> None:
        """End its connections; what is under way goes on at the broker."""
        self._client._session.close()

    def hurry_while(self, says: Callable[[], bool]) -> None:
        """Ask what does not answer only once while `says` returns True."""
        self._line.is_hurried = says

    @property
    def traffic(self) -> tuple[int, int]:
        """Requests so far, and those among them that failed or whose order the broker refused."""
        return self._line.asked, self._line.failed + len(self._refused)

    # The account ------------------------------------------------------------------------------------------------------

    async def state(self) -> AccountState:
        """Return cash, equity and restrictions. Raises BrokerError where it is not the account that is pinned, asked
        twice."""
        found = messages.read_account(await self._line.ask(self._client.get_account))
        if self.number not in (None, found.number):  # an answer gone astray ends nothing
            found = messages.read_account(await self._line.ask(self._client.get_account))
        pin_account(self.name, self.number, found.number)
        return found

    async def account(self) -> Book:
        """Return the account as `Broker.account` has it: read again until no fill and no order came in between."""
        for _ in range(READINGS):
            orders, before = await self._open_orders(), await self.state()
            positions = messages.read_positions(await self._line.ask(self._client.get_all_positions))
            after, still = await self.state(), await self._open_orders()
            if before.cash == after.cash and orders == still:
                entries = [await self._report(one) for one in orders if not is_exit(one)]
                shares, prices = ({name: pair[k] for name, pair in positions.items()} for k in (0, 1))
                return Book(after.cash, shares, prices, after.equity, tuple(entries))
        raise UnansweredError(f"account {self.name} did not hold still over {READINGS} readings")

    async def positions(self) -> dict[str, float]:
        """Return signed shares. Raises BrokerError: a failed query is not flat."""
        found = messages.read_positions(await self._line.ask(self._client.get_all_positions))
        return {symbol: shares for symbol, (shares, _) in found.items()}

    async def clock(self) -> Clock:
        """Return the broker's clock. Raises ClockError where this machine's is too far from it."""
        found = messages.read_clock(await self._line.ask(self._client.get_clock))
        if self._local_time is not None:
            apart = abs((self._local_time() - found.now).total_seconds())
            if apart > self.patience.clock_limit_s:
                raise ClockError(f"the broker's clock is {apart:.0f} s from this machine's", mend="set the clock")
        return found

    async def calendar(self, first: date, last: date) -> list[tuple[datetime, datetime]]:
        """Return (open, close) of each session from `first` to `last`; that there is none is asked twice."""
        from alpaca.trading.requests import GetCalendarRequest

        asked = GetCalendarRequest(start=first, end=last)
        found: Any = await self._line.ask(self._client.get_calendar, asked)
        if found == []:  # what stands before the broker may answer the same at once
            await self._sleep(self.patience.backoff_s)
            found = await self._line.ask(self._client.get_calendar, asked)
        try:
            return [
                (_in_new_york(f"{one['date']}T{one['open']}"), _in_new_york(f"{one['date']}T{one['close']}"))
                for one in messages.items(found, "sessions")
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise BrokerError(f"the broker's calendar is not understood: {error}") from None

    async def executions(self) -> Sequence[BrokerFill]:
        """Return every fill of the account, oldest first; those of a leg carry the id of the order it was sent with,
        those of protective orders the id that `protected_by` reads."""
        newest = max((one.at for one in self._executions.values()), default=0)
        asked: dict[str, Any] = {"direction": "asc", "page_size": PAGE}
        if newest:
            asked["after"] = (moment(newest) - OVERLAP).isoformat()
        while True:
            page: Any = await self._line.ask(self._client.get, "/account/activities/FILL", dict(asked))
            read = [
                (messages.read_execution(body, ""), messages.read_order_id(body))
                for body in messages.items(page, "fills")
            ]
            for fill, order in read:
                if fill.id not in self._executions:
                    root = await self._root(order)
                    self._executions[fill.id] = replace(fill, client_order_id=root, why=self._whys.get(order, "open"))
            if len(read) < PAGE:
                return sorted(self._executions.values(), key=lambda one: one.at)
            if asked.get("page_token") == read[-1][0].id:
                raise BrokerError("the broker tells the same page of fills again and again")
            asked["page_token"] = read[-1][0].id

    # Orders -----------------------------------------------------------------------------------------------------------

    async def find(self, client_order_id: str) -> OrderReport | None:
        """Return the order of that id, or the one that took its place; None where the broker has none."""
        placed = await self._find_placed(client_order_id)
        if placed is None:
            return self._rejected.get(client_order_id)
        ticket = self.ticket_of(client_order_id)
        if ticket is not None and not messages.is_same(messages.to_request(ticket), placed, exits_too=False):
            raise self._another(placed)
        return await self._report(await self._follow(placed))

    async def submit(self, ticket: Ticket) -> OrderReport:
        """Send a ticket. Returns it as the broker has it, also where an earlier attempt had reached it.

        Raises DeniedError and RejectedError, after which `find` tells it as ``rejected``; UnansweredError where the
        broker has not got it and may still get it; BrokerError where its id belongs to a different order, and where
        nobody would hear of its fills: the stream does not listen.
        """
        try:
            messages.check_ticket(ticket)
            await self._wait_for_stream()
            return await self._send(messages.to_request(ticket))
        except (DeniedError, RejectedError) as error:
            found = OrderReport(ticket.client_order_id, ticket.symbol, "rejected", reason=error.found)
            self._rejected[ticket.client_order_id] = found
            raise

    async def cancel(self, client_order_id: str) -> OrderReport:
        """Withdraw an order of our own. Returns it as it ended, when that is confirmed."""
        placed = await self._find_placed(client_order_id)
        if placed is None:
            raise BrokerError(f"{self.name} has no order {client_order_id} to cancel")
        if self._is_external(placed):
            raise BrokerError(f"order {client_order_id} on {placed.symbol} was sent by somebody else: left as it is")
        return await self._report(await self._end(await self._follow(placed)))

    async def _wait_for_stream(self) -> None:
        stream = self.stream
        if stream is None or stream.listening.is_set():
            return
        refused = self._line.closed or stream.refused
        try:
            async with asyncio.timeout(0.0 if refused else self.patience.settle_s):
                await stream.listening.wait()
        except TimeoutError:
            unheard = UnsentError(f"the stream of {self.name} does not listen: nothing is ordered")
            raise refused or stream.refused or unheard from None

    async def _send(self, request: OrderRequest) -> OrderReport:
        client_order_id = str(request.client_order_id)
        try:
            answer = await self._line.order(self._client.submit_order, request)
            try:
                placed = messages.read_order(answer)
            except BrokerError as error:  # it was taken, or not: that is no order
                raise UnansweredError(error.found) from None
        except UnansweredError as error:
            placed = await self._look_up(client_order_id, error)
        except RejectedError as error:
            # An earlier attempt may have taken the id: status 422, in whatever words.
            found = await self._find_placed(client_order_id) if error.status == 422 else None
            if found is None:
                self._refused.add(client_order_id)
                raise
            placed = found
        if not messages.is_same(request, placed):
            raise self._another(placed)
        self._note(placed)
        return await self._report(await self._follow(placed))

    def _another(self, placed: PlacedOrder) -> OtherOrderError:
        return OtherOrderError(
            f"order {placed.client_order_id} at {self.name} is another one, for {placed.symbol}",
            mend="nothing is sent under that id; `sim forward reconcile` shows both",
        )

    async def _look_up(self, client_order_id: str, error: UnansweredError) -> PlacedOrder:
        """Find out what became of an order whose answer never came: it may still be on its way."""
        wait = self.patience.backoff_s / 4
        while True:
            found = await self._find_placed(client_order_id)
            if found is not None:
                return found
            if wait > self.patience.backoff_s:
                raise error
            await self._sleep(wait)
            wait *= 2.0

    async def _find_placed(self, client_order_id: str) -> PlacedOrder | None:
        try:
            body = await self._line.ask(self._client.get_order_by_client_id, client_order_id)
        except RejectedError as error:
            if error.status == 404:
                return None
            raise
        found = messages.read_order(body)
        self._note(found)
        return found

    async def _by_id(self, order_id: str) -> PlacedOrder:
        return messages.read_order(await self._line.ask(self._client.get_order_by_id, order_id))

    async def _follow(self, placed: PlacedOrder) -> PlacedOrder:
        """Return the order at the end of a chain of replacements."""
        for _ in range(MOST_REPLACED):
            if placed.status != "replaced" or placed.replaced_by in (None, placed.id):
                return placed
            placed = await self._by_id(str(placed.replaced_by))
        raise BrokerError(f"replacements of order {placed.client_order_id} have no end")

    async def _end(self, placed: PlacedOrder) -> PlacedOrder:
        """Cancel an order, or the one that took its place; return it once it has ended, by that or by a fill."""
        wait, waited, asked = 0.05, 0.0, set()
        while placed.is_open:
            if placed.id not in asked:
                asked.add(placed.id)
                with suppress(RejectedError, UnansweredError):  # ended already, or not known: the next reading tells
                    await self._line.order(self._client.cancel_order_by_id, placed.id)
            elif waited >= self.patience.settle_s:
                raise UnansweredError(f"the end of order {placed.client_order_id} is not confirmed")
            else:
                await self._sleep(wait)
                waited, wait = waited + wait, min(2.0 * wait, 1.0)
            placed = await self._follow(await self._by_id(placed.id))
        return placed

    async def withdraw(self) -> dict[str, BrokerError]:
        """Cancel all our open orders, exits too. Returns the symbols of those whose end is not confirmed, and why."""
        failed: dict[str, BrokerError] = {}
        for one in await self._open_orders():
            if not self._is_external(one):
                try:
                    await self._end(one)
                except BrokerError as error:
                    failed[one.symbol] = error
        return failed

    async def flatten(self, symbol: str, client_order_id: str) -> OrderReport | None:
        """Order the close of a whole position at the market; None where there is none. Its exits are released first;
        an order of an earlier call is withdrawn."""
        for one in await self._open_orders(symbol):
            if self._is_own_exit(one) or one.client_order_id.startswith(f"{CLOSE}{client_order_id}"):
                await self._end(one)
        held = (await self.positions()).get(symbol, 0.0)
        if not held:
            return None
        return await self._send(
            messages.to_request(Ticket(await self._next(CLOSE, symbol, client_order_id), symbol, -held))
        )

    async def _next(self, prefix: str, symbol: str, client_order_id: str) -> str:
        """Return the next id of the orders that are sent again, each time for what is left."""
        own = f"{prefix}{client_order_id}-"
        there = [
            int(one.client_order_id.removeprefix(own))
            for one in await self._orders("all", [symbol])
            if one.client_order_id.startswith(own)
        ]
        return f"{own}{max(there, default=-1) + 1}"

    async def _orders(self, status: str, symbols: Sequence[str] = (), after: datetime | None = None) -> Any:
        from alpaca.trading.enums import QueryOrderStatus
        from alpaca.trading.requests import GetOrdersRequest

        asked = GetOrdersRequest(
            status=QueryOrderStatus(status), limit=MOST_ORDERS, nested=True, symbols=list(symbols) or None, after=after
        )
        found = messages.read_orders(await self._line.ask(self._client.get_orders, asked))
        for one in reversed(found):  # oldest first: what took the place of another is known by it
            self._note(one)
        return found

    async def _open_orders(self, symbol: str | None = None) -> list[PlacedOrder]:
        """Return open orders, legs among them, oldest last."""
        found = await self._orders("open", [] if symbol is None else [symbol])
        flat = {one.id: one for order in found for one in order.family() if one.is_open}
        for one in flat.values():
            await self._root(one.id)
        return [replace(one, is_leg=True) if one.id in self._legs else one for one in flat.values()]

    def _note(self, placed: PlacedOrder, certain: bool = False) -> None:
        """Keep whose order this is: one that took another's place, and a leg, belong to the order that was sent."""
        root = self._roots.get(placed.replaces or "", placed.client_order_id)
        own = self.is_own(root)
        # Else it may be a leg that was told by itself, or have taken the place of an order of ours.
        if own or certain or (placed.order_class == "simple" and placed.replaces is None):
            for one in placed.family():
                self._roots.setdefault(one.id, root if own else "")
        self._legs.update(one.id for one in placed.legs)
        for one in placed.family():
            at_limit = "take_profit" if is_exit(one) or one.id in self._legs else "limit"
            self._whys[one.id] = "stop" if one.stop is not None else "open" if one.limit is None else at_limit

    async def _root(self, order_id: str) -> str:
        """Return the id under which the order was sent, or the one it is a part of; empty if somebody else did."""
        if order_id not in self._roots:
            for one in reversed(await self._orders("all")):
                self._note(one, certain=one.replaces is None or one.replaces in self._roots)
        chain: dict[str, PlacedOrder] = {}
        ahead = order_id
        while ahead not in self._roots and ahead not in chain:
            if len(chain) == MOST_REPLACED:
                raise BrokerError(f"replacements of order {order_id} have no beginning")
            try:
                chain[ahead] = await self._by_id(ahead)
            except RejectedError as error:
                if error.status != 404:
                    raise
                break  # the broker knows no more of it: what came before was not ours, or is long gone
            ahead = chain[ahead].replaces or ahead
        for one in reversed(chain.values()):
            self._note(one, certain=True)
        return self._roots.setdefault(order_id, "")

    async def _report(self, placed: PlacedOrder) -> OrderReport:
        """Return an order under the id by which it was sent."""
        root = await self._root(placed.id)
        known_as = root if root and not placed.is_leg else placed.client_order_id
        if root and placed.status == "rejected" and not self.was_refused(known_as):
            self._refused.add(known_as)
        return replace(placed.report(external=not root), client_order_id=known_as)

    def _is_external(self, placed: PlacedOrder) -> bool:
        return not self._roots.get(placed.id)

    # Protection -------------------------------------------------------------------------------------------------------

    async def protect(
        self, symbol: str, stop: float | None, take_profit: float | None, client_order_id: str, exits: Parts = ()
    ) -> float:
        """Replace the protective orders of a position, sized to the whole shares of it that no other order is to
        close: one for each of the parts that leave before the rest, with the stop for its own shares, and one for the
        rest. Returns the shares that are protected; none where the position has gone meanwhile.

        Raises RejectedError where the broker takes no such exit, e.g. a stop that the price has passed already, and
        BrokerError where the position has changed its side meanwhile: both exits filled.
        """
        held, standing = await self._to_protect(symbol)
        legs = _legs(held, stop, take_profit, exits)
        if legs and _stand_already(stop, held, legs, standing):
            return sum(shares for shares, _ in legs)
        for one in standing:
            await self._end(one)
        # Only now is it known what is held: an exit may have filled before its cancel came.
        now, _ = await self._to_protect(symbol)
        if now * held < 0.0:
            raise BrokerError(f"{self.name} holds {now:g} {symbol} where it held {held:g}: both exits filled")
        legs = _legs(now, stop, take_profit, exits)
        own, number = (await self._next(EXIT, symbol, client_order_id)).rsplit("-", 1) if legs else ("", "0")
        for n, (shares, at) in enumerate(legs, int(number)):
            await self._send(messages.exit_request(symbol, math.copysign(shares, now), stop, at, f"{own}-{n}"))
        return sum(shares for shares, _ in legs)

    async def _to_protect(self, symbol: str) -> tuple[float, list[PlacedOrder]]:
        """Return signed shares that no other order is to close, and our open exits."""
        orders, held = await self._open_orders(symbol), (await self.positions()).get(symbol, 0.0)
        exits = [one for one in orders if self._is_own_exit(one)]
        others = [one for one in orders if one not in exits and one.status != "held" and one.sign * held < 0.0]
        taken = sum(one.left for one in others if one.left == one.left and not one.is_leg)
        return math.copysign(max(abs(held) - taken, 0.0), held), exits

    async def release(self, symbol: str) -> None:
        """Cancel the protective orders of a position; return when all are confirmed gone."""
        for one in await self._open_orders(symbol):
            if self._is_own_exit(one):
                await self._end(one)

    def _is_own_exit(self, one: PlacedOrder) -> bool:
        """Return True for an exit of a position; one that waits for its entry is that entry's own matter."""
        return is_exit(one) and one.status != "held" and not self._is_external(one)

    # Updates ----------------------------------------------------------------------------------------------------------

    async def updates(self) -> AsyncGenerator[OrderReport, None]:
        """Yield orders of the account as they change, from now on. While this runs, orders wait for its stream.

        They are read when the stream tells something, when it was connected anew, and every `poll_s` seconds; where
        these looks find more than the stream sent, it is mute and connected anew.
        """
        address = str(self._client._base_url).replace("http", "ws", 1) + "/stream"
        stream = self.stream = TradeStream(self._keys, address, self.patience, self._sleep)
        try:
            since, known = (await self.clock()).now, {one.id: one for one in await self._open_orders()}
            async with stream.running():
                while True:
                    told = await stream.wait_for_change(self.patience.poll_s)
                    news, since = await self._changes(known, since)
                    for one in news:
                        yield await self._report(one)
                    if news and not told and not await stream.wait_for_change(self.patience.backoff_s):
                        await stream.reconnect()
        finally:
            self.stream = None

    async def _changes(self, known: dict[str, PlacedOrder], since: datetime) -> tuple[list[PlacedOrder], datetime]:
        """Return orders that are not as in `known`, which is brought up to date, and when the newest of all came."""
        found = {one.id: one for one in await self._open_orders()}
        for order in await self._orders("all", after=since - timedelta(seconds=1)):
            found.update({one.id: one for one in order.family()})
        for gone in [key for key, one in known.items() if one.is_open and key not in found]:
            found[gone] = await self._by_id(gone)
        news = [one for key, one in found.items() if known.get(key) != one]
        known.update(found)
        return news, max([since, *(one.created_at for one in found.values() if one.created_at is not None)])


def is_exit(one: PlacedOrder) -> bool:
    """Return True for a protective order: a leg, or one that `protect` sent."""
    return one.is_leg or one.client_order_id.startswith(EXIT)


def protected_by(client_order_id: str) -> str | None:
    """Return the id that `protect` was given of an order that it sent, None for others."""
    found = re.fullmatch(rf"{EXIT}(.+)-\d+", client_order_id)
    return None if found is None else found[1]


Leg = tuple[float, float | None]
"""Whole shares without sign, and the price at which they take their profit, None for nowhere."""


def _legs(held: float, stop: float | None, take_profit: float | None, parts: Parts) -> list[Leg]:
    """Return the orders that protect `held` shares; a fraction of a share, and what has no price, is not protected."""
    prices = (*(price for _, price in parts), take_profit)
    legs = zip(quantities(parts, held), prices, strict=True)
    return [(shares, at) for shares, at in legs if shares and not (stop is None and at is None)]


def _stand_already(stop: float | None, held: float, legs: Iterable[Leg], exits: Iterable[PlacedOrder]) -> bool:
    """Return True where the open `exits` are those that are wanted."""
    there = sorted((one.stop or 0.0, one.limit or 0.0, one.sign * one.left) for one in exits)
    sign = -math.copysign(1.0, held)
    wanted = [
        (*pair, sign * shares) for shares, at in legs for pair in ((stop or 0.0, 0.0), (0.0, at or 0.0)) if any(pair)
    ]
    return there == sorted(wanted)


def _in_new_york(given: str) -> datetime:
    return datetime.fromisoformat(given).replace(tzinfo=NEW_YORK)
