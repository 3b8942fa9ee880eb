"""Guard of an account: every position has the protection that was decided, and nothing is held that nobody decided on.

state: what is to be ──► the broker: what is ──► protect, release, flatten
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from simulator.errors import BrokerError
from simulator.forward import payloads
from simulator.forward.alerts import Kind
from simulator.forward.protocols import ForwardBroker
from simulator.forward.requests import LeftAloneError
from simulator.forward.state import Protection, State, own_id
from simulator.trading.broker import DeniedError, RejectedError, UnansweredError
from simulator.trading.fills import LEAST_SHARES
from simulator.trading.orders import Ticket, session_hours

Put = Callable[[Mapping[str, Any]], None]
"""Records how an order stands."""
Tell = Callable[[Kind, str, str], None]


PATIENCE = timedelta(seconds=30)
"""Time the rest of an entry may take to fill while its first part goes unprotected: brokers take no exit beside it. And
time after which a fill that the broker's positions show is told."""
AGAIN = timedelta(minutes=5)
"""Time between two looks at a position of which the broker has other shares than the books."""


@dataclass(eq=False)
class Guard:
    """Guard of the account that `state` describes. `stirred` is set where anything may have changed at the broker.

    `again_at` is when it wants to look again, by symbol. It is `asleep` from the end of a session until it is known
    what was split over night: prices and shares of the broker may be those of another day. `doubted` are symbols of
    which the broker has other shares than the books, and since when: a split that nobody reported, as no fill says why.
    """

    state: State
    broker: ForwardBroker
    stirred: bool = True
    asleep: bool = False
    again_at: dict[str, datetime] = field(default_factory=dict)
    doubted: dict[str, datetime] = field(default_factory=dict)
    _bare: set[str] = field(default_factory=set)
    """Of the doubted: those whose exits were withdrawn."""
    _fractions: dict[str, float] = field(default_factory=dict)
    """Parts of a share without exits that were told."""
    _seen: tuple[object, ...] = ()
    _held: set[str] = field(default_factory=set)

    async def look(self, now: datetime, skipped: frozenset[str], put: Put, tell: Tell) -> bool:
        """Mend what is not as it should be; return True where an order was sent. Symbols `skipped` are being traded.

        Exits at the broker are asked for where fills or decisions have changed since the last look, and where
        `stirred`. Raises BrokerError where the broker does not answer.
        """
        if self.asleep:
            return False
        for symbol in self.again_at.keys() - self.state.shares.keys():
            del self.again_at[symbol]
        flattened = await self._flatten(now, put, tell)
        seen = (dict(self.state.shares), dict(self.state.protection), skipped)
        waited = any(at <= now for at in self.again_at.values())
        if not self.stirred and seen == self._seen and not waited:
            return flattened
        await self._compare(now, skipped, tell)
        left = skipped | self.state.to_flatten.keys() | self.doubted.keys()
        for symbol, wanted in list(self.state.protection.items()):
            if symbol in self.state.shares and symbol not in left:
                await self._protect(symbol, wanted, now, put, tell)
        for symbol in self._held - set(self.state.shares) - skipped:
            await self.broker.release(symbol)  # an exit without its position would open another
        self._held = set(self.state.shares)
        self._seen, self.stirred = seen, False
        return flattened

    async def _compare(self, now: datetime, skipped: frozenset[str], tell: Tell) -> None:
        """Doubt positions of which the broker has other shares than the books; where that lasts, their exits, which are
        for a wrong number of shares at prices of other ones, are withdrawn."""
        theirs = await self.broker.positions() if self.state.shares or self.doubted else {}
        found = find_unexplained(self.state.shares, theirs)
        for symbol in self.doubted.keys() - found.keys():
            del self.doubted[symbol]
            self.again_at.pop(symbol, None)
            self._bare.discard(symbol)
        for symbol in found.keys() - skipped:
            if self.doubt(symbol, now) and symbol not in self._bare:
                await self.broker.release(symbol)
                self._bare.add(symbol)
                tell("position unprotected", f"{found[symbol]}; its exits are withdrawn", self.state.origin.account)

    def doubt(self, symbol: str, now: datetime) -> bool:
        """Doubt a position, and look at it again; return True where it has been for longer than a fill takes."""
        lasts = now - self.doubted.setdefault(symbol, now) >= PATIENCE
        self.again_at[symbol] = now + (AGAIN if lasts else PATIENCE)
        return lasts

    async def _protect(self, symbol: str, wanted: Protection, now: datetime, put: Put, tell: Tell) -> None:
        name, parts = self.state.origin.account, wanted.parts_left(self.state.shares[symbol])
        at_work = [key for key in self.state.open_ids if self.state.tickets[key].symbol == symbol]
        try:
            covered = await self.broker.protect(symbol, wanted.stop, wanted.take_profit, wanted.id, parts)
            self.again_at.pop(symbol, None)
            bare = abs(self.state.shares[symbol]) - covered
            if LEAST_SHARES < bare < 1.0 and self._fractions.get(symbol) != bare:
                self._fractions[symbol] = bare
                tell("position unprotected", f"{bare:g} {symbol}: exits are for whole shares alone", name)
        except (DeniedError, RejectedError) as error:
            entry = at_work[0] if at_work else None
            if entry is not None and now < self.again_at.setdefault(symbol, now + PATIENCE):
                return
            if entry is not None:
                ended = await self.broker.cancel(entry)
                put({"client_order_id": entry, "symbol": symbol, "state": ended.status, "filled": ended.filled,
                     "why": "its rest did not fill, and what has filled is protected"})  # fmt: skip
                self.again_at.pop(symbol)
                await self.broker.protect(symbol, wanted.stop, wanted.take_profit, wanted.id, parts)
                return
            tell("position unprotected", f"{symbol}: {error.found}", name)
            account, opens_at = await self.broker.account(), session_hours(now)[0]
            price, held = account.marks.get(symbol), self.state.shares[symbol]
            # Only in the session, and only what the broker has as the books have it: else the price may be another's.
            same = math.isclose(account.positions.get(symbol, 0.0), held, rel_tol=1e-9)
            if same and now >= opens_at and price is not None and _is_passed(wanted, held, price):
                self.state.to_flatten[symbol] = own_id(wanted.id, "passed")
        except (UnansweredError, LeftAloneError):
            raise
        except BrokerError as error:  # both exits filled: the fills, which come next, tell what is to be undone
            tell("position unprotected", f"{symbol}: {error.found}", name)

    async def _flatten(self, now: datetime, put: Put, tell: Tell) -> bool:
        """Close what nobody decided on, at the market: as much of it as the broker has, too.

        Fills may arrive late, and books that lack one show a position that is none.
        """
        sent, account = False, self.state.origin.account
        for symbol, cause in list(self.state.to_flatten.items()):
            held = self.state.shares.get(symbol, 0.0)
            if not held:
                self.state.to_flatten.pop(symbol)
            if not held or symbol in self.doubted:
                continue
            if self.state.states.get(cause) in ("filled", "given up"):
                continue
            report = await self.broker.find(cause)
            if report is not None:
                if report.status != self.state.states.get(cause):
                    put({"client_order_id": cause, "symbol": symbol, "state": report.status, "filled": report.filled})
                if report.status in ("cancelled", "rejected", "partly_filled"):
                    self.state.to_flatten[symbol] = own_id(cause, "again")
                continue
            if cause not in self.state.tickets:
                if now < self.again_at.get(symbol, now):
                    continue
                theirs = (await self.broker.positions()).get(symbol, 0.0)
                if theirs * held <= 0.0:
                    self.again_at[symbol] = now + PATIENCE
                    continue
                self.again_at.pop(symbol, None)
                held = math.copysign(min(abs(held), abs(theirs)), held)
                ticket = Ticket(cause, symbol, round(-held, 9))
                put({"client_order_id": cause, "symbol": symbol, "state": "open", "cause": cause,
                     "why": "a position that nobody decided on", "ticket": payloads.write_ticket(ticket)})  # fmt: skip
                tell("position unintended", f"{held:g} {symbol} is closed at the market", account)
            await self.broker.release(symbol)
            try:
                await self.broker.submit(self.state.tickets[cause])
                sent = True
            except (DeniedError, RejectedError) as error:
                put({"client_order_id": cause, "symbol": symbol, "state": "given up", "why": error.found})
                tell("position unintended", f"{symbol} could not be closed: {error.found}", account)
        return sent


def find_unexplained(
    books: Mapping[str, float], theirs: Mapping[str, float], passed: Collection[str] = ()
) -> dict[str, str]:
    """Return {symbol: a sentence} of positions on the same side in `books` and at the broker, a share or more apart;
    `passed` ones are passed over. A fraction that was paid out after a split is none."""
    found = {}
    for symbol in books.keys() - set(passed):
        mine, other = books[symbol], theirs.get(symbol, 0.0)
        if mine * other > 0.0 and abs(mine - other) >= 1.0 - LEAST_SHARES:
            found[symbol] = (
                f"{symbol}: {mine:g} in the books, {other:g} at the broker, and no fill says why. Until a split does, "
                "told by the broker or in splits.csv of the test, nothing is decided or booked"
            )
    return found


def _is_passed(wanted: Protection, shares: float, price: float) -> bool:
    """Return True where `price` lies beyond a price that was to close the position."""
    up = 1.0 if shares > 0.0 else -1.0
    stopped = wanted.stop is not None and up * price <= up * wanted.stop
    return stopped or (wanted.take_profit is not None and up * price >= up * wanted.take_profit)
