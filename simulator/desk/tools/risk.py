"""Risk tools: what a trade may lose, where the account is exposed, which rules forbid it, how large it may be."""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
from pydantic import Field

from simulator.desk.formulas import exposure_multiplier, position_size
from simulator.desk.rules import RULES, Proposal, find_vetoes
from simulator.desk.state import DeskState, fallen
from simulator.desk.tools.market import Symbol, finite, known, written
from simulator.desk.tools.registry import Answer, ToolError, tool
from simulator.market.bars import instant

Price = Annotated[float, Field(gt=0, le=1e9, description="dollars a share")]
Shares = Annotated[float, Field(gt=0, le=1e12, description="shares to buy")]


class PositionRisk(Answer):
    """Loss of a long position at its stop, in dollars and of equity, and reward against it at a target."""

    symbol: str
    risk_per_share: float
    risk: float
    risk_pct: float
    value: float
    value_pct: float
    reward_to_risk: float | None


class Exposure(Answer):
    """Fractions of equity: by sector, gross, net, and the largest position."""

    as_of: str
    by_sector: dict[str, float]
    gross: float
    net: float
    largest: str | None
    largest_weight: float


class RuleCheck(Answer):
    """Verdict of every rule on a trade: `why` names what forbids it."""

    allowed: bool
    passed: list[str]
    vetoes: dict[str, str]


class MaxSize(Answer):
    """Largest long position the rules allow: whole shares, and dollars by rule before the exposure multiplier."""

    symbol: str
    shares: int
    binding_rule: str
    dollars_by_rule: dict[str, float]
    multiplier: float


class RiskMetrics(Answer):
    """Risk of the account so far; null where there are too few sessions."""

    as_of: str
    sessions: int
    volatility: float | None
    largest_drawdown: float
    drawdown: float
    worst_day: float | None
    cvar95: float | None
    reason: str | None


@tool("risk")
def calculate_position_risk(
    state: DeskState, symbol: Symbol, shares: Shares, entry: Price, stop: Price, target: Price | None = None
) -> PositionRisk:
    """Loss of a long position if its stop is hit, in dollars and percent of equity, and reward to risk."""
    _check_long(entry, stop, target)
    per_share, equity = entry - stop, state.book.equity
    if equity <= 0.0:
        raise ToolError("no equity is left to risk")
    return PositionRisk(
        symbol=symbol,
        risk_per_share=per_share,
        risk=per_share * shares,
        risk_pct=100.0 * per_share * shares / equity,
        value=entry * shares,
        value_pct=100.0 * entry * shares / equity,
        reward_to_risk=None if target is None else (target - entry) / per_share,
    )


@tool("risk")
def get_portfolio_exposure(state: DeskState) -> Exposure:
    """Exposure of the account by sector, gross, net, and its largest position."""
    book = state.book
    sectors = sorted({state.sector(symbol) for symbol in state.held})
    largest = max(state.held, key=lambda symbol: abs(book.weight(symbol)), default=None)
    return Exposure(
        as_of=written(instant(state.snapshot.as_of)),
        by_sector={sector: state.sector_weight(sector) for sector in sectors},
        gross=state.gross,
        net=sum(book.weight(symbol) for symbol in book.positions),
        largest=largest,
        largest_weight=0.0 if largest is None else book.weight(largest),
    )


@tool("risk")
def check_trade_rules(
    state: DeskState, symbol: Symbol, shares: Shares, entry: Price, stop: Price | None = None
) -> RuleCheck:
    """Every risk rule on a long entry: which pass, and which forbid it and why."""
    vetoes = find_vetoes(Proposal(known(state, symbol), shares, entry, stop), state)
    forbidden = {veto.rule: veto.why for veto in vetoes}
    return RuleCheck(allowed=not vetoes, passed=[rule for rule in RULES if rule not in forbidden], vetoes=forbidden)


@tool("risk")
def calculate_max_position_size(state: DeskState, symbol: Symbol, entry: Price, stop: Price) -> MaxSize:
    """Largest long position that risk, position, sector, buying power and exposure allow, and the rule that binds."""
    _check_long(entry, stop)
    left = state.caps.sector - state.sector_weight(state.sector(known(state, symbol)))
    multiplier = exposure_multiplier(state.gross, state.drawdown)
    held, book = state.book.weight(symbol), state.book
    size = position_size(entry, stop, book.equity, book.cash, left, multiplier, state.caps, held)
    return MaxSize(
        symbol=symbol,
        shares=size.shares,
        binding_rule=size.binding,
        dollars_by_rule=dict(size.allowed),
        multiplier=multiplier,
    )


def _check_long(entry: float, stop: float, target: float | None = None) -> None:
    if stop >= entry:
        raise ToolError(f"stop {stop} is not below the entry {entry}", mend="long positions only: put it below")
    if target is not None and target <= entry:
        raise ToolError(f"target {target} is not above the entry {entry}", mend="long positions only: put it above")


@tool("risk")
def get_risk_metrics(state: DeskState) -> RiskMetrics:
    """Volatility, drawdown, worst day and CVaR of the account's daily returns so far."""
    moves, _ = state.returns
    enough = len(moves) >= 20
    worst = np.sort(moves)[: max(1, math.ceil(0.05 * len(moves)))]
    return RiskMetrics(
        as_of=written(instant(state.snapshot.as_of)),
        sessions=len(state.equity),
        volatility=finite(float(moves.std(ddof=1)) * math.sqrt(252)) if enough else None,
        largest_drawdown=max(float(fallen(state.path).max(initial=0.0)), state.drawdown),
        drawdown=state.drawdown,
        worst_day=float(moves.min()) if len(moves) else None,
        cvar95=float(-worst.mean()) if enough else None,
        reason=None if enough else f"{len(moves)} daily returns, 20 are needed",
    )
