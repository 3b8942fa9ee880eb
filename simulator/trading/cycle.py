"""One decision, the same in replay and in forward trading: all asking, then a plan, then its execution.

    Snapshot ──► opine ──► consult ──► plan: decide ──► risk.limit ──► sizing ──► Intent ──► carry_out   (replay)
                (market)   (+ book)    (asks nobody)                                    └──► execute     (a broker)
                                                                                fills no earlier than the next open

What is impure is handed in: the clock (`Snapshot.as_of`), the broker, and whatever the strategy asks its models
through. For equal arguments `plan` returns equal intents.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isclose
from typing import TypeVar

from simulator.config import Config
from simulator.errors import BrokerError
from simulator.market.bars import Snapshot
from simulator.trading import risk
from simulator.trading.broker import Broker, UnansweredError
from simulator.trading.execution import ExecutionRules
from simulator.trading.model import Book, Decision, OrderReport
from simulator.trading.orders import Origin, entry_orders, protections
from simulator.trading.sizing import Instructions, orders_for
from simulator.trading.strategy import Strategy

Opinion = TypeVar("Opinion")

PASSES = 20
"""Readings of an account before execution gives up: each is followed by one step, and most intents need one to three.
"""


@dataclass(frozen=True)
class TradingRules:
    """Agreed before trading starts: limits on targets, and how orders are sized, filled and charged."""

    limits: risk.Limits
    execution: ExecutionRules

    @classmethod
    def from_config(cls, config: Config) -> TradingRules:
        return cls(
            risk.Limits.from_config(config.risk, config.assets), ExecutionRules.from_config(config.risk, config.costs)
        )


@dataclass(frozen=True)
class CycleResult:
    """One decision: as the strategy made it, as the limits allow it, and the cuts between the two."""

    decision: Decision
    allowed: Decision
    cuts: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Intent(Instructions, CycleResult):
    """A decision and all it asks of a broker, before anything is sent.

    `book` is the account it was planned on. `revision` is 0 for the first intent of a decision and one more for each
    that is recorded in its place.
    """

    book: Book
    revision: int = 0


def plan(
    snapshot: Snapshot,
    strategy: Strategy[Opinion],
    book: Book,
    journal: Sequence[Decision],
    rules: TradingRules,
    opinion: Opinion,
    first_id: int = 0,
    revision: int = 0,
) -> Intent:
    """Decide as of `snapshot.as_of` on an account as it stands in `book`. Pure: nobody is asked, nothing is sent.

    `journal` holds the account's own earlier decisions, oldest first; `opinion` is what was asked before, on the market
    and, by a strategy that consults, on this very `book`. Ids of orders count up from `first_id`.
    """
    decision = strategy.decide(snapshot, opinion, book, journal)
    allowed, cuts = risk.limit(decision, book, rules.limits)
    instructions = orders_for(allowed, book, rules.execution, first_id)
    return Intent(decision, allowed, cuts, **vars(instructions), book=book, revision=revision)


@dataclass(frozen=True)
class Execution:
    """The intent that was carried out in the end, and {client_order_id: its order} as the broker took it."""

    intent: Intent
    orders: Mapping[str, OrderReport]


async def execute(
    intent: Intent,
    broker: Broker,
    origin: Origin,
    replan: Callable[[Book, int], Awaitable[Intent]],
    record: Callable[[Intent], Awaitable[None]],
) -> Execution:
    """Carry out `intent`, which is recorded already; called again after a crash it goes on where it was.

    Every pass asks which of the intent's orders the broker has, then reads the account, then takes one step:

    1. all are there: done, whatever has filled since;
    2. positions or open orders are not those the intent read: `replan` on this account with the next revision, `record`
       it, and go on with that one;
    3. open orders the intent withdraws are cancelled; each may fill first, which the next reading shows;
    4. protective prices are replaced;
    5. the orders still missing are sent.

    A step whose answer never came is followed by the next pass, so an order is looked up before it is sent again, under
    the id it had. Raises BrokerError where the broker refuses, and where the account does not hold still.
    """
    protected = False
    for _ in range(PASSES):
        orders = entry_orders(intent, origin)
        try:
            sent = {key: report for key in orders if (report := await broker.find(key)) is not None}
            if orders and len(sent) == len(orders):
                return Execution(intent, sent)
            account = await broker.account()
            open_orders = [one for one in account.open_orders if one.client_order_id not in sent]
            if _has_changed(intent, account.positions, open_orders, sent.values()):
                anew = await replan(account, intent.revision + 1)
                await record(anew)  # before it counts: what is not on record is never sent
                intent, protected = anew, False
            elif withdrawn := [one for one in open_orders if one.symbol in intent.cancels]:
                for one in withdrawn:
                    await broker.cancel(one.client_order_id)
            elif intent.protects and not protected:
                for key, (symbol, stop, take_profit) in protections(intent, origin).items():
                    await broker.protect(symbol, stop, take_profit, key)
                protected = True
            else:
                # Nothing may be awaited between the reading and the first order: it would be sent against an account
                # nobody planned on. What fills while the others are sent is for reconciling to find, not for an order.
                for key, order in orders.items():
                    if key not in sent:
                        sent[key] = await broker.submit(order, key)
                return Execution(intent, sent)
        except UnansweredError:
            continue
    raise BrokerError(f"the account did not hold still over {PASSES} readings", mend="the same command continues")


def _has_changed(
    intent: Intent, positions: Mapping[str, float], open_orders: Sequence[OrderReport], sent: Iterable[OrderReport]
) -> bool:
    """Return True where `positions` or `open_orders`, those of `intent` left out, are not what it read: its own fills
    are expected, and so is the end of an order it withdraws."""
    expected = dict(intent.book.positions)
    for one in sent:
        expected[one.symbol] = expected.get(one.symbol, 0.0) + one.filled
    for symbol in {*expected, *positions}:
        if not isclose(positions.get(symbol, 0.0), expected.get(symbol, 0.0), rel_tol=1e-9, abs_tol=1e-9):
            return True
    left = [one for one in intent.book.open_orders if one not in open_orders]
    return any(one not in intent.book.open_orders for one in open_orders) or any(
        one.symbol not in intent.cancels for one in left
    )
