"""Values that pass between rooms: a Decision of Targets, the Orders made of it, and the Fills of these.

Strategy ──Decision(Targets)──► risk ──► sizing ──Orders──► Broker ──Fills, Rejections──► Book
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal, NamedTuple

from simulator.market.bars import moment
from simulator.market.calendar import NEW_YORK
from simulator.trading.parts import Parts

Cadence = Literal["once", "daily", "weekly", "monthly"]
OrderKind = Literal["market", "limit"]
OrderStatus = Literal["open", "filled", "partly_filled", "cancelled", "rejected"]


class Protect(NamedTuple):
    """Stop and take-profit price of a position, None = none; and what leaves before the rest."""

    symbol: str
    stop: float | None
    take_profit: float | None
    exits: Parts = ()


@dataclass(frozen=True, slots=True)
class Target:
    """A weight to hold of one symbol.

    Attributes
    ----------
    weight : signed fraction of equity, e.g. 0.2 long, -0.1 short, 0.0 out
    order : how to get there
    limit, stop, take_profit : prices; `limit` only with ``order="limit"``. Stop and take-profit protect the whole
        position in this symbol until the next decision on it
    exits : ((share of the position, price), …) that leave before the rest does at `take_profit`, in the order in which
        the prices are reached; shares that add up to 1 leave no rest. The stop is for all that is left
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
    exits: Parts = ()


@dataclass(frozen=True)
class Decision:
    """The targets of one instant. Symbols without a target are left alone.

    `record` is evidence for people (votes, scores, keys of the LLM answers): JSON-able, never read by the engines.
    """

    as_of: datetime
    targets: tuple[Target, ...] = ()
    record: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Order:
    """An instruction to the broker. Exactly one of `quantity` (signed shares) and `notional` (dollars, buys only).

    `id` is the row of the order in the books of a replay, from 0 in order of creation; a broker elsewhere knows orders
    by :func:`simulator.trading.orders.client_order_id`. A new order on a symbol cancels the one still pending. `exits`
    are shares of what is left, as :func:`simulator.trading.parts.parts_of` has them; `take_profit` is that of the rest.
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
    exits: Parts = field(default=(), kw_only=True)


@dataclass(frozen=True)
class OrderRecord(Order):
    """An order as it was sent, and what became of it by the end of a replay."""

    status: OrderStatus = "open"


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

    @property
    def session(self) -> date:
        """The exchange's date of `at`."""
        return moment(self.at).astimezone(NEW_YORK).date()


@dataclass(frozen=True)
class BrokerFill:
    """An execution as a broker tells it: signed shares, and the price paid or got, slippage within it.

    `id` is the broker's, stated twice where the execution is; `client_order_id` is empty for orders that
    somebody else sent. `at` is nanoseconds since the epoch, `why` as in `Fill`.
    """

    id: str
    client_order_id: str
    symbol: str
    at: int
    quantity: float
    price: float
    why: str = "open"


@dataclass(frozen=True)
class Rejection:
    """An order, or part of one, that was not carried out: `wanted` shares against `got`, and the rule that cut them.

    `order_id` is -1 where a target never became an order: ``no price yet`` (without a price its shares are unknown, and
    `wanted` is 0), ``less than one share`` where only whole ones are bought, ``too small`` for an order.
    """

    order_id: int
    symbol: str
    at: int
    wanted: float
    got: float
    why: str

    @property
    def session(self) -> date:
        """The exchange's date of `at`."""
        return moment(self.at).astimezone(NEW_YORK).date()


@dataclass(frozen=True)
class RoundTrip:
    """A position from flat to flat, or still open at the end of a replay.

    Attributes
    ----------
    side : ``long`` or ``short``
    entry_at, exit_at : opening instants of the bars of the first and the last fill; None while open
    quantity : shares bought of a long position, sold of a short one, over its life
    entry_price, exit_price : average price of these, and of what was closed; None where nothing was
    costs : dollars of slippage and commission
    pnl : dollars earned after costs; while open what is left is worth its newest close
    pnl_fraction : `pnl` as a fraction of `quantity` × `entry_price`
    sessions : exchange sessions from entry to exit, 0 within one; to the last session while open
    mae, mfe : worst and best price while it was held, as a fraction of `entry_price`, in the direction of profit:
        mae ≤ 0 ≤ mfe. Lows and highs of a bar count from the entry on, those of the entry's own bar only where it
        filled at the open; of the bar it ends in only what lies between the open and the exit
    mae_usd, mfe_usd : least and most dollars that it stood at by those prices before costs, with what was closed till
        then; of one entry and one exit the same times `quantity` × `entry_price`
    entry_order, exit_order : ids of the orders behind the first and the last fill, as in `Fill`
    ended : ``open`` (a decision), ``limit``, ``stop``, ``take_profit``, ``margin_call``; ``still held`` while open
    """

    symbol: str
    side: str
    entry_at: int
    exit_at: int | None
    quantity: float
    entry_price: float
    exit_price: float | None
    costs: float
    pnl: float
    pnl_fraction: float
    sessions: int
    mae: float
    mfe: float
    mae_usd: float
    mfe_usd: float
    entry_order: int
    exit_order: int | None
    ended: str


@dataclass(frozen=True)
class OrderReport:
    """An order as its broker has it: `filled` signed shares so far; ``open`` while more may fill,
    ``partly_filled`` where the rest never will. `price` is the average of what has filled; `external` orders were sent
    by somebody else: they count, and are never withdrawn. `reason` is why it was ``rejected``."""

    client_order_id: str
    symbol: str
    status: OrderStatus
    filled: float = 0.0
    price: float = 0.0
    external: bool = False
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Past:
    """Round trips and equity of an account up to an instant, the same in replay and in forward trading.

    Attributes
    ----------
    trips : positions from flat to flat, those still open among them, by entry; prices as paid, slippage within, and
        the entry at the opening of the bar it happened in
    equity : (session, dollars at its close) of every session that has closed by then
    began : dollars the account began with, None where not known
    splits : {symbol: shares that one has become since the account began}, in which `trips` are told; a replay's prices
        are adjusted, and it has none
    """

    trips: Sequence[RoundTrip] = ()
    equity: Sequence[tuple[date, float]] = ()
    began: float | None = None
    splits: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Book:
    """One account at one instant: dollars, signed shares per symbol, the price each is marked at, and open orders.

    `open_orders` are those of an asynchronous broker; protective stops are not among them. A replay lists none: there
    a pending order waits for its bar or for the next decision on its symbol. `past` is there for strategies that read
    it (`ReadsPast`).
    """

    cash: float
    positions: Mapping[str, float]
    marks: Mapping[str, float]
    equity: float
    open_orders: tuple[OrderReport, ...] = ()
    past: Past | None = field(default=None, compare=False, repr=False)

    def weight(self, symbol: str) -> float:
        """Signed share of equity held in `symbol`; 0.0 when flat or when there is no equity left."""
        held = self.positions.get(symbol, 0.0)
        return held * self.marks[symbol] / self.equity if held and self.equity > 0 else 0.0
