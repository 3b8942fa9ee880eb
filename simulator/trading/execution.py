"""Rules by which orders are filled and charged: one flat set of numbers that both engines read.

The arithmetic these numbers enter is docs/decisions/0001-fill-rules.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from math import inf, isnan, nan
from typing import TYPE_CHECKING, Literal

from simulator.errors import UsageError
from simulator.trading.sizes import LEAST_DOLLARS

if TYPE_CHECKING:
    from simulator.config import Costs, Risk

SESSIONS_A_YEAR = 252
BROKER_MARGIN = 0.5
"""Initial margin of an account at Alpaca, on both sides."""

Profile = Literal["ideal", "alpaca"]
"""Terms of orders: as one would wish, or as Alpaca takes them (`trading.orders`)."""


def refuse_impossible(limits: Iterable[tuple[str, float]], where: str) -> None:
    """Raise UsageError for the first of the (name, value) that is NaN, infinite or negative: it would limit nothing."""
    for name, value in limits:
        if not 0.0 <= value < inf:
            raise UsageError(f"{name} was {value}", where=where, mend="give a finite number, 0 or more")


@dataclass(frozen=True)
class ExecutionRules:
    """Costs, margins and share counting of one account.

    Attributes
    ----------
    commission_per_share, commission_bps, commission_min : dollars a share, basis points of the value, and the least
        dollars a fill costs
    slippage_bps : basis points of the value, paid beside the price
    borrow_rate : yearly, accrued once a session as 1/252
    cash_interest : yearly, booked at a session's close on the cash carried into it; NaN for the cash instrument's
        return of that session
    margin_spread : yearly, what a debit pays beyond that
    short_proceeds_earn : interest is booked on what short sales brought in, too
    initial_margin_long, initial_margin_short : dollars of equity a dollar of position must have when it is increased
    maintenance_long, maintenance_short : the same at every close, else a margin call
    limit_through : within a bar a limit or take-profit fills only where the price goes through it by a tick
    whole_shares : quantities are truncated toward zero
    min_trade, min_trade_share : dollars, and fraction of equity, below which a change of position is not worth an order
    alpaca : orders are sized as Alpaca takes them (`trading.orders`)
    """

    commission_per_share: float = 0.0
    commission_bps: float = 0.0
    commission_min: float = 0.0
    slippage_bps: float = 0.0
    borrow_rate: float = 0.0
    cash_interest: float = 0.0
    margin_spread: float = 0.0
    short_proceeds_earn: bool = False
    initial_margin_long: float = 1.0
    initial_margin_short: float = 0.5
    maintenance_long: float = 0.25
    maintenance_short: float = 0.3
    limit_through: bool = False
    whole_shares: bool = False
    min_trade: float = 1.0
    min_trade_share: float = 0.0
    alpaca: bool = False

    def __post_init__(self) -> None:
        stated = vars(self) | {"cash_interest": 0.0 if isnan(self.cash_interest) else self.cash_interest}
        refuse_impossible(stated.items(), "config/costs.yaml, config/risk.yaml")

    @classmethod
    def from_config(cls, risk: Risk, costs: Costs) -> ExecutionRules:
        """Return the rules that `config/risk.yaml` and `config/costs.yaml` state."""
        stated = {**risk.model_dump(), **costs.model_dump()}
        stated["alpaca"] = risk.execution == "alpaca"
        stated["whole_shares"] = risk.shares == "whole"
        stated["limit_through"] = costs.limit_fill == "through"
        stated["cash_interest"] = nan if costs.cash_interest == "cash" else costs.cash_interest
        least = max(risk.least_dollars, LEAST_DOLLARS) if risk.execution == "alpaca" else risk.least_dollars
        stated |= {"min_trade": least, "min_trade_share": risk.least_share}
        if stated["alpaca"]:  # that account lends as much whatever is stated here
            stated |= {"initial_margin_long": BROKER_MARGIN, "initial_margin_short": BROKER_MARGIN}
        return cls(**{rule.name: stated[rule.name] for rule in fields(cls)})

    @property
    def profile(self) -> Profile:
        """The terms orders are made by: see `trading.orders`."""
        return "alpaca" if self.alpaca else "ideal"

    def least_worth(self, equity: float) -> float:
        """Return the dollars below which a change of position is not worth an order, at an equity of `equity`."""
        return max(self.min_trade, self.min_trade_share * equity)

    def scale(self, multiple: float) -> ExecutionRules:
        """Return the same rules with commission, slippage, borrow and margin spread times `multiple`."""
        return replace(
            self,
            commission_per_share=self.commission_per_share * multiple,
            commission_bps=self.commission_bps * multiple,
            commission_min=self.commission_min * multiple,
            slippage_bps=self.slippage_bps * multiple,
            borrow_rate=self.borrow_rate * multiple,
            margin_spread=self.margin_spread * multiple,
        )
