"""Protocols of what a forward session is handed: a clock, a source of bars, brokers. A rehearsal hands in others, and
nothing else differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from simulator.market.bars import Bars, Snapshot
from simulator.trading.broker import Broker
from simulator.trading.model import BrokerFill


class Clock(Protocol):
    """The broker's clock: the exchange's time counts, not this machine's."""

    async def now(self) -> datetime: ...

    async def sleep_until(self, at: datetime) -> None:
        """Return at `at` or a little later; at once where that has passed."""


@dataclass(frozen=True, eq=False)
class Known:
    """Knowledge at one instant: what the strategy is shown, and the bars of the run itself, for the books."""

    snapshot: Snapshot
    traded: Bars


class Feed(Protocol):
    """Source of market data, which keeps on disk all it gave."""

    async def known_at(self, as_of: datetime) -> Known:
        """Return knowledge as of `as_of`, its new bars recorded. Raises DataError where they cannot be had."""


class ForwardBroker(Broker, Protocol):
    """A broker whose executions can be read again, from the beginning of the run."""

    async def executions(self) -> Sequence[BrokerFill]:
        """Return every fill of the account, oldest first, those of orders sent by others among them."""
