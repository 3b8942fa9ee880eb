"""The facts a council is shown: one snapshot of the market as a plain, rounded, JSON-able mapping.

Every number rests on the newest 253 sessions at most, so that prompts do not depend on how far back the data reach.
What cannot be computed is left out; NaN never gets in. Units stand in the names: ``_pct`` is per cent, prices are in
dollars, volatility is per year (252 sessions).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from itertools import takewhile
from math import fsum
from operator import attrgetter
from typing import cast

import numpy as np

from simulator.council.fact_table import (
    AVERAGES,
    CHANNELS,
    LOOKBACK,
    RETURNS,
    VOLATILITIES,
    Ahead,
    percent,
    row_of,
    tabulate,
)
from simulator.council.records import EventFacts, Facts, NewsFacts, VixFacts
from simulator.market.bars import Floats, Snapshot
from simulator.market.calendar import NEW_YORK
from simulator.market.daily import DailyBars, newest_days
from simulator.numerics import products
from simulator.trading.execution import SESSIONS_A_YEAR

CORRELATION = 63
EVENT_DAYS = 14
NEWS_DAYS = 7
HEADLINES = 10
OF_A_SYMBOL = (
    "close",
    *(f"return_{k}_pct" for k in RETURNS),
    *(f"volatility_{k}_pct" for k in VOLATILITIES),
    *("rsi_14", "atr_14", "macd_pct", "macd_signal_pct"),
    *(f"sma_{k}_distance_pct" for k in AVERAGES),
    "drawdown_252_pct",
    *(f"prior_{edge}_{k}" for k in CHANNELS for edge in ("high", "low")),
    *("relative_strength_63_pct", "benchmark_correlation_63"),
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


def listed_facts(
    market: Snapshot, symbols: Sequence[str], cash: str, volatility_index: str, benchmark: str, strongest: int
) -> Facts:
    """Return :func:`market_facts` of `symbols` alone, in which each has a bounded part.

    ``correlations`` are those pairs that are among the `strongest` of either symbol, whatever their sign; the one with
    `benchmark`, looked up as `cash` is, stands with the symbol, without its name: ``benchmark_correlation_63``.
    """
    facts = _facts(market, symbols, cash, volatility_index, compared=True, strongest=strongest)
    days = _daily(market, benchmark)
    if days is not None and facts["symbols"]:
        own = newest_days(market.bars, [market.symbols.index(symbol) for symbol in facts["symbols"]], LOOKBACK)
        for symbol, correlation in _correlations_with(own, days).items():
            facts["symbols"][symbol] = {**facts["symbols"][symbol], "benchmark_correlation_63": correlation}
    return facts


def checkpoint_facts(
    market: Snapshot, symbols: Sequence[str], cash: str = "BIL", volatility_index: str = "VIX"
) -> Facts:
    """Return :func:`market_facts` of `symbols` alone, without what compares them (correlations, relative strength)."""
    return _facts(market, symbols, cash, volatility_index, compared=False)


def _facts(
    market: Snapshot,
    symbols: Sequence[str],
    cash: str,
    volatility_index: str,
    *,
    compared: bool,
    strongest: int | None = None,
) -> Facts:
    facts: Facts = {"as_of": market.as_of.astimezone(NEW_YORK).isoformat(timespec="minutes"), "symbols": {}}
    if not symbols or not len(market):
        return facts
    days = newest_days(market.bars, [n for n, symbol in enumerate(market.symbols) if symbol in symbols], LOOKBACK)
    facts["session"] = str(days.dates[-1])
    ahead = Ahead.of_bars(market.bars)
    known = {symbol: one for n, symbol in enumerate(days.symbols) if (one := _symbol(days, n, ahead))}
    facts["symbols"] = {**known}
    if compared:
        if correlations := _correlations(days, strongest):
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
    return row_of(tabulate(close, high, low, np.array([0]), np.array([len(close)])), 0)


def _symbol(days: DailyBars, n: int, ahead: Ahead | None) -> dict[str, float]:
    there = ~np.isnan(days.close[:, n])
    if not there.any():
        return {}
    facts = None if ahead is None else ahead.of(days.symbols[n])
    if facts is None:
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


def _correlations(days: DailyBars, strongest: int | None) -> dict[str, float]:
    """{"A/B": correlation} of all pairs, or of those among the `strongest` of either, whatever their sign."""
    closes = days.close[-CORRELATION - 1 :]
    if len(closes) <= CORRELATION:
        return {}
    returns = closes[1:] / closes[:-1] - 1
    whole = [n for n in range(returns.shape[1]) if not np.isnan(returns[:, n]).any()]
    deviations = returns[:, whole] - returns[:, whole].mean(axis=0)
    norms = np.sqrt((deviations * deviations).sum(axis=0))
    together = products(deviations, deviations)
    moving = [i for i in range(len(whole)) if norms[i] > 0]
    found = {
        (i, j): round(float(together[i, j] / (norms[i] * norms[j])), 2) + 0.0
        for n, i in enumerate(moving)
        for j in moving[n + 1 :]
    }
    if strongest is not None:
        partners: dict[int, list[tuple[float, tuple[int, int]]]] = {i: [] for i in moving}
        for pair, correlation in found.items():
            for i in pair:
                partners[i].append((-abs(correlation), pair))
        kept = {pair for own in partners.values() for _, pair in sorted(own)[:strongest]}
        found = {pair: correlation for pair, correlation in found.items() if pair in kept}
    return {f"{days.symbols[whole[i]]}/{days.symbols[whole[j]]}": correlation for (i, j), correlation in found.items()}


def _correlations_with(days: DailyBars, other: DailyBars) -> dict[str, float]:
    """{symbol: correlation of its daily returns with those of the one symbol of `other`, on the same sessions}."""
    closes, dates = days.close[-CORRELATION - 1 :], days.dates[-CORRELATION - 1 :]
    at = np.searchsorted(other.dates, dates)
    if len(dates) <= CORRELATION or at[-1] >= len(other.dates) or (other.dates[at] != dates).any():
        return {}
    both = np.hstack((closes, other.close[at]))
    returns = both[1:] / both[:-1] - 1
    deviations = returns - returns.mean(axis=0)
    norms = np.sqrt((deviations * deviations).sum(axis=0))
    together = products(deviations, deviations[:, -1:])[:, 0]
    return {
        symbol: round(float(together[n] / (norms[n] * norms[-1])), 2) + 0.0
        for n, symbol in enumerate(days.symbols)
        if norms[n] > 0 and norms[-1] > 0
    }


def _series(market: Snapshot, symbol: str) -> Floats:
    """The newest daily closes of `symbol`, empty where there are none."""
    days = _daily(market, symbol)
    closes = np.empty(0) if days is None else days.close[:, 0]
    return closes[~np.isnan(closes)]


def _daily(market: Snapshot, symbol: str) -> DailyBars | None:
    """The newest sessions of `symbol`, from the context first; None where it is not known."""
    for place in (market.context, market):
        if place is not None and symbol in place.symbols and len(place):
            return newest_days(place.bars, [place.symbols.index(symbol)], LOOKBACK)
    return None


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
    return percent(growth ** (SESSIONS_A_YEAR / CORRELATION) - 1)


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


def last_close(facts: Facts, symbol: str) -> float | None:
    """Return the newest close of `symbol` in `facts`, None where it has no bar."""
    known = facts["symbols"].get(symbol)
    return None if known is None else float(known["close"])


def last_closes(facts: Facts) -> dict[str, float]:
    """Return {symbol: newest close} of the symbols in `facts`."""
    return {symbol: float(known["close"]) for symbol, known in facts["symbols"].items()}
