"""The desk's arithmetic: scores, stops, sizes, targets, grades. Pure functions of numbers; no model enters.

Technicals of a symbol ──► momentum score (screener), signals and class (analyzer), stop, targets and size (optimizer)

Sources: docs/desk.md lists every formula with the choice behind it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from simulator.config import Section
from simulator.market.bars import Floats, Snapshot
from simulator.market.daily import closed_sessions

Recommendation = Literal["STRONG_BUY", "BUY", "HOLD", "AVOID"]
Grade = Literal["EXCELLENT", "GOOD", "ACCEPTABLE", "NEEDS_IMPROVEMENT", "too few to grade"]
RiskClass = Literal["LOW", "MEDIUM", "HIGH", "UNACCEPTABLE"]

Share = Annotated[float, Field(gt=0, le=1)]
Multiple = Annotated[float, Field(gt=0, le=100)]
"""Of a share's risk, or of its ATR."""
MultipleOrNone = Annotated[float, Field(ge=0, le=100)]
Least = Annotated[float, Field(ge=0, le=1e12)]
Count = Annotated[int, Field(ge=1, le=1000)]

RSI_LOW, RSI_HIGH = 45.0, 70.0
"""Band of the RSI in which momentum is bought, both ends included."""
LOOK_BACK = 60
"""Sessions among which support is looked for."""


class Filters(Section):
    """Filters of the screener: least ATR14 in dollars and volume in shares on prices as traded; where bars are adjusted
    of the price, and in dollars a day over 20 sessions."""

    rsi_low: Annotated[float, Field(ge=0, le=100)] = RSI_LOW
    rsi_high: Annotated[float, Field(ge=0, le=100)] = RSI_HIGH
    atr: Least = 0.5
    volume: Least = 1_000_000.0
    atr_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.005
    dollar_volume: Least = 20e6

    @model_validator(mode="after")
    def _check_band(self) -> Self:
        if self.rsi_low >= self.rsi_high:
            raise ValueError(f"rsi_low {self.rsi_low:g} is not below rsi_high {self.rsi_high:g}")
        return self


class Exits(Section):
    """Two targets, multiples of the risk of a share; how much of that risk below the second a position is left; ATR14
    under the highest close that a stop trails after the first; and above the plan from which nothing is bought."""

    first: Multiple = 1.5
    second: Multiple = 2.5
    near: MultipleOrNone = 0.1
    trailing_atr: Multiple = 2.0
    gap_atr: MultipleOrNone = 0.5

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.first >= self.second:
            raise ValueError(f"first {self.first:g} is not below second {self.second:g}")
        if self.near >= self.second:  # it would be left where it was bought
            raise ValueError(f"near {self.near:g} is not below second {self.second:g}")
        return self


class Limits(Section):
    """Limits on a trade: fractions of equity at risk, in a position and in a sector; of the price to the stop; of the
    day's first equity lost. `losses_in_a_row` rest a session, a loser `resting_sessions`."""

    risk: Share = 0.02
    position: Share = 0.15
    sector: Share = 0.30
    stop: Annotated[float, Field(gt=0, lt=1)] = 0.03
    daily_loss: Share = 0.02
    losses_in_a_row: Count = 3
    resting_sessions: Annotated[int, Field(ge=0, le=1000)] = 2
    entries_a_day: Count = 3


class Caps(Limits):
    """All that a desk goes by: limits, filters and exits."""

    filters: Filters = Filters()
    exits: Exits = Exits()


USUAL = Caps()


@dataclass(frozen=True)
class Technicals:
    """Technical state of one symbol at the close of its last session; NaN where there are too few sessions.

    Attributes
    ----------
    rsi_before : RSI(14) of the session before
    macd, signal, histogram : of MACD(12, 26, 9), dollars
    volume, volume20 : shares of the last session, and their mean over the 20 sessions before it
    dollars20 : mean of close × volume of the last 20 sessions
    low20, high20 : lowest low and highest high of the last 20 sessions
    lead63 : return over 63 sessions less the benchmark's
    lows : swing lows of the last 60 sessions
    support : highest of them below the close
    """

    symbol: str
    price: float
    sma20: float
    sma50: float
    sma200: float
    rsi: float
    rsi_before: float
    macd: float
    signal: float
    histogram: float
    atr: float
    volume: float
    volume20: float
    dollars20: float
    low20: float
    high20: float
    lead63: float
    support: float
    lows: tuple[float, ...] = ()


