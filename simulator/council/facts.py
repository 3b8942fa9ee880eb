"""The facts a council is shown: one snapshot of the market as a plain, rounded, JSON-able mapping.

Every number rests on the newest 253 sessions at most, so that prompts do not depend on how far back the data reach.
What cannot be computed is left out; NaN never gets in. Units stand in the names: ``_pct`` is per cent, prices are in
dollars, volatility is per year (252 sessions).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import takewhile
from math import fsum
from operator import attrgetter
from typing import cast

import numpy as np
from numpy.typing import NDArray

from simulator.council.records import EventFacts, Facts, NewsFacts, VixFacts
from simulator.market import indicators
from simulator.market.bars import Bars, Floats, Snapshot
from simulator.market.calendar import NEW_YORK
from simulator.numerics import log, products

LOOKBACK = 400
"""Sessions looked at: more than 253, so that a few missing bars of one symbol do not shorten what is known of it."""
RETURNS = (1, 5, 21, 63, 252)
VOLATILITIES = (21, 63)
AVERAGES = (20, 50, 200)
CHANNELS = (20, 55)
CORRELATION = 63
EVENT_DAYS = 14
NEWS_DAYS = 7
HEADLINES = 10
SESSIONS_A_YEAR = 252
SMOOTHED = 251
"""Sessions that RSI, ATR and MACD start from; a session further back would weigh less than 1e-8."""

OF_A_SYMBOL = (
    "close",
    *(f"return_{k}_pct" for k in RETURNS),
    *(f"volatility_{k}_pct" for k in VOLATILITIES),
    *("rsi_14", "atr_14", "macd_pct", "macd_signal_pct"),
    *(f"sma_{k}_distance_pct" for k in AVERAGES),
    "drawdown_252_pct",
    *(f"prior_{edge}_{k}" for k in CHANNELS for edge in ("high", "low")),
    "relative_strength_63_pct",
)
OF_THE_MARKET = ("correlations", "vix", "cash_yield_pct", "events", "news")
FACTS = (*OF_A_SYMBOL, *OF_THE_MARKET)
"""Names of the facts a council may choose from."""

ALWAYS = ("close", "atr_14", "last_bar")


def market_facts(market: Snapshot, cash: str = "BIL", volatility_index: str = "VIX") -> Facts:
    """Return what is known of the traded symbols at ``market.as_of``.

    Keys: ``as_of`` (New York time), ``session`` (of the newest bar), ``symbols`` {symbol: see :func:`symbol_facts`,
    with ``relative_strength_63_pct`` = its 63-session return less the mean of the others'}, ``correlations``
    {"A/B": of 63 daily returns}, and where there are any: ``vix`` (level, change over 5 sessions, percentile within
    252), ``cash_yield_pct`` (63-session return of the `cash` fund, per year), ``events`` of the next 14 days as
    announced by ``as_of``, ``news``: the newest 10 headlines of the last 7 days, newest first. The `cash` and
    `volatility_index` series are looked up in the context first, then among the traded symbols. A symbol without a bar
    yet is left out.
    """
    return _facts(market, market.symbols, cash, volatility_index, compared=True)


def checkpoint_facts(
    market: Snapshot, symbols: Sequence[str], cash: str = "BIL", volatility_index: str = "VIX"
) -> Facts:
    """Return :func:`market_facts` of `symbols` alone, without what compares them (correlations, relative strength)."""
    return _facts(market, symbols, cash, volatility_index, compared=False)


def _facts(market: Snapshot, symbols: Sequence[str], cash: str, volatility_index: str, *, compared: bool) -> Facts:
    facts: Facts = {"as_of": market.as_of.astimezone(NEW_YORK).isoformat(timespec="minutes"), "symbols": {}}
    if not symbols or not len(market):
        return facts
    days = _sessions(market.bars, [n for n, symbol in enumerate(market.symbols) if symbol in symbols])
    facts["session"] = str(days.dates[-1])
    known = {symbol: one for n, symbol in enumerate(days.symbols) if (one := _symbol(days, n))}
    facts["symbols"] = {**known}
    if compared:
        if correlations := _correlations(days):
            facts["correlations"] = correlations
        _add_relative_strength(known)
    if vix := _vix(_series(market, volatility_index)):
        facts["vix"] = vix
    if (rate := _cash_yield(_series(market, cash))) is not None:
        facts["cash_yield_pct"] = rate
    if events := _events(market):
        facts["events"] = events
    if news := _news(market, symbols):
        facts["news"] = news
    return facts


def select_facts(facts: Facts, names: Collection[str] | None) -> Facts:
    """Return `facts` of :func:`market_facts` with the facts called `names` only, all where None.

    Close and ATR(14) stay whatever is chosen: limit prices and stops rest on them.
    """
    if names is None:
        return facts
    kept = cast(Facts, {name: value for name, value in facts.items() if name not in OF_THE_MARKET or name in names})
    kept["symbols"] = {
        symbol: {name: value for name, value in known.items() if name in (*names, *ALWAYS)}
        for symbol, known in facts["symbols"].items()
    }
    return kept


def symbol_facts(close: Floats, high: Floats, low: Floats) -> dict[str, float]:
    """Facts of one symbol from its newest bars, oldest first, shape (k,) each, k ≥ 1, without NaN.

    ``close``; ``return_{1,5,21,63,252}_pct``; ``volatility_{21,63}_pct`` (standard deviation of daily log returns,
    ddof 1); ``rsi_14`` and ``atr_14`` (Wilder 1978); ``macd_pct`` and ``macd_signal_pct`` (12, 26, 9; per cent of the
    close); ``sma_{20,50,200}_distance_pct``; ``drawdown_252_pct`` (from the highest close); ``prior_high_{20,55}`` and
    ``prior_low_{20,55}`` (extremes of the sessions before the newest).
    """
    last = float(close[-1])
    facts = {"close": six_digits(last)}
    for k in RETURNS:
        if len(close) > k:
            facts[f"return_{k}_pct"] = _pct(last / float(close[-1 - k]) - 1)
    logs = np.diff(log(close[-max(VOLATILITIES) - 1 :]))
    for k in VOLATILITIES:
        if len(logs) >= k:
            facts[f"volatility_{k}_pct"] = _pct(float(logs[-k:].std(ddof=1)) * math.sqrt(SESSIONS_A_YEAR))
    facts |= _oscillators(close, high, low)
    for k in AVERAGES:
        if len(close) >= k:
            facts[f"sma_{k}_distance_pct"] = _pct(last / float(close[-k:].mean()) - 1)
    if len(close) > 1:
        facts["drawdown_252_pct"] = _pct(last / float(close[-SESSIONS_A_YEAR:].max()) - 1)
    for k in CHANNELS:
        if len(close) > k:
            facts[f"prior_high_{k}"] = six_digits(float(high[-1 - k : -1].max()))
            facts[f"prior_low_{k}"] = six_digits(float(low[-1 - k : -1].min()))
    return facts


def _oscillators(close: Floats, high: Floats, low: Floats) -> dict[str, float]:
    close, high, low = close[-SMOOTHED:], high[-SMOOTHED:], low[-SMOOTHED:]
    facts: dict[str, float] = {}
    if len(close) > 14:
        facts["rsi_14"] = round(float(indicators.rsi(close, 14)[-1]), 1)
        facts["atr_14"] = six_digits(float(indicators.atr(high, low, close, 14)[-1]))
    if len(close) >= 26 + 9:
        macd = indicators.macd(close)
        facts["macd_pct"] = round(100 * float(macd.line[-1] / close[-1]), 3) + 0.0
        facts["macd_signal_pct"] = round(100 * float(macd.signal[-1] / close[-1]), 3) + 0.0
    return facts


@dataclass(frozen=True, eq=False)
class _Sessions:
    """Daily closes, highs and lows, shape (k, N), of the newest sessions; intraday bars are put together."""

    symbols: tuple[str, ...]
    dates: NDArray[np.datetime64]
    close: Floats
    high: Floats
    low: Floats


def _sessions(bars: Bars, columns: Sequence[int]) -> _Sessions:
    starts = np.flatnonzero(np.r_[True, bars.session_of[1:] != bars.session_of[:-1]])[-LOOKBACK:]
    first = int(starts[0])
    dates = bars.session_of[starts].astype("datetime64[D]")
    symbols = tuple(bars.symbols[n] for n in columns)
    close, high, low = bars.close[first:, columns], bars.high[first:, columns], bars.low[first:, columns]
    if len(starts) == len(close):
        return _Sessions(symbols, dates, close, high, low)
    at = starts - first
    return _Sessions(symbols, dates, _last_known(close, at), np.fmax.reduceat(high, at), np.fmin.reduceat(low, at))


def _last_known(close: Floats, starts: NDArray[np.intp]) -> Floats:
    """(k, N) the newest close within each of the k sessions that begin at rows `starts`; NaN where there is none."""
    rows = np.where(np.isnan(close), -1, np.arange(len(close))[:, None])
    newest = np.maximum.reduceat(rows, starts)
    there = newest >= starts[:, None]
    return np.where(there, np.take_along_axis(close, np.where(there, newest, 0), axis=0), np.nan)


def _symbol(days: _Sessions, n: int) -> dict[str, float]:
    there = ~np.isnan(days.close[:, n])
    if not there.any():
        return {}
    facts = symbol_facts(days.close[there, n], days.high[there, n], days.low[there, n])
    if not there[-1]:
        facts["last_bar"] = str(days.dates[there][-1])  # type: ignore[assignment]  # the one fact that is no number
    return facts


def _add_relative_strength(symbols: Mapping[str, dict[str, float]]) -> None:
    gains = {symbol: facts["return_63_pct"] for symbol, facts in symbols.items() if "return_63_pct" in facts}
    if len(gains) > 1:
        total = fsum(gains.values())
        for symbol, gain in gains.items():
            others = (total - gain) / (len(gains) - 1)
            symbols[symbol]["relative_strength_63_pct"] = round(gain - others, 2) + 0.0


def _correlations(days: _Sessions) -> dict[str, float]:
    closes = days.close[-CORRELATION - 1 :]
    if len(closes) <= CORRELATION:
        return {}
    returns = closes[1:] / closes[:-1] - 1
    whole = [n for n in range(returns.shape[1]) if not np.isnan(returns[:, n]).any()]
    deviations = returns[:, whole] - returns[:, whole].mean(axis=0)
    norms = np.sqrt((deviations * deviations).sum(axis=0))
    together = products(deviations, deviations)
    return {
        f"{days.symbols[whole[i]]}/{days.symbols[whole[j]]}": round(float(together[i, j] / (norms[i] * norms[j])), 2)
        + 0.0
        for i in range(len(whole))
        for j in range(i + 1, len(whole))
        if norms[i] > 0 and norms[j] > 0
    }


def _series(market: Snapshot, symbol: str) -> Floats:
    """The newest daily closes of `symbol`, empty where there are none."""
    for place in (market.context, market):
        if place is not None and symbol in place.symbols and len(place):
            closes = _sessions(place.bars, [place.symbols.index(symbol)]).close[:, 0]
            return closes[~np.isnan(closes)]
    return np.empty(0)


def _vix(levels: Floats) -> VixFacts | None:
    if not len(levels):
        return None
    known: VixFacts = {"level": round(float(levels[-1]), 2)}
    if len(levels) > 5:
        known["change_5"] = round(float(levels[-1] - levels[-6]), 2)
    if len(levels) >= SESSIONS_A_YEAR:
        year = levels[-SESSIONS_A_YEAR:]
        known["percentile_252"] = round(100 * float((year <= levels[-1]).mean()))
    return known


def _cash_yield(closes: Floats) -> float | None:
    if len(closes) <= CORRELATION:
        return None
    growth = float(closes[-1] / closes[-1 - CORRELATION])
    return _pct(growth ** (SESSIONS_A_YEAR / CORRELATION) - 1)


def _events(market: Snapshot) -> list[EventFacts]:
    last_day = market.as_of.astimezone(NEW_YORK).date() + timedelta(days=EVENT_DAYS)
    # Counted in whole days of New York; the extra one is cut below.
    until = market.as_of + timedelta(days=EVENT_DAYS + 1)
    soon = market.events[bisect_left(market.events, market.as_of, key=attrgetter("at")) :]
    events: list[EventFacts] = []
    for event in takewhile(lambda event: event.at <= until, soon):
        at = event.at.astimezone(NEW_YORK)
        if at.date() <= last_day:
            day, time = f"{at:%Y-%m-%d}", f"{at:%H:%M}"
            events.append({"date": day, "time": time, "event": event.name, "impact": event.importance})
    return events


def _news(market: Snapshot, symbols: Collection[str]) -> list[NewsFacts]:
    since = market.as_of - timedelta(days=NEWS_DAYS)
    headlines: list[NewsFacts] = []
    for news in reversed(market.news):
        if news.published_at < since or len(headlines) == HEADLINES:
            break
        concerned = [symbol for symbol in news.symbols if symbol in symbols]
        if news.symbols and not concerned:
            continue
        at = news.published_at.astimezone(NEW_YORK)
        shown: NewsFacts = {"published_at": f"{at:%Y-%m-%d %H:%M}", "headline": news.headline}
        if concerned:
            shown["symbols"] = concerned
        if news.source:
            shown["source"] = news.source
        headlines.append(shown)
    return headlines


def _pct(fraction: float) -> float:
    return round(100 * fraction, 2) + 0.0  # no -0.0


def six_digits(price: float) -> float:
    """Return `price` to six significant digits: enough for a price, and the same text on every machine."""
    return float(f"{price:.6g}")


def last_close(facts: Facts, symbol: str) -> float | None:
    """Return the newest close of `symbol` in `facts`, None where it has no bar."""
    known = facts["symbols"].get(symbol)
    return None if known is None else float(known["close"])


def last_closes(facts: Facts) -> dict[str, float]:
    """Return {symbol: newest close} of the symbols in `facts`."""
    return {symbol: float(known["close"]) for symbol, known in facts["symbols"].items()}
