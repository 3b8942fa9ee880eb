"""One decision, the same in replay and in forward trading: all asking, then a plan, then its execution.

    Snapshot ──► opine ──► consult ──► plan: decide ──► risk.limit ──► sizing ──► Intent ──► carry_out   (replay)
                (market)   (+ book)    (asks nobody)                                    └──► execute     (a broker)
                                                                                fills no earlier than the next open

What is impure is handed in: the clock (`Snapshot.as_of`), the broker, and whatever the strategy asks its models
through. For equal arguments `plan` returns equal intents.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from simulator.config import Config
from simulator.market.bars import Snapshot
from simulator.trading import risk
from simulator.trading.broker import ImmediateBroker
from simulator.trading.execution import ExecutionRules
from simulator.trading.model import Book, Decision, Order, Rejection
from simulator.trading.sizing import orders_for
from simulator.trading.strategy import Strategy

Opinion = TypeVar("Opinion")


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
class Intent(CycleResult):
    """A decision and all it asks of a broker, before anything is sent.

    Attributes
    ----------
    book : the account it was planned on
    cancels : symbols whose open orders are withdrawn: all that have a target
    protects : (symbol, stop, take-profit) of positions that stay on their side; None = none
    orders : at most one a symbol
    refused : targets that did not become orders because the symbol has no price yet
    revision : 0 for the first intent of a decision, one more for each that is recorded in its place
    """

    book: Book
    cancels: tuple[str, ...] = ()
    protects: tuple[tuple[str, float | None, float | None], ...] = ()
    orders: tuple[Order, ...] = ()
    refused: tuple[Rejection, ...] = ()
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
    """Decide as of `snapshot.as_of` on an account as it stands in `book`. Pure: asks nobody, sends nothing.

    `journal` holds the account's own earlier decisions, oldest first; `opinion` is what was asked before, on the market
    and, by a strategy that consults, on this very `book`. Ids of orders count up from `first_id`.
    """
    decision = strategy.decide(snapshot, opinion, book, journal)
    allowed, cuts = risk.limit(decision, book, rules.limits)
    sized = orders_for(allowed, book, rules.execution, first_id)
    return Intent(
        decision=decision,
        allowed=allowed,
        cuts=cuts,
        book=book,
        cancels=sized.cancel,
        protects=sized.protect,
        orders=sized.orders,
        refused=sized.refused,
        revision=revision,
    )


def carry_out(intent: Intent, broker: ImmediateBroker) -> None:
    """Hand `intent` to the books of a replay, where nothing happens between planning and sending."""
    broker.cancel(intent.cancels)
    for symbol, stop, take_profit in intent.protects:
        broker.protect(symbol, stop, take_profit)
    broker.submit(intent.orders, intent.refused)