def read_technicals(snapshot: Snapshot, symbol: str, benchmark: str = "SPY") -> Technicals:
    """Return the technical state of `symbol` as known in `snapshot`: of sessions that are over, whatever its bars."""
    snapshot = closed_sessions(snapshot)

    def last(values: Floats, back: int = 1) -> float:
        return float(values[-back]) if len(values) >= back else math.nan

    close, volume = snapshot.history(symbol), snapshot.history(symbol, "volume")
    low, high = snapshot.history(symbol, "low"), snapshot.history(symbol, "high")
    macd, rsi = snapshot.indicator("macd", symbol), snapshot.indicator("rsi", symbol)
    before = volume[-21:-1]
    price, lows = last(close), swing_lows(low)
    return Technicals(
        symbol=symbol,
        price=price,
        sma20=last(snapshot.indicator("sma", symbol, 20)),
        sma50=last(snapshot.indicator("sma", symbol, 50)),
        sma200=last(snapshot.indicator("sma", symbol, 200)),
        rsi=last(rsi),
        rsi_before=last(rsi, 2),
        macd=last(macd.line),
        signal=last(macd.signal),
        histogram=last(macd.histogram),
        atr=last(snapshot.indicator("atr", symbol)),
        volume=last(volume),
        volume20=math.fsum(before) / 20 if len(before) == 20 else math.nan,
        dollars20=math.fsum(close[-20:] * volume[-20:]) / 20 if len(close) >= 20 else math.nan,
        low20=float(low[-20:].min()) if len(low) >= 20 else math.nan,
        high20=float(high[-20:].max()) if len(high) >= 20 else math.nan,
        lead63=last(snapshot.indicator("returns", symbol, 63)) - _growth(snapshot, benchmark),
        support=find_support(lows, price),
        lows=lows,
    )


def _growth(snapshot: Snapshot, benchmark: str) -> float:
    """Return of the benchmark over 63 sessions; NaN where it is not known: nobody leads one that is not there."""
    for place in (snapshot, snapshot.context):
        if place is not None and place.has(benchmark):
            found = closed_sessions(place).indicator("returns", benchmark, 63)
            return float(found[-1]) if len(found) else math.nan
    return math.nan


def swing_lows(low: Floats) -> tuple[float, ...]:
    """Return the swing lows of the last LOOK_BACK bars, oldest first.

    A swing low lies under the two lows on each side, so it is known two bars later only; the two before the oldest of
    them are looked at too.
    """
    recent = np.asarray(low[-LOOK_BACK - 2 :])
    return tuple(
        float(recent[t])
        for t in range(2, len(recent) - 2)
        if recent[t] < min(recent[t - 2], recent[t - 1], recent[t + 1], recent[t + 2])
    )


def find_support(lows: Sequence[float], entry: float) -> float:
    """Return the highest of `lows` that lies below `entry` in cents, as limits are written; NaN where none does."""
    return max((low for low in lows if low < entry and round(low, 2) < round(entry, 2)), default=math.nan)


# ── screener ────────────────────────────────────────────────────────────────────────────────────────────────────────


def failed_filters(t: Technicals, as_traded: bool, filters: Filters = USUAL.filters) -> tuple[str, ...]:
    """Return the screener's filters that a symbol fails, in words; () where it passes."""
    volume_ok = t.volume20 > filters.volume if as_traded else t.dollars20 >= filters.dollar_volume
    atr_ok = t.atr >= filters.atr if as_traded else t.atr >= filters.atr_fraction * t.price
    low, high = filters.rsi_low, filters.rsi_high
    checks = {
        f"RSI {t.rsi:.2f} outside {low:.0f}–{high:.0f}": low <= t.rsi <= high,
        "MACD not positive": t.macd > t.signal and t.macd > 0.0,
        "ATR too small": atr_ok,
        "volume too small": volume_ok,
    }
    return tuple(name for name, passed in checks.items() if not passed)


