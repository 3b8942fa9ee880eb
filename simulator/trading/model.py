"""The nouns that travel between rooms: what is wanted (Target, Decision), what is sent (Order), what came of it (Fill).

Strategy ──Decision(Targets)──► risk ──► sizing ──Orders──► Broker ──Fills, Rejections──► Book
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from simulator.market.bars import Snapshot

Cadence = Literal["once", "daily", "weekly", "monthly"]
OrderKind = Literal["market", "limit"]


@dataclass(frozen=True)
class Target:
    """What a strategy wants to hold of one symbol.

    Attributes
    ----------
    weight : signed fraction of equity, e.g. 0.2 long, -0.1 short, 0.0 out
    order : how to get there
    limit, stop, take_profit : prices; `limit` only with ``order="limit"``. Stop and take-profit protect the whole
        position in this symbol until the next decision on it
    conviction : -2 … +2 where the strategy has one
    reason : one sentence for people
    """

    symbol: str
    weight: float
    order: OrderKind = "market"
    limit: float | None = None
    stop: float | None = None
    take_profit: float | None = None
    conviction: int | None = None
    reason: str = ""


@dataclass(frozen=True)
class Decision:
    """What was decided at one instant. Symbols without a target are left alone.

    `record` is evidence for people (votes, scores, keys of the LLM answers): JSON-able, never read by the engines.
    """

    as_of: datetime
    targets: tuple[Target, ...] = ()
    record: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Order:
    """An instruction to the broker. Exactly one of `quantity` (signed shares) and `notional` (dollars, buys only).

    `id` counts from 0 in order of creation within a run; a new order on a symbol cancels the one still pending.
    """

    id: int
    symbol: str
    submitted_at: int
    quantity: float | None = None
    notional: float | None = None
    kind: OrderKind = "market"
    limit: float | None = None
    stop: float | None = None
    take_profit: float | None = None


@dataclass(frozen=True)
class Fill:
    """An execution. `price` lies within the bar's [low, high]; slippage and commission are dollars beside it.

    cash changes by ``-quantity × price - slippage - commission``.
    `at` is the opening instant of the bar it happened in. `why` is ``open``, ``limit``, ``stop``, ``take_profit`` or
    ``margin_call``; the last three carry the id of the order that last filled in the symbol.
    """

    order_id: int
    symbol: str
    at: int
    quantity: float
    price: float
    slippage: float
    commission: float
    why: str


@dataclass(frozen=True)
class Rejection:
    """An order, or part of one, that was not carried out: `wanted` shares against `got`, and the rule that said so.

    `order_id` is -1 where a target never became an order (``no price yet``: without a price its shares are unknown,
    and `wanted` is 0).
    """

    order_id: int
    symbol: str
    at: int
    wanted: float
    got: float
    why: str


@dataclass(frozen=True)
class Book:
    """One account at one instant: dollars, signed shares per symbol, and the price each is marked at."""

    cash: float
    positions: Mapping[str, float]
    marks: Mapping[str, float]
    equity: float

    def weight(self, symbol: str) -> float:
        """Signed share of equity held in `symbol`; 0.0 when flat or when there is no equity left."""
        held = self.positions.get(symbol, 0.0)
        return held * self.marks[symbol] / self.equity if held and self.equity > 0 else 0.0


class Broker(Protocol):
    """Where orders go: the replay engine or a paper account."""

    def book(self) -> Book:
        """The account as of the newest known prices."""
        ...

    @property
    def next_id(self) -> int:
        """The `Order.id` the next order is to carry."""
        ...

    def submit(self, orders: Sequence[Order], refused: Sequence[Rejection] = ()) -> None:
        """Hand over the orders of one decision. They fill no earlier than the next bar that opens.

        `refused` are targets that sizing could not turn into orders; the broker only records them.
        """
        ...

    def cancel(self, symbols: Sequence[str]) -> None:
        """Withdraw what is still pending on `symbols`; nothing happens where nothing is."""
        ...

    def protect(self, symbol: str, stop: float | None, take_profit: float | None) -> None:
        """Replace the protective prices of a position that is already held; both None removes them."""
        ...


class Strategy(Protocol):
    """Decision code. The same object decides in replay and in forward trading and keeps no state between calls.

    `opine` may ask LLMs and reads only the market, so all its dates can be asked at once; `decide` may read the book.
    """

    name: str
    cadence: Cadence
    window: int
    """Bars of history it needs before the first decision."""
    opines_ahead: bool
    """Whether `opine` ignores the journal, so that all dates may be asked at once before the replay."""

    async def opine(self, snapshot: Snapshot, journal: Sequence[Decision]) -> Any:
        """The opinion on the market as known in `snapshot`; None where a strategy has no such stage."""
        ...

    async def decide(self, snapshot: Snapshot, opinion: Any, book: Book, journal: Sequence[Decision]) -> Decision:
        """What to hold, given the opinion and the account. Timing: fills no earlier than the next bar's open."""
        ...
