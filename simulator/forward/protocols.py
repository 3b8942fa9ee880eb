"""Protocols of what a forward session is handed: a clock, a source of bars, brokers. A rehearsal hands in others, and
nothing else differs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Protocol

from simulator.forward.messages import AccountState
from simulator.market.bars import Bars, Snapshot
from simulator.trading.broker import Broker
from simulator.trading.model import BrokerFill
from simulator.trading.orders import Ticket

if TYPE_CHECKING:
    from simulator.forward.books import Split


class Clock(Protocol):
    """The broker's clock: the exchange's time counts, not this machine's."""

    async def now(self) -> datetime: ...

    async def sleep_until(self, at: datetime, busy: bool = False) -> None:
        """Return at `at` or a little later, at once where that has passed; before it where an order may have changed,
        while `busy` at least every few seconds."""


@dataclass(frozen=True, eq=False)
class Known:
    """Knowledge at one instant: what the strategy is shown, history in today's shares; the bars of the run itself as
    they were traded, for the books; splits by then."""

    snapshot: Snapshot
    traded: Bars
    splits: Sequence[Split] = ()

    @property
    def silent(self) -> list[str]:
        """Symbols without the newest bar: late, halted all day, or gone."""
        bars = self.snapshot.bars
        return [symbol for symbol, there in zip(bars.symbols, bars.fresh[-1], strict=True) if not there]


class Feed(Protocol):
    """Source of market data, which keeps on disk all it gave."""

    async def known_at(self, as_of: datetime) -> Known:
        """Return knowledge as of `as_of`, its new bars recorded. Raises DataError where they cannot be had."""


class ForwardBroker(Broker, Protocol):
    """A broker whose executions can be read again, from the beginning of the run. It tells by `is_own` from an order's
    id whether it was sent for this account of the run."""

    is_own: Callable[[str], bool]
    ticket_of: Callable[[str], Ticket | None]
    """Returns what was sent under an id, None for what is not known: what the broker has under it must be that."""
    was_refused: Callable[[str], bool]
    """Says whether a refusal is on record already: it is no failure of a later session too."""

    @property
    def traffic(self) -> tuple[int, int]:
        """Requests so far, and those among them that failed."""

    async def state(self) -> AccountState:
        """Return number, cash, equity and restrictions. Raises BrokerError where it is not the account registered."""

    async def positions(self) -> Mapping[str, float]:
        """Return signed shares. Raises BrokerError: a failed query is not flat."""

    async def calendar(self, first: date, last: date) -> list[tuple[datetime, datetime]]:
        """Return (open, close) of each session from `first` to `last`."""

    async def executions(self) -> Sequence[BrokerFill]:
        """Return every fill of the account, oldest first, those of orders sent by others among them."""