def momentum_score(t: Technicals) -> tuple[float, tuple[str, ...]]:
    """Return the screener's score, 0 to 100, and the names of parts without an input, which count 0.

    Volume 30, technical 40 (RSI, MACD, range), trend 20 (three orderings), liquidity 10.
    """
    missing: list[str] = []

    def part(name: str, value: float) -> float:
        if math.isfinite(value):
            return min(1.0, max(0.0, value))
        missing.append(name)
        return 0.0

    def ratio(top: float, bottom: float) -> float:
        return top / bottom if bottom > 0.0 else math.nan

    def above(a: float, b: float) -> float:
        return math.nan if math.isnan(a) or math.isnan(b) else float(a > b)

    volume = part("volume", ratio(t.volume, t.volume20) / 2)
    technical = (
        part("RSI", (t.rsi - RSI_LOW) / 25)
        + part("MACD", ratio(t.histogram, 0.5 * t.atr))
        + part("range", ratio(t.price - t.low20, t.high20 - t.low20))
    ) / 3
    trend = (
        part("price over SMA20", above(t.price, t.sma20))
        + part("SMA20 over SMA50", above(t.sma20, t.sma50))
        + part("SMA50 over SMA200", above(t.sma50, t.sma200))
    ) / 3
    liquidity = part("liquidity", t.dollars20 / 1e8)
    return 30 * volume + 40 * technical + 20 * trend + 10 * liquidity, tuple(missing)


# ── analyzer ────────────────────────────────────────────────────────────────────────────────────────────────────────


def signal_points(t: Technicals) -> Mapping[str, int]:
    """Return the points, 0, 10 or 20, of the analyzer's five bullish signals."""
    in_band = RSI_LOW <= t.rsi <= RSI_HIGH
    place = (t.price - t.low20) / (t.high20 - t.low20) if t.high20 > t.low20 else math.nan

    def mark(full: bool, half: bool) -> int:
        return 20 if full else 10 if half else 0

    return {
        "trend": mark(t.price > t.sma20 > t.sma50, t.price > t.sma20),
        "rsi": mark(in_band and t.rsi > t.rsi_before, in_band),
        "macd": mark(t.macd > t.signal and t.macd > 0.0, t.macd > t.signal),
        "volume": mark(t.volume > 1.2 * t.volume20, t.volume > t.volume20),
        "range": mark(place >= 0.75, place >= 0.5),
    }


