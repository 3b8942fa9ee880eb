"""Position tools: what is held, what the account is worth, what may be bought, what was traded."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from simulator.desk.state import DeskState
from simulator.desk.tools.market import Symbol, finite, written
from simulator.desk.tools.registry import Answer, ToolError, tool
from simulator.errors import did_you_mean
from simulator.market.bars import instant
from simulator.trading.model import RoundTrip


class Position(Answer):
    """Shares held of one symbol, signed; money in dollars, `weight` a fraction of equity."""

    symbol: str
    shares: float
    price: float
    value: float
    weight: float
    entry_price: float | None
    profit: float | None
    profit_pct: float | None
    stop: float | None
    target: float | None
    sector: str


class Positions(Answer):
    as_of: str
    positions: list[Position]


class PortfolioSummary(Answer):
    """Account at the last closes; gross and net exposure are fractions of equity, `drawdown` is below the peak."""

    as_of: str
    equity: float
    cash: float
    gross_exposure: float
    net_exposure: float
    positions: int
    open_profit: float
    day_profit: float | None
    drawdown: float


class BuyingPower(Answer):
    """Dollars that may still be spent without borrowing, and what the largest position would leave of them."""

    cash: float
    buying_power: float
    largest_position: float
    reason: str | None


class Trade(Answer):
    """A position from flat to flat; prices are averages, `profit` is after costs, null times while it is open."""

    symbol: str
    side: str
    entry_at: str
    exit_at: str | None
    shares: float
    entry_price: float
    exit_price: float | None
    profit: float
    profit_pct: float
    sessions: int
    ended: str


class TradeHistory(Answer):
    trades: list[Trade]
    left_out: int


@tool("position")
def get_positions(state: DeskState) -> Positions:
    """Everything the account holds, with entry, profit, stop and target."""
    held = [_position(state, symbol) for symbol in sorted(state.held)]
    return Positions(as_of=written(instant(state.snapshot.as_of)), positions=held)


@tool("position")
def get_position_details(state: DeskState, symbol: Symbol) -> Position:
    """One position: shares, entry, profit, stop and target. An error where nothing of it is held."""
    if not state.book.positions.get(symbol):
        held = sorted(state.held)
        near = did_you_mean(symbol, held)
        raise ToolError(f"no position in {symbol}{near}", mend=f"held are {', '.join(held) or 'none'}")
    return _position(state, symbol)


@tool("position")
def get_portfolio_summary(state: DeskState) -> PortfolioSummary:
    """Totals of the account: equity, cash, exposure, open profit, the day's profit, drawdown from the peak."""
    book = state.book
    held = [_position(state, symbol) for symbol in state.held]
    before = state.first_equity
    return PortfolioSummary(
        as_of=written(instant(state.snapshot.as_of)),
        equity=book.equity,
        cash=book.cash,
        gross_exposure=state.gross,
        net_exposure=sum(book.weight(symbol) for symbol in book.positions),
        positions=len(held),
        open_profit=sum(one.profit or 0.0 for one in held),
        day_profit=None if before is None else book.equity - before,
        drawdown=state.drawdown,
    )


@tool("position")
def get_buying_power(state: DeskState) -> BuyingPower:
    """Cash that may still be spent, and the largest position the rules allow of it."""
    power = max(0.0, state.book.cash)
    largest = min(power, state.caps.position * max(0.0, state.book.equity))
    reason = None if power else "no cash is left"
    return BuyingPower(cash=state.book.cash, buying_power=power, largest_position=largest, reason=reason)


@tool("position")
def get_trade_history(
    state: DeskState,
    symbol: Annotated[str | None, Field(description="only this symbol; null for all")] = None,
    most: Annotated[int, Field(ge=1, le=500, description="newest trades to return")] = 50,
) -> TradeHistory:
    """Past trades, newest first: entry, exit, profit after costs, how they ended."""
    chosen = [trip for trip in state.trips if symbol is None or trip.symbol == symbol]
    newest = sorted(chosen, key=lambda trip: trip.entry_at, reverse=True)
    return TradeHistory(trades=[_trade(trip) for trip in newest[:most]], left_out=max(0, len(newest) - most))


def _position(state: DeskState, symbol: str) -> Position:
    shares, price = state.book.positions[symbol], state.book.marks[symbol]
    trip = next((one for one in state.trips if one.symbol == symbol and one.exit_at is None), None)
    entry = None if trip is None else trip.entry_price
    return Position(
        symbol=symbol,
        shares=shares,
        price=price,
        value=shares * price,
        weight=state.book.weight(symbol),
        entry_price=entry,
        profit=None if entry is None else shares * (price - entry),
        profit_pct=None if not entry else 100.0 * (price / entry - 1.0) * (1.0 if shares > 0.0 else -1.0),
        stop=state.stops.get(symbol),
        target=state.targets.get(symbol),
        sector=state.sector(symbol),
    )


def _trade(trip: RoundTrip) -> Trade:
    return Trade(
        symbol=trip.symbol,
        side=trip.side,
        entry_at=written(trip.entry_at),
        exit_at=None if trip.exit_at is None else written(trip.exit_at),
        shares=trip.quantity,
        entry_price=trip.entry_price,
        exit_price=None if trip.exit_price is None else finite(trip.exit_price),
        profit=trip.pnl,
        profit_pct=100.0 * trip.pnl_fraction,
        sessions=trip.sessions,
        ended=trip.ended,
    )
