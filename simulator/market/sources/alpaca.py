"""Bars from Alpaca's historical data by way of alpaca-py (the extra ``alpaca``).

Prices come adjusted for splits and dividends, as in the sample: Alpaca does not deliver dividends beside the bars. The
consolidated tape (SIP) is asked for: the free plan has it for all but the last quarter of an hour, and the
single-exchange feed that is its default misses most of the volume.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, time
from time import sleep
from typing import Any

import numpy as np

from simulator.errors import DataError, UsageError
from simulator.keys import read_key, scrub
from simulator.market.bars import instant, moment
from simulator.market.calendar import NEW_YORK, day_number, sessions
from simulator.market.table import PRICES, BarTable, absorb_rounding, daily_table

SOURCE = "alpaca"
KEYS = (("ALPACA_API_KEY", "ALPACA_SECRET_KEY"), ("ALPACA_PAPER_KEY_COUNCIL", "ALPACA_PAPER_SECRET_COUNCIL"))
TIMEOUT_S = (10.0, 60.0)
"""To connect, and between bytes. alpaca-py itself would wait for ever."""
PAGE_S, MOST_PAGES = 0.3, 1000
"""Between two pages of one answer, for 200 requests a minute are allowed, and how many there may be: a thousand hold
twenty years of minutes."""

COLUMNS = {"open": "o", "high": "h", "low": "l", "close": "c", "volume": "v"}


@dataclass(frozen=True)
class BarsRequest:
    """Bars of days or of so many `minutes`, `adjusted` for splits and dividends or as traded, from the tape `feed`:
    ``sip`` or ``iex``, by default the consolidated one for days and the best that the plan has for minutes."""

    adjusted: bool = True
    minutes: int | None = None
    feed: str | None = None


def keys() -> tuple[str, str]:
    """Key and secret from the first complete pair of KEYS. Raises UsageError when there is none, or one is no key."""
    for key, secret in KEYS:
        if os.environ.get(key) and os.environ.get(secret):
            return read_key(key), read_key(secret)
    raise UsageError("no Alpaca keys in the environment", mend=f"export {KEYS[0][0]}=… and {KEYS[0][1]}=…")


def fetch(
    symbols: Sequence[str],
    first: date,
    last: date,
    say: Callable[[str], None],
    *,
    url: str | None = None,
    pair: tuple[str, str] | None = None,
    wanted: BarsRequest = BarsRequest(),
) -> list[BarTable]:
    """Tables of `symbols` from `first` to `last`, both included; `say` gets a line per symbol.

    `url` replaces Alpaca's address (it speaks the same API there), `pair` the key and secret of the environment: who
    gives it asks again by itself where there was no answer, alpaca-py does not, and gets no table of a symbol that
    has no bars. Days as they were traded are asked until the close of `last`: a plan that has not its last minutes
    yet refuses, and answers with no part of it. Raises UsageError without alpaca-py or keys, DataError when Alpaca
    refuses, has nothing or cannot be reached. Keys appear in no message.
    """
    client = _client(*(pair or keys()), url)
    if pair is not None:
        client._retry = 0  # it would wait three seconds each time, in a rehearsal too
    tables = []
    with closing(client._session):
        for symbol in symbols:
            say(f"{symbol} from Alpaca")
            bars = _ask(client, symbol, first, last, wanted)
            if not bars and pair is not None:
                continue
            if not bars:
                raise DataError(f"Alpaca has no bars for {symbol} from {first} to {last}")
            tables.append(to_table(symbol, bars, wanted.minutes))
    return tables


def to_table(symbol: str, bars: Sequence[Mapping[str, Any]], minutes: int | None = None) -> BarTable:
    """Make the table of Alpaca's list of bars: ``t`` is when one starts, New York midnight for a day, in UTC;
    ``o h l c v`` are numbers."""
    try:
        stamps = [datetime.fromisoformat(bar["t"]).astimezone(NEW_YORK) for bar in bars]
        columns = {role: np.array([bar[name] for bar in bars], dtype=np.float64) for role, name in COLUMNS.items()}
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"Alpaca's bars for {symbol} are not understood ({error})") from None
    days = np.array([day_number(s.date()) for s in stamps])
    if minutes is None:
        return daily_table(symbol, SOURCE, days, columns)
    numbers: dict[str, Any] = columns | absorb_rounding(*(columns[name] for name in PRICES))
    starts = np.array([instant(s) for s in stamps])
    return BarTable(symbol, SOURCE, f"{minutes}min", days, starts, **numbers, dividend=np.zeros(len(days)))


def _client(key: str, secret: str, url: str | None) -> Any:
    try:
        from alpaca.data.historical import StockHistoricalDataClient
    except ImportError:
        raise UsageError("alpaca-py is not installed", mend="pip install alpaca-py") from None

    client = StockHistoricalDataClient(key, secret, raw_data=True, url_override=url)
    mount(client._session)
    return client


def mount(session: Any) -> None:
    """Have a session of `requests` wait no longer than TIMEOUT_S, turn pages at the pace of PAGE_S, and refuse one that
    it has read already or that comes after MOST_PAGES: alpaca-py would follow tokens for ever."""
    from requests.adapters import HTTPAdapter
    from requests.exceptions import InvalidURL

    class Adapter(HTTPAdapter):
        def __init__(self) -> None:
            super().__init__()
            self.pages: set[str] = set()

        def send(self, request: Any, **options: Any) -> Any:  # type: ignore[override]
            if "page_token=" not in request.url:
                self.pages.clear()
            elif request.url in self.pages:
                raise InvalidURL("the same page again and again")
            elif len(self.pages) >= MOST_PAGES:
                raise InvalidURL(f"more than {MOST_PAGES} pages")
            else:
                sleep(PAGE_S)
            answer = super().send(request, **{**options, "timeout": options.get("timeout") or TIMEOUT_S})
            if answer.ok and "page_token=" in request.url:
                self.pages.add(request.url)
            return answer

    for scheme in ("https://", "http://"):
        session.mount(scheme, Adapter())


def _ask(client: Any, symbol: str, first: date, last: date, wanted: BarsRequest) -> list[Mapping[str, Any]]:
    from alpaca.common.exceptions import APIError
    from alpaca.data.enums import Adjustment, DataFeed
    from alpaca.data.requests import StockBarsRequest
    from alpaca.data.timeframe import TimeFrame, TimeFrameUnit
    from requests.exceptions import RequestException

    days = wanted.minutes is None
    step = TimeFrame.Day if wanted.minutes is None else TimeFrame(wanted.minutes, TimeFrameUnit.Minute)
    end = datetime.combine(last, time(12 if days else 23), NEW_YORK)  # days are dated at midnight
    if days and not wanted.adjusted and len(on := sessions(last, last)):
        end = moment(int(on.closes_at[0]))
    feed = wanted.feed or ("sip" if days else None)
    question = StockBarsRequest(
        symbol_or_symbols=symbol,
        timeframe=step,
        start=datetime.combine(first, time(0), NEW_YORK),
        end=end,
        adjustment=Adjustment.ALL if wanted.adjusted else Adjustment.RAW,
        feed=None if feed is None else DataFeed(feed),
    )
    try:
        return list((client.get_stock_bars(question) or {}).get(symbol) or [])
    except APIError as error:
        reason = f"{error.status_code}: {scrub(str(error))[:200]}"
        raise DataError(f"Alpaca refused bars for {symbol} with status {reason}") from None
    except (RequestException, ValueError, AttributeError, TypeError, KeyError, RecursionError) as error:
        raise DataError(
            f"Alpaca could not be reached for {symbol} ({type(error).__name__}: {scrub(str(error))})"
        ) from None
