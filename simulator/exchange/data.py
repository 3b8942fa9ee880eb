"""Market-data interface of the rehearsal exchange: bars, quotes and trades of stocks as of the simulated clock.

Prices are those of the exchange's bars; trades are known at the open and close of each bar, quotes stand around them.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any

import numpy as np
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from simulator.exchange import forms
from simulator.exchange.exchange import Exchange
from simulator.exchange.orders import Refusal
from simulator.exchange.prices import MINUTE, Prices
from simulator.exchange.rest import AccountRequest, Wire, parse_instant
from simulator.market.bars import instant
from simulator.market.calendar import DAY, NEW_YORK

STEPS = {"min": MINUTE, "t": MINUTE, "hour": 60 * MINUTE, "h": 60 * MINUTE, "day": DAY, "d": DAY}
ADJUSTMENTS = ("raw", "split", "dividend", "all")
LARGEST_PAGE = 10_000
LARGEST_NEWS_PAGE = 50
DELAY = 15 * MINUTE
"""Of the consolidated tape, on a free plan."""

Item = Mapping[str, Any]


def parse_timeframe(given: str) -> int:
    """Return the nanoseconds of ``1Min``, ``15T``, ``1Hour``, ``1Day``. Raises Refusal."""
    found = re.fullmatch(r"(\d{1,3})([A-Za-z]+)", given)
    step = STEPS.get(found[2].lower()) if found else None
    if found is None or step is None or (step == DAY and found[1] != "1") or not int(found[1]):
        raise Refusal(400, f"invalid timeframe: {given}")
    return int(found[1]) * step


def bars_of(prices: Prices, asked: Mapping[str, str], symbol: str, span: tuple[int, int, int]) -> Iterable[Item]:
    """Yield the bars of `symbol` within `span` (start, end, now)."""
    if asked.get("feed") == "sip" and prices.faults.rule("sip-delayed") and min(span[1], span[2]) > span[2] - DELAY:
        raise Refusal(403, "subscription does not permit querying recent SIP data")
    step, adjustment = parse_timeframe(asked.get("timeframe", "")), asked.get("adjustment") or "raw"
    if adjustment not in ADJUSTMENTS:
        raise Refusal(400, f"invalid adjustment: {adjustment}")
    return map(forms.bar_json, prices.past_bars(symbol, step, span, adjustment))


def trades_of(prices: Prices, _: Mapping[str, str], symbol: str, span: tuple[int, int, int]) -> Iterable[Item]:
    """Yield the first and last trade of each bar within `span` (start, end, now)."""
    return (forms.trade_json(*one) for one in _prints(prices, symbol, span))


def quotes_of(prices: Prices, _: Mapping[str, str], symbol: str, span: tuple[int, int, int]) -> Iterable[Item]:
    """Yield the quotes around the first and last trade of each bar within `span` (start, end, now)."""
    quotes = (prices.quote(symbol, at) for at, _ in _prints(prices, symbol, span))
    return (forms.quote_json(*one) for one in quotes if one is not None)


def _prints(prices: Prices, symbol: str, span: tuple[int, int, int]) -> Iterable[tuple[int, float]]:
    start, end, now = span
    n = prices.bars.columns.get(symbol)
    if n is None:
        return
    for t in np.flatnonzero(np.isfinite(prices.bars.close[:, n])).tolist():
        for at, price in ((prices.bars.opens_at[t], prices.bars.open), (prices.bars.closes_at[t], prices.bars.close)):
            if start <= at <= min(end, now):
                yield int(at), float(price[t, n])


Source = Callable[[Prices, Mapping[str, str], str, tuple[int, int, int]], Iterable[Item]]


def history(wire: Wire, asked: Mapping[str, str], symbols: list[str], source: Source) -> Any:
    """Return ({symbol: items}, token of the next page or None); symbols one after the other, as the service pages."""
    now = wire.exchange.now
    start = parse_instant(asked["start"]) if "start" in asked else now - now % DAY
    end = parse_instant(asked["end"]) if "end" in asked else now
    left = _limit(asked)
    token = asked.get("page_token") or "|0"
    begin, _, skip = token.partition("|")
    found: dict[str, list[Item]] = {}
    order = sorted(symbols)
    for symbol in order[order.index(begin) if begin in order else 0 :]:
        items = list(source(wire.exchange.prices, asked, symbol, (start, end, now)))
        items = items[::-1] if asked.get("sort") == "desc" else items
        done = int(skip) if symbol == begin and skip.isdigit() else 0
        page = list(islice(items, done, done + left))
        if page:
            found[symbol] = page
        left -= len(page)
        if done + len(page) < len(items):
            return found, f"{symbol}|{done + len(page)}"
    return found, None


def _limit(asked: Mapping[str, str]) -> int:
    given = asked.get("limit", "1000")
    if not given.isdigit() or not 1 <= int(given) <= LARGEST_PAGE:
        raise Refusal(400, f"invalid limit: must be between 1 and {LARGEST_PAGE}")
    return int(given)


def _symbols(asked: Mapping[str, str]) -> list[str]:
    symbols = [one for one in asked.get("symbols", "").upper().split(",") if one]
    if not symbols:
        raise Refusal(400, "symbols is required")
    return list(dict.fromkeys(symbols))


def latest(wire: Wire, what: str, symbol: str) -> Item | None:
    """Return the newest trade, quote or bar of a symbol, None before any."""
    prices, now = wire.exchange.prices, wire.exchange.now
    last = prices.last_trade(symbol, now)
    if last is None:
        return None
    if what == "trade":
        return forms.trade_json(*last)
    if what == "quote":
        quote = prices.quote(symbol, now)
        return None if quote is None else forms.quote_json(*quote)
    step = DAY if prices.bars.frequency == "1d" or what == "daily" else MINUTE
    past = (list(prices.past_bars(symbol, step, (last[0] - back, now, now))) for back in (2 * step, 40 * DAY))
    newest = next((bars[-1] for bars in past if bars), None)
    return None if newest is None else forms.bar_json(newest)


def snapshot(wire: Wire, symbol: str) -> Item:
    """Return newest trade, quote, minute bar, and the last two bars of days."""
    now = wire.exchange.now
    days = list(wire.exchange.prices.past_bars(symbol, DAY, (now - 40 * DAY, now, now)))
    found: dict[str, Any] = {
        "latestTrade": latest(wire, "trade", symbol), "latestQuote": latest(wire, "quote", symbol),
        "minuteBar": latest(wire, "bar", symbol), "dailyBar": forms.bar_json(days[-1]) if days else None,
        "prevDailyBar": forms.bar_json(days[-2]) if len(days) > 1 else None,
    }  # fmt: skip
    return {name: value for name, value in found.items() if value is not None}


def corporate_actions(wire: Wire, asked: Mapping[str, str]) -> dict[str, list[Item]]:
    """Return {kind: actions} of splits and cash dividends, served from the close of the session before on."""
    exchange, prices = wire.exchange, wire.exchange.prices
    symbols = _symbols(asked) if "symbols" in asked else list(exchange.bars.symbols)
    kinds = [one for one in asked.get("types", "").split(",") if one]
    first, last = asked.get("start", "")[:10], asked.get("end", "")[:10]
    known = str(prices.sessions.session_of[prices.session(exchange.now)].astype("datetime64[D]"))
    found: dict[str, list[Item]] = {}
    for kind, symbol, day, fields in _actions(exchange):
        if symbol in symbols and first <= day <= min(known, last or known) and (not kinds or kind in kinds):
            dates = dict.fromkeys(("ex_date", "process_date", "record_date", "payable_date"), day)
            own = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{kind}:{symbol}:{day}"))
            found.setdefault(f"{kind}s", []).append({"id": own, "symbol": symbol, **dates, **fields})
    return found


def _actions(exchange: Exchange) -> Iterator[tuple[str, str, str, Item]]:
    """Yield (kind, symbol, day, fields of its own) of every corporate action of the bars."""
    bars = exchange.bars
    for t, n in np.argwhere(bars.dividend > 0.0).tolist():
        rate = {"rate": float(bars.dividend[t, n]), "special": False, "foreign": False, "cusip": ""}
        yield "cash_dividend", bars.symbols[n], str(bars.dates[t]), rate
    for one in [split for split in exchange.splits if split.told <= exchange.now]:
        day = str(datetime.fromtimestamp(one.at / 1e9, NEW_YORK).date())
        rates = {"new_rate": max(one.ratio, 1.0), "old_rate": max(1.0 / one.ratio, 1.0)}
        if one.ratio > 1.0:
            yield "forward_split", one.symbol, day, {**rates, "cusip": "", "due_bill_redemption_date": day}
        else:
            yield "reverse_split", one.symbol, day, {**rates, "old_cusip": "", "new_cusip": ""}


def headlines(wire: Wire, asked: Mapping[str, str]) -> tuple[list[Item], str | None]:
    """Return the headlines published by now, newest first unless asked otherwise, and the token of the next page."""
    now, limit = wire.exchange.now, asked.get("limit", "10")
    if not limit.isdigit() or not 1 <= int(limit) <= LARGEST_NEWS_PAGE:
        raise Refusal(400, f"invalid limit: must be between 1 and {LARGEST_NEWS_PAGE}")
    start = parse_instant(asked["start"]) if "start" in asked else 0
    end = min(parse_instant(asked["end"]) if "end" in asked else now, now)
    symbols = {one for one in asked.get("symbols", "").upper().split(",") if one}
    listed = sorted(enumerate(wire.exchange.news, 1), key=lambda one: one[1].published_at)
    found = [
        (own, one, at)
        for own, one in (listed if asked.get("sort") == "asc" else listed[::-1])
        if start <= (at := instant(one.published_at)) <= end and (not symbols or symbols & {*one.symbols})
    ]
    token = asked.get("page_token", "")
    done = int(token) if token.isdigit() else 0
    upto = done + int(limit)
    page: list[Item] = [
        {
            "id": own, "headline": one.headline, "source": one.source, "symbols": list(one.symbols),
            "created_at": forms.utc(at), "updated_at": forms.utc(at),
            "author": "", "summary": "", "content": "", "url": None, "images": [],
        }
        for own, one, at in found[done:upto]
    ]  # fmt: skip
    return page, str(upto) if upto < len(found) else None


def data_routes(wire: Wire) -> list[Route]:
    """Return the routes of the data interface."""
    sources: dict[str, Source] = {"bars": bars_of, "trades": trades_of, "quotes": quotes_of}

    async def many(asked: AccountRequest) -> Response:
        query, what = dict(asked.request.query_params), asked.request.url.path.rsplit("/", 1)[1]
        found, token = history(wire, query, _symbols(query), sources[what])
        return JSONResponse({what: found, "next_page_token": token, "currency": "USD"})

    async def one(asked: AccountRequest) -> Response:
        query, what = dict(asked.request.query_params), asked.request.url.path.rsplit("/", 1)[1]
        symbol = _of(asked)
        found, token = history(wire, query, [symbol], sources[what])
        return JSONResponse({what: found.get(symbol), "symbol": symbol, "next_page_token": token, "currency": "USD"})

    async def many_latest(asked: AccountRequest) -> Response:
        what, query = asked.request.path_params["what"], dict(asked.request.query_params)
        kind = what.removesuffix("s")
        found = {symbol: latest(wire, kind, symbol) for symbol in _symbols(query)}
        return JSONResponse({what: {symbol: item for symbol, item in found.items() if item}, "currency": "USD"})

    async def one_latest(asked: AccountRequest) -> Response:
        kind, symbol = asked.request.path_params["what"].removesuffix("s"), _of(asked)
        return JSONResponse({"symbol": symbol, kind: latest(wire, kind, symbol), "currency": "USD"})

    async def snapshots(asked: AccountRequest) -> Response:
        return JSONResponse({symbol: snapshot(wire, symbol) for symbol in _symbols(dict(asked.request.query_params))})

    async def one_snapshot(asked: AccountRequest) -> Response:
        return JSONResponse({"symbol": _of(asked), **snapshot(wire, _of(asked))})

    async def actions(asked: AccountRequest) -> Response:
        found = corporate_actions(wire, dict(asked.request.query_params))
        return JSONResponse({"corporate_actions": found, "next_page_token": None})

    async def news(asked: AccountRequest) -> Response:
        found, token = headlines(wire, dict(asked.request.query_params))
        return JSONResponse({"news": found, "next_page_token": token})

    table = [
        ("/v2/stocks/snapshots", snapshots), ("/v2/stocks/{symbol}/snapshot", one_snapshot),
        ("/v2/stocks/{what:str}/latest", many_latest), ("/v2/stocks/{symbol}/{what:str}/latest", one_latest),
        *((f"/v2/stocks/{what}", many) for what in sources),
        *((f"/v2/stocks/{{symbol}}/{what}", one) for what in sources),
        ("/v1beta1/news", news), ("/v1/corporate-actions", actions), ("/v1beta1/corporate-actions", actions),
    ]  # fmt: skip
    return [Route(path, wire.answering(handler)) for path, handler in table]


def _of(asked: AccountRequest) -> str:
    return str(asked.request.path_params["symbol"]).upper()
