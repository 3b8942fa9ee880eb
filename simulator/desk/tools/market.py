"""Market tools: quotes, bars, indicators, the state of the exchange, and the scan for momentum."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from simulator.desk.formulas import Technicals, failed_filters, momentum_score, read_technicals
from simulator.desk.state import DeskState
from simulator.desk.tools.registry import Answer, ToolError, tool
from simulator.errors import did_you_mean
from simulator.market.bars import instant, moment
from simulator.market.calendar import NEW_YORK, day_of, sessions

Symbol = Annotated[str, Field(min_length=1, max_length=20, description="ticker, e.g. AAPL")]


class Quote(Answer):
    """Last known price; `change_pct` against the close before it, volume in shares."""

    symbol: str
    price: float
    at: str
    change_pct: float | None
    volume: float | None


class BarRow(Answer):
    """One bar; `at` is the instant it closed."""

    at: str
    open: float
    high: float
    low: float
    close: float
    volume: float | None


class History(Answer):
    symbol: str
    bars: list[BarRow]


class MarketStatus(Answer):
    """State of the New York Stock Exchange at `now`."""

    now: str
    is_open: bool
    next_open: str
    next_close: str


class Indicators(Answer):
    """Indicators at the last close; null where there are too few bars."""

    symbol: str
    price: float
    rsi_14: float | None
    macd: float | None
    macd_signal: float | None
    macd_histogram: float | None
    atr_14: float | None
    sma_20: float | None
    sma_50: float | None
    sma_200: float | None
    ema_12: float | None
    ema_26: float | None
    support: float | None


class Candidate(Answer):
    """One symbol of a scan; `missing` names parts of the score without an input, which count 0."""

    symbol: str
    score: float
    price: float
    rsi_14: float | None
    missing: list[str]


class Scan(Answer):
    """Symbols that pass every filter, best first, and of the others why not."""

    as_of: str
    candidates: list[Candidate]
    rejected: dict[str, list[str]]


def known(state: DeskState, symbol: str) -> str:
    """Return `symbol`. Raises ToolError where it has no bar by now."""
    if not state.snapshot.has(symbol):
        near = did_you_mean(symbol, state.snapshot.symbols)
        raise ToolError(f'no bars of "{symbol}" by now{near}', mend=f"there are {', '.join(state.snapshot.symbols)}")
    return symbol


def finite(number: float) -> float | None:
    """Return `number`, None where it is not finite."""
    return number if math.isfinite(number) else None


def written(at: int) -> str:
    """Return an instant in New York time, ISO."""
    return moment(at).astimezone(NEW_YORK).isoformat()


@tool("market")
def get_quote(state: DeskState, symbol: Symbol) -> Quote:
    """Last known price of a symbol, its change against the close before, and its volume."""
    close = state.snapshot.history(known(state, symbol), last=2)
    change = 100.0 * (close[-1] / close[-2] - 1.0) if len(close) > 1 else math.nan
    volume = state.snapshot.last(symbol, "volume")
    at = written(_closes_of(state, symbol)[-1])
    return Quote(symbol=symbol, price=close[-1], at=at, change_pct=finite(change), volume=finite(volume))


@tool("market")
def get_historical(
    state: DeskState,
    symbol: Symbol,
    bars: Annotated[int, Field(ge=1, le=500, description="newest bars to return")] = 60,
) -> History:
    """Newest bars of a symbol that have closed, oldest first."""
    closes_at = _closes_of(state, known(state, symbol))[-bars:]
    columns = [state.snapshot.history(symbol, name, len(closes_at)) for name in ("open", "high", "low", "close")]
    volume = state.snapshot.history(symbol, "volume", len(closes_at))
    rows = [
        BarRow(at=written(at), open=o, high=h, low=low, close=c, volume=finite(v))
        for at, o, h, low, c, v in zip(
            closes_at, *(column.tolist() for column in columns), volume.tolist(), strict=True
        )
    ]
    return History(symbol=symbol, bars=rows)


@tool("market")
def get_market_status(state: DeskState) -> MarketStatus:
    """State of the exchange: open or closed, and when that changes next."""
    now = state.snapshot.as_of
    day = day_of(instant(now) // 86_400_000_000_000)
    near = sessions(day.replace(day=1), day.replace(year=day.year + 1, day=1))
    at = instant(now)
    opens, closes = near.opens_at, near.closes_at
    following = int((closes > at).argmax())
    is_open = bool(opens[following] <= at)
    next_open = opens[opens > at][0]
    return MarketStatus(
        now=written(at), is_open=is_open, next_open=written(int(next_open)), next_close=written(int(closes[following]))
    )


@tool("market")
def calculate_indicators(state: DeskState, symbol: Symbol) -> Indicators:
    """RSI, MACD, ATR, simple and exponential averages, and support of a symbol, at the last close."""
    t = read_technicals(state.snapshot, known(state, symbol), state.benchmark)
    averages = [state.snapshot.indicator("ema", symbol, n)[-1] for n in (12, 26)]
    return Indicators(
        symbol=symbol,
        price=t.price,
        rsi_14=finite(t.rsi),
        macd=finite(t.macd),
        macd_signal=finite(t.signal),
        macd_histogram=finite(t.histogram),
        atr_14=finite(t.atr),
        sma_20=finite(t.sma20),
        sma_50=finite(t.sma50),
        sma_200=finite(t.sma200),
        ema_12=finite(float(averages[0])),
        ema_26=finite(float(averages[1])),
        support=finite(t.support),
    )


@tool("market")
def scan_momentum(
    state: DeskState,
    most: Annotated[int, Field(ge=1, le=100, description="candidates to return")] = 5,
) -> Scan:
    """Symbols that pass the screener's filters, best momentum score first, and of the others why not."""
    passed: list[tuple[float, tuple[str, ...], Technicals]] = []
    rejected: dict[str, list[str]] = {}
    for symbol in state.snapshot.symbols:
        if not state.snapshot.has(symbol):
            rejected[symbol] = ["no bar yet"]
            continue
        t = read_technicals(state.snapshot, symbol, state.benchmark)
        if failed := failed_filters(t, state.as_traded):
            rejected[symbol] = [*failed]
        else:
            passed.append((*momentum_score(t), t))
    best = sorted(passed, key=lambda one: (-one[0], one[2].symbol))[:most]
    candidates = [
        Candidate(symbol=t.symbol, score=round(score, 2), price=t.price, rsi_14=finite(t.rsi), missing=[*missing])
        for score, missing, t in best
    ]
    return Scan(as_of=written(instant(state.snapshot.as_of)), candidates=candidates, rejected=rejected)


def _closes_of(state: DeskState, symbol: str) -> list[int]:
    bars = state.snapshot.bars
    found: list[int] = bars.closes_at[bars.fresh[:, bars.column(symbol)]].tolist()
    return found
