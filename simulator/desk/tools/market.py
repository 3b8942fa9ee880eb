"""Market tools: quotes, bars, indicators, the state of the exchange, and the scan for momentum."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Annotated

import numpy as np
from pydantic import Field

from simulator.desk.formulas import (
    Recommendation,
    Technicals,
    classify,
    confidence,
    failed_filters,
    momentum_score,
    read_technicals,
    signal_points,
    stop_price,
    target_prices,
)
from simulator.desk.headlines import ENVELOPE, LONGEST_HEADLINE, newest, published
from simulator.desk.state import DeskState
from simulator.desk.tools.registry import Answer, ToolError, tool
from simulator.errors import did_you_mean
from simulator.market.bars import instant, moment
from simulator.market.calendar import NEW_YORK, sessions
from simulator.market.daily import closed_sessions

Symbol = Annotated[str, Field(min_length=1, max_length=20, description="ticker, e.g. AAPL")]


class Headline(Answer):
    published_at: str
    text: str


class Headlines(Answer):
    """Foreign text: `note` says what it is."""

    note: str = ENVELOPE
    items: list[Headline]


class Quote(Answer):
    """Last known price; `change_pct` against the close of the session before its own, volume of its session so far in
    shares, the newest headlines of the last days."""

    symbol: str
    price: float
    at: str
    change_pct: float | None
    volume: float | None
    headlines: Headlines


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
    """Indicators at the close of the last session that is over; null where there are too few sessions.

    `signals`, `score` and `recommendation` are the analyzer's, `stop` and `targets` those of an entry at `price`; no
    stop: too volatile.
    """

    symbol: str
    price: float | None
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
    signals: dict[str, int]
    score: int
    recommendation: Recommendation
    stop: float | None
    targets: list[float]


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
    """Last known price of a symbol, its change against the close of the session before, and its volume so far."""
    bars, column = state.snapshot.bars, state.snapshot.bars.column(known(state, symbol))
    rows = np.flatnonzero(bars.fresh[:, column])
    session = bars.session_of[rows[-1]]
    before, within = rows[bars.session_of[rows] < session], rows[bars.session_of[rows] == session]
    price = float(bars.close[rows[-1], column])
    change = 100.0 * (price / float(bars.close[before[-1], column]) - 1.0) if len(before) else math.nan
    volume = math.fsum(bars.volume[within, column])
    at = written(int(bars.closes_at[rows[-1]]))
    items = [
        Headline(published_at=published(news), text=news.headline[:LONGEST_HEADLINE])
        for news, _ in newest(state.snapshot, (symbol,))
    ]
    return Quote(
        symbol=symbol,
        price=price,
        at=at,
        change_pct=finite(change),
        volume=finite(volume),
        headlines=Headlines(items=items),
    )


@tool("market")
def get_historical(
    state: DeskState,
    symbol: Symbol,
    bars: Annotated[int, Field(ge=1, le=500, description="newest bars to return")] = 60,
) -> History:
    """Newest bars of a symbol that have closed, oldest first."""
    known_bars = state.snapshot.bars
    column = known_bars.column(known(state, symbol))
    closes_at = known_bars.closes_at[known_bars.fresh[:, column]][-bars:].tolist()
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
    at, day = instant(state.snapshot.as_of), state.today
    near = sessions(day, day + timedelta(days=30))
    opens, closes = near.opens_at, near.closes_at
    following = int((closes > at).argmax())
    is_open = bool(opens[following] <= at)
    next_open = opens[opens > at][0]
    return MarketStatus(
        now=written(at), is_open=is_open, next_open=written(int(next_open)), next_close=written(int(closes[following]))
    )


@tool("market")
def calculate_indicators(state: DeskState, symbol: Symbol) -> Indicators:
    """RSI, MACD, ATR, simple and exponential averages, and support of a symbol, at the close of its last session."""
    t = read_technicals(state.snapshot, known(state, symbol), state.benchmark)
    days = closed_sessions(state.snapshot)
    points = signal_points(t)
    score = confidence([*points.values()], t.lead63 > 0.0)
    stop = stop_price(t.price, t.atr, t.lows, state.caps.stop) if t.price > 0.0 else None
    averages = [days.indicator("ema", symbol, n)[-1:].tolist() or [math.nan] for n in (12, 26)]
    return Indicators(
        symbol=symbol,
        price=finite(t.price),
        rsi_14=finite(t.rsi),
        macd=finite(t.macd),
        macd_signal=finite(t.signal),
        macd_histogram=finite(t.histogram),
        atr_14=finite(t.atr),
        sma_20=finite(t.sma20),
        sma_50=finite(t.sma50),
        sma_200=finite(t.sma200),
        ema_12=finite(averages[0][0]),
        ema_26=finite(averages[1][0]),
        support=finite(t.support),
        signals=dict(points),
        score=score,
        recommendation=classify(score),
        stop=stop,
        targets=[] if stop is None else [*target_prices(t.price, stop, state.caps.exits)],
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
        if not state.snapshot.is_traded(symbol):
            rejected[symbol] = [f"no bar in {state.snapshot.session}"]
            continue
        t = read_technicals(state.snapshot, symbol, state.benchmark)
        if failed := failed_filters(t, state.as_traded, state.caps.filters):
            rejected[symbol] = [*failed]
        else:
            passed.append((*momentum_score(t), t))
    best = sorted(passed, key=lambda one: (-one[0], one[2].symbol))[:most]
    candidates = [
        Candidate(symbol=t.symbol, score=round(score, 2), price=t.price, rsi_14=finite(t.rsi), missing=[*missing])
        for score, missing, t in best
    ]
    return Scan(as_of=written(instant(state.snapshot.as_of)), candidates=candidates, rejected=rejected)
