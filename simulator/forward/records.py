"""Record of a forward test: everything its report, verdict and parity read, projected from the store's events.

    events forward.* ──► ForwardRecord ──► analysis.anytime (verdict) ──► report.forward_page
    registration.json ─►     days, points, orders, fills, alerts, calls, recommendations

Instants are ISO texts in New York time, sessions ISO dates, money is dollars, returns and weights are fractions.
Rows stand in order of time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from simulator.forward.programs import ProgramSpan

PointState = Literal["done", "late", "missed", "failed"]
OrderState = Literal[
    "denied", "rejected", "unknown", "open", "partly_filled", "filled", "cancelled", "expired", "declined", "given up"
]
"""``declined`` is an order that a person rejected or left unanswered, ``given up`` another that was taken back
before it was sent; ``denied`` one that broke a rule of the broker, ``rejected`` one that the broker refused."""


@dataclass(frozen=True)
class HeldWeights:
    """Weights of an account when a bar opens, known before `moves`, the total returns of the symbols over the bar.

    A day has one where bars are daily, one for each bar where they are finer: a book that is flat at every open may
    have held the market all day. Weights are signed fractions of the equity at the close before; symbols that are not
    held may be left out of them. Moves, close to close with dividends, are of every symbol of the universe that has
    a bar; `overnight` is the part of the first bar's before its open, in which nobody could trade.
    """

    at: str
    weights: Mapping[str, float]
    moves: Mapping[str, float]
    overnight: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Accruals:
    """Dollars that replay's rules book in a session and a paper account does not: interest on cash (negative on a
    debit), dividends (negative on shorts), borrow (≤ 0), commission (≤ 0)."""

    interest: float = 0.0
    dividends: float = 0.0
    borrow: float = 0.0
    commission: float = 0.0

    @property
    def total(self) -> float:
        return self.interest + self.dividends + self.borrow + self.commission


@dataclass(frozen=True)
class DayRow:
    """An account at the close of a session, by our own ledger.

    Attributes
    ----------
    equity, cash : with all accruals since the start
    pnl : equity less that of the close before, or less the starting cash
    positions : signed shares
    free : return of idle cash over the session, what excess returns subtract
    costs : dollars of slippage, commission, borrow and margin spread, ≥ 0
    decided : a target changed by a hundredth of equity or more after its first one, or a stop or take-profit closed
    broker_equity, broker_cash : as the broker states them; None where it was not reached
    unexplained : dollars by which the broker's cash plus all accruals differs from `cash`: the reconciling line
    """

    account: str
    session: str
    equity: float
    cash: float
    pnl: float
    positions: Mapping[str, float]
    held: tuple[HeldWeights, ...]
    free: float = 0.0
    costs: float = 0.0
    decided: bool = False
    accruals: Accruals = field(default_factory=Accruals)
    broker_equity: float | None = None
    broker_cash: float | None = None
    unexplained: float | None = None


@dataclass(frozen=True)
class PointRow:
    """A due point of the schedule: when it was due, what became of it and, unless it was done, why."""

    due: str
    session: str
    state: PointState
    name: str = ""
    ran_at: str | None = None
    why: str = ""


@dataclass(frozen=True)
class OrderRow:
    """A ticket as it was sent; exactly one of `quantity` (signed shares) and `notional` (dollars)."""

    client_order_id: str
    account: str
    symbol: str
    at: str
    session: str
    kind: str
    state: OrderState
    quantity: float | None = None
    notional: float | None = None
    limit: float | None = None
    stop: float | None = None
    take_profit: float | None = None
    why: str = ""


@dataclass(frozen=True)
class FillRow:
    """An execution. `reference` is the price that replay's rules fill at before slippage (the bar's open, the limit,
    the stop), None where no recorded bar tells it."""

    execution_id: str
    client_order_id: str
    account: str
    symbol: str
    at: str
    session: str
    quantity: float
    price: float
    reference: float | None = None
    why: str = ""

    @property
    def slippage(self) -> float | None:
        """Dollars lost against `reference`, negative where the fill was better."""
        return None if self.reference is None else (self.price - self.reference) * self.quantity


@dataclass(frozen=True)
class AlertRow:
    at: str
    kind: str
    text: str
    account: str | None = None


@dataclass(frozen=True)
class SessionRow:
    """The loop in a session, all accounts together.

    `minutes` the exchange was open, `alive` those of them with a heartbeat; `requests` to broker and data service, and
    those that `failed` after all retries; `calls` of models, those that failed, and their dollars.
    """

    session: str
    minutes: float
    alive: float
    requests: int = 0
    failed: int = 0
    restarts: int = 0
    calls: int = 0
    failed_calls: int = 0
    cost_usd: float = 0.0

    @property
    def figures(self) -> tuple[float, float, float, float | None]:
        """Calls, their dollars, everything that failed, and the share of the minutes with a heartbeat."""
        up = min(self.alive / self.minutes, 1.0) if self.minutes else None
        return float(self.calls), self.cost_usd, float(self.failed + self.failed_calls), up


@dataclass(frozen=True)
class Recommendation:
    """A symbol's target of the opinion formed at a point, before any account's limits; `conviction` -2 … +2 where the
    strategy has one. Its sign says up or down; without one that of `weight` less `before`, the symbol's earlier
    target, and of the weight where that is unchanged."""

    at: str
    session: str
    symbol: str
    weight: float
    before: float = 0.0
    conviction: int | None = None


@dataclass(frozen=True)
class ExpectedCost:
    """Dollars a session that the plan of the strategy states for its models: lowest, likely, highest."""

    low: float
    likely: float
    high: float


@dataclass(frozen=True)
class ForwardRecord:
    """A forward test so far. `registration` is the id, also run_id of its events; `digest` that of registration.json;
    `rehearsed` where the broker was the rehearsal exchange. Accounts stand in the registration's order, `cash` is
    what each began with, positions included."""

    registration: str
    digest: str
    accounts: tuple[str, ...]
    cash: Mapping[str, float]
    days: tuple[DayRow, ...] = ()
    points: tuple[PointRow, ...] = ()
    orders: tuple[OrderRow, ...] = ()
    fills: tuple[FillRow, ...] = ()
    alerts: tuple[AlertRow, ...] = ()
    sessions: tuple[SessionRow, ...] = ()
    recommendations: tuple[Recommendation, ...] = ()
    expected_cost: ExpectedCost | None = None
    rehearsed: bool = False
    programs: tuple[str, ...] = ()
    """A sentence for each change of the program between two starts."""
    spans: tuple[ProgramSpan, ...] = ()
    """Programs that held it, and which sessions each did."""
