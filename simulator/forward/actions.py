"""Data of a forward test from Alpaca's data interface: bars as they were traded, splits and dividends beside them."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from datetime import date, datetime
from functools import partial
from typing import Any, TypeVar

from simulator.errors import BrokerError, DataError
from simulator.forward.books import Split
from simulator.forward.feed import Actions, Source
from simulator.forward.messages import UNREADABLE
from simulator.forward.mode import Keys, check_address
from simulator.forward.requests import AccessError, OneAttempt, Patience, RateLimit
from simulator.forward.threads import within
from simulator.market.calendar import MINUTE
from simulator.market.news import News
from simulator.market.sources import alpaca
from simulator.market.table import DAILY, BarTable, step_of

T = TypeVar("T")

WHOLE_S = 120.0
"""For all pages of one symbol, of all actions or headlines."""


class UnendingError(DataError):
    """An answer that was left behind unfinished: another beside it would take as long."""


def alpaca_source(
    keys: Keys,
    url: str | None = None,
    patience: Patience = Patience(),  # noqa: B008 - frozen
    frequency: str = DAILY,
    feed: str | None = None,
    news: bool = False,
) -> Source:
    """Return Alpaca's data, or those of a rehearsal exchange at `url`, asked with `keys`, again where that fails; bars
    come from the tape `feed`, headlines where `news` are wanted.

    Raises DataError for a `frequency` other than days and whole minutes.
    """
    check_address(url, keys.paper)
    if frequency != DAILY and step_of(frequency) % MINUTE:
        raise DataError(f"Alpaca has no bars of {frequency}", mend="take bars of days or minutes")
    wanted = alpaca.BarsRequest(False, None if frequency == DAILY else step_of(frequency) // MINUTE, feed)
    pair = (keys.key, keys.secret)

    def ask_within(ask: Callable[[], T]) -> T:
        try:
            return within(WHOLE_S, ask)
        except TimeoutError:
            raise UnendingError(f"no whole answer within {WHOLE_S:g} s") from None

    def again(ask: Callable[[], T]) -> T:
        for attempt in range(patience.attempts - 1):
            try:
                return ask_within(ask)
            except (AccessError, UnendingError):
                raise
            except (BrokerError, DataError):
                time.sleep(patience.backoff_s * 2.0**attempt)
        return ask_within(ask)

    def bars(symbols: Sequence[str], first: date, last: date) -> Sequence[BarTable]:
        def one(symbol: str) -> list[BarTable]:
            return alpaca.fetch([symbol], first, last, lambda _: None, url=url, pair=pair, wanted=wanted)

        return [table for symbol in symbols for table in again(partial(one, symbol))]

    def actions(symbols: Sequence[str], first: date, last: date) -> Actions:
        return again(lambda: fetch_actions(keys, symbols, first, last, url))

    def headlines(symbols: Sequence[str], first: datetime, last: datetime) -> Sequence[News]:
        return again(lambda: fetch_headlines(keys, symbols, first, last, url))

    return Source(bars, actions, frequency, headlines if news else None)


def fetch_headlines(
    keys: Keys, symbols: Sequence[str], first: datetime, last: datetime, url: str | None = None
) -> list[News]:
    """Return the headlines on `symbols` published from `first` to `last`. Raises BrokerError."""
    from alpaca.data.historical.news import NewsClient
    from alpaca.data.requests import NewsRequest

    client = NewsClient(keys.key, keys.secret, raw_data=True, url_override=url)
    asked = NewsRequest(symbols=",".join(symbols), start=first, end=last, include_content=False)
    with closing(OneAttempt(RateLimit(), Patience(), local=url is not None)) as session:
        client._session = session
        alpaca.mount(session)
        found = _ask(lambda: client.get_news(asked), "headlines")
    try:
        return [
            News(
                datetime.fromisoformat(one["created_at"]), " ".join(str(one["headline"]).split()),
                tuple(sorted(map(str, one["symbols"]))), str(one["source"]),
            )
            for one in found.get("news", ()) if str(one["headline"]).strip()
        ]  # fmt: skip
    except UNREADABLE as error:
        raise BrokerError(f"the broker's headlines are not understood: {error}") from None


def fetch_actions(keys: Keys, symbols: Sequence[str], first: date, last: date, url: str | None = None) -> Actions:
    """Return the dividends and splits of `symbols` that go ex from `first` to `last`. Raises BrokerError."""
    from alpaca.data.enums import CorporateActionsType
    from alpaca.data.historical.corporate_actions import CorporateActionsClient
    from alpaca.data.requests import CorporateActionsRequest

    kinds = ("reverse_split", "forward_split", "stock_dividend", "cash_dividend")
    client = CorporateActionsClient(keys.key, keys.secret, raw_data=True, url_override=url)
    asked = CorporateActionsRequest(
        symbols=list(symbols), types=[CorporateActionsType(kind) for kind in kinds], start=first, end=last
    )
    with closing(OneAttempt(RateLimit(), Patience(), local=url is not None)) as session:
        client._session = session
        alpaca.mount(session)
        found = _ask(lambda: client.get_corporate_actions(asked), "corporate actions")
    return read_actions(found or {})


def read_actions(found: Mapping[str, Any]) -> Actions:
    """Return the actions of the broker's JSON, each once. Raises BrokerError for what is none."""
    dividends: dict[tuple[str, date], float] = {}
    try:
        paid = found.get("cash_dividends", ())
        for one in {one.get("id") or json.dumps(one): one for one in paid}.values():  # two of a day have two ids
            key, rate = (str(one["symbol"]), date.fromisoformat(one["ex_date"])), float(one["rate"])
            if not 0.0 <= rate < math.inf:
                raise ValueError(f"a dividend of {rate} a share of {key[0]}")
            dividends[key] = dividends.get(key, 0.0) + rate
        splits = {Split(str(one["symbol"]), date.fromisoformat(one["ex_date"]), ratio) for one, ratio in _ratios(found)}
    except (*UNREADABLE, ZeroDivisionError) as error:
        raise BrokerError(f"the broker's corporate actions are not understood: {error}") from None
    return Actions(dividends, tuple(sorted(splits, key=lambda one: (one.session, one.symbol, one.ratio))))


def _ask(ask: Callable[[], Any], what: str) -> Any:
    """Return alpaca-py's answer. Raises BrokerError where it stumbles over the broker's."""
    try:
        return ask()
    except BrokerError:
        raise
    except UNREADABLE as error:
        raise BrokerError(f"the broker's {what} are not understood: {type(error).__name__}: {error}") from None


def _ratios(found: Mapping[str, Any]) -> Iterable[tuple[Mapping[str, Any], float]]:
    """Yield what changes the number of shares, with the new ones for an old one."""
    for kind in ("forward_splits", "reverse_splits"):
        for one in found.get(kind, ()):
            yield one, float(one["new_rate"]) / float(one["old_rate"])
    for one in found.get("stock_dividends", ()):
        yield one, 1.0 + float(one["rate"])