def confidence(points: Sequence[int], leads: bool) -> int:
    """Return the analyzer's score, 0 to 100, of its signals' points; `leads` where the symbol beat the benchmark.

    A tenth more where every signal counts, a twentieth more for a leader; in integers, so that no rounding decides.
    """
    all_count = all(one >= 10 for one in points)
    return min(100, sum(points) * (110 if all_count else 100) * (105 if leads else 100) // 10_000)


def classify(score: int) -> Recommendation:
    """Return the analyzer's class of a score."""
    return "STRONG_BUY" if score >= 80 else "BUY" if score >= 60 else "HOLD" if score >= 40 else "AVOID"


# ── optimizer ───────────────────────────────────────────────────────────────────────────────────────────────────────


def stop_price(entry: float, atr: float, lows: Sequence[float], most: float = USUAL.stop) -> float | None:
    """Return the stop of a long entry, rounded up to the cent; None where no stop within `most` of the price leaves
    half an ATR of room (the symbol is too volatile), or none in whole cents lies below the entry.

    Of the swing `lows` the highest below the entry supports it, whatever the close was: a limit may lie on one.
    """
    nearest = entry - 0.5 * atr
    widest = (1.0 - most) * entry
    support = find_support(lows, entry)
    stop = min(max(entry - 2.0 * atr, widest, -math.inf if math.isnan(support) else support), nearest)
    # The comparison is made before rounding: a stop exactly at the limit is allowed. It is false of an ATR that is NaN.
    if not stop >= widest * (1 - 1e-12):
        return None
    in_cents = math.ceil(stop * 100 - 1e-9) / 100
    return in_cents if in_cents < entry else None


def target_prices(entry: float, stop: float, exits: Exits = USUAL.exits) -> tuple[float, float]:
    """Return the prices at so many times the risk of a share above the entry, to the cent: each a cent or more above
    the one before, which of shares for cents is more than was asked."""
    risk, least = entry - stop, math.floor(entry * 100 + 1e-9) / 100 + 0.01
    first = max(round(entry + exits.first * risk, 2), round(least, 2))
    return first, max(round(entry + exits.second * risk, 2), round(first + 0.01, 2))


def exposure_multiplier(gross: float, drawdown: float) -> float:
    """Return the part of a size that gross exposure (fraction of equity) and drawdown from the peak (≥ 0) leave."""
    by_gross = 1.0 if gross < 0.30 else 0.75 if gross < 0.50 else 0.5 if gross < 0.75 else 0.0
    by_drawdown = 1.0 if drawdown < 0.05 else 0.5 if drawdown < 0.10 else 0.0
    return by_gross * by_drawdown


@dataclass(frozen=True)
class Size:
    """Whole shares to buy, the rule that binds, and the dollars each rule would allow."""

    shares: int
    binding: str
    allowed: Mapping[str, float]


def position_size(
    entry: float,
    stop: float,
    equity: float,
    buying_power: float,
    sector_left: float,
    multiplier: float,
    caps: Caps,
    held: float = 0.0,
) -> Size:
    """Return the size of a long entry: the least that any rule allows, times the exposure `multiplier`.

    `sector_left` is the fraction of equity that its sector may still take, `held` that which its symbol has already.
    Raises ValueError for a stop that is not below the entry.
    """
    if not 0.0 < stop < entry:
        raise ValueError(f"stop {stop} is not below the entry {entry}")
    equity = max(0.0, equity)
    allowed = {
        "risk per trade": caps.risk * equity / (entry - stop) * entry,
        "position": max(0.0, caps.position - held) * equity,
        "sector": max(0.0, sector_left) * equity,
        "buying power": max(0.0, buying_power),
    }
    binding = min(allowed, key=lambda name: allowed[name])
    if multiplier <= 0.0:
        binding = "exposure"
    return Size(math.floor(allowed[binding] * multiplier / entry + 1e-9) if multiplier > 0.0 else 0, binding, allowed)


# ── reviewer ────────────────────────────────────────────────────────────────────────────────────────────────────────


def grade(trades: int, win_rate: float, profit_factor: float, sharpe: float, drawdown: float) -> Grade:
    """Return the grade of a record.

    Targets: win rate over 0.5, profit factor over 1.5, Sharpe over 1, drawdown (≥ 0) under 0.1.
    """
    if trades < 10:
        return "too few to grade"
    met = sum((win_rate > 0.5, profit_factor > 1.5, sharpe > 1.0, drawdown < 0.10))
    if met >= 3:
        return "EXCELLENT" if met == 4 else "GOOD"
    return "ACCEPTABLE" if win_rate > 0.4 and sharpe > 0.5 and profit_factor > 1.0 else "NEEDS_IMPROVEMENT"


def risk_score(drawdown: float, cvar95: float, overfitting: float, best_share: float) -> float:
    """Return the backtester's risk score, 0 to 100: the mean of four parts, each clipped. All inputs are fractions ≥ 0:
    largest drawdown, daily CVaR at 95 %, PBO (of one run its p), share of profit from the best trade. NaN where one of
    them is: a risk that is not known is not none."""
    parts = (drawdown / 0.20, cvar95 / 0.03, overfitting, best_share)
    return math.fsum(100.0 * min(1.0, max(0.0, one)) if one == one else math.nan for one in parts) / 4


def risk_class(score: float) -> RiskClass:
    """Return the class of a risk score."""
    return "LOW" if score < 25 else "MEDIUM" if score < 50 else "HIGH" if score < 75 else "UNACCEPTABLE"
