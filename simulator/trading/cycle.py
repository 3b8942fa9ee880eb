"""One turn of the wheel, the same in replay and in forward trading.

    Snapshot ──► opine ──► decide ──► risk.limit ──► sizing ──► broker.submit
                (market)   (+ book)                             fills no earlier than the next open

What is impure is handed in: the clock (`Snapshot.as_of`), the broker, and whatever the strategy asks its models
through.
For equal arguments `step` returns equal results.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from simulator.config import Config
from simulator.market.bars import Snapshot
from simulator.trading import risk, sizing
from simulator.trading.execution import ExecutionRules
from simulator.trading.model import Broker, Decision, Strategy


@dataclass(frozen=True)
class TradingRules:
    """What is agreed before trading starts: limits on targets, and how orders are sized, filled and charged."""

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


async def step(
    snapshot: Snapshot,
    strategy: Strategy,
    broker: Broker,
    journal: Sequence[Decision],
    rules: TradingRules,
    opinion: Any = None,
) -> CycleResult:
    """Decide as of `snapshot.as_of` and hand the orders to `broker`.

    `journal` holds the run's own earlier decisions, oldest first. `opinion` is the strategy's opinion on this very
    snapshot if it was already formed (prefetch); otherwise it is formed here, with the same code.
    """
    if opinion is None:
        opinion = await strategy.opine(snapshot, journal)
    book = broker.book()
    wanted = await strategy.decide(snapshot, opinion, book, journal)
    allowed, cuts = risk.limit(wanted, book, rules.limits)
    sizing.place(allowed, broker, rules.execution)
    return CycleResult(wanted, allowed, cuts)
