"""Alpaca's client against a loopback server that speaks its API; Yahoo's frames in the shape yfinance returns them."""

from __future__ import annotations

import json
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pandas as pd
import pytest

from simulator.errors import DataError, UsageError
from simulator.market.sources import alpaca, yahoo

SPAN = (date(2024, 3, 7), date(2024, 3, 12))
KEY, SECRET = "key-of-a-test", "secret-of-a-test"
BARS = [
    {"t": "2024-03-07T05:00:00Z", "o": 10.0, "h": 12.0, "l": 9.0, "c": 11.0, "v": 500, "n": 3, "vw": 10.5},
    {"t": "2024-03-08T05:00:00Z", "o": 11.0, "h": 13.0, "l": 10.0, "c": 12.5, "v": 600, "n": 3, "vw": 11.5},
    {"t": "2024-03-11T04:00:00Z", "o": 12.0, "h": 14.0, "l": 11.0, "c": 13.0, "v": 700, "n": 3, "vw": 12.5},
    {"t": "2024-03-12T04:00:00Z", "o": 13.0, "h": 15.0, "l": 12.0, "c": 14.0, "v": 800, "n": 3, "vw": 13.5},
]


def nothing(_line: str) -> None:
    pass


# ---- Alpaca ------------------------------------------------------------------------------------------------------


class Exchange:
    """What the server was asked, and what it answers: status, body, and seconds it lets pass before."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, list[str]], dict[str, str]]] = []
        self.answer: Callable[[dict[str, list[str]]], tuple[int, Any]] = two_pages
        self.delay = 0.0
        self.url = ""


def two_pages(query: dict[str, list[str]]) -> tuple[int, Any]:
    (symbol,) = query["symbols"]
    if "page_token" in query:
        return 200, {"bars": {symbol: BARS[2:]}, "next_page_token": None}
    return 200, {"bars": {symbol: BARS[:2]}, "next_page_token": "more"}


@pytest.fixture
def exchange(monkeypatch: pytest.MonkeyPatch) -> Iterator[Exchange]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of websockets, at what alpaca-py imports
        pytest.importorskip("alpaca.data.historical", reason="needs the extra alpaca")
    monkeypatch.setenv("ALPACA_API_KEY", KEY)
    monkeypatch.setenv("ALPACA_SECRET_KEY", SECRET)
    state = Exchange()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = urlsplit(self.path)
            query = parse_qs(path.query)
            state.asked.append((path.path, query, dict(self.headers)))
            time.sleep(state.delay)
            status, content = state.answer(query)
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            with suppress(ConnectionError):  # whoever asked may be gone
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


def test_alpaca_bars_of_all_pages_become_one_table(exchange: Exchange) -> None:
    (table,) = alpaca.fetch(["SPY"], *SPAN, nothing, url=exchange.url)
    assert (table.symbol, table.source, table.frequency) == ("SPY", "alpaca", "1d")
    assert table.session_of.astype("datetime64[D]").astype(str).tolist() == [
        "2024-03-07", "2024-03-08", "2024-03-11", "2024-03-12",
    ]  # fmt: skip
    assert table.close.tolist() == [11.0, 12.5, 13.0, 14.0]
    assert table.volume.tolist() == [500.0, 600.0, 700.0, 800.0]


def test_alpaca_is_asked_for_adjusted_daily_bars_of_the_consolidated_tape(exchange: Exchange) -> None:
    alpaca.fetch(["SPY"], *SPAN, nothing, url=exchange.url)
    path, query, headers = exchange.asked[0]
    assert path == "/v2/stocks/bars"
    told = {name: query[name] for name in ("symbols", "timeframe", "adjustment", "feed")}
    assert told == {"symbols": ["SPY"], "timeframe": ["1Day"], "adjustment": ["all"], "feed": ["sip"]}
    assert query["start"][0].startswith("2024-03-07T05:00:00")
    assert query["end"][0].startswith("2024-03-12T16:00:00")
    assert (headers["APCA-API-KEY-ID"], headers["APCA-API-SECRET-KEY"]) == (KEY, SECRET)


def test_the_second_pair_of_names_for_the_keys_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in sum(alpaca.KEYS, ()):
        monkeypatch.delenv(name, raising=False)
    second = {"ALPACA_API_KEY": "alone", "ALPACA_PAPER_KEY_COUNCIL": "k", "ALPACA_PAPER_SECRET_COUNCIL": "s"}
    for name, key in second.items():
        monkeypatch.setenv(name, key)
    assert alpaca.keys() == ("k", "s")
    monkeypatch.setenv("ALPACA_SECRET_KEY", "together")
    assert alpaca.keys() == ("alone", "together")


def test_without_keys_the_names_of_the_variables_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in sum(alpaca.KEYS, ()):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError, match=r"export ALPACA_API_KEY=… and ALPACA_SECRET_KEY=…"):
        alpaca.keys()


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (403, {"message": "forbidden."}, "Alpaca refused bars for SPY with status 403"),
        (422, {"code": 42210000, "message": "invalid symbol: SPY"}, "invalid symbol: SPY"),
        (500, b"<html>" + b"x" * 5000, "status 500"),
        (200, b"no json", "Alpaca could not be reached for SPY"),
        (200, {"surprise": 1}, "Alpaca could not be reached for SPY"),
        (200, {"bars": {}, "next_page_token": None}, "Alpaca has no bars for SPY from 2024-03-07 to 2024-03-12"),
        (200, {"bars": None, "next_page_token": None}, "SPY"),
        (200, {"bars": {"SPY": [{"t": "2024-03-07T05:00:00Z"}]}}, "Alpaca's bars for SPY are not understood"),
    ],
)
def test_what_alpaca_refuses_is_one_line_without_keys(status: int, body: object, said: str, exchange: Exchange) -> None:
    exchange.answer = lambda _query: (status, body)
    with pytest.raises(DataError) as error:
        alpaca.fetch(["SPY"], *SPAN, nothing, url=exchange.url)
    assert said in str(error.value)
    assert len(str(error.value)) < 400
    assert "\n" not in str(error.value)
    assert KEY not in str(error.value)
    assert SECRET not in str(error.value)


def test_alpaca_is_not_waited_for_for_ever(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alpaca, "TIMEOUT_S", (0.2, 0.2))
    exchange.delay = 3.0
    began = time.monotonic()
    with pytest.raises(DataError, match="Alpaca could not be reached for SPY"):
        alpaca.fetch(["SPY"], *SPAN, nothing, url=exchange.url)
    assert time.monotonic() - began < 2.5


def test_a_server_that_is_not_there_is_one_line(exchange: Exchange) -> None:
    with pytest.raises(DataError, match="Alpaca could not be reached for SPY"):
        alpaca.fetch(["SPY"], *SPAN, nothing, url="http://127.0.0.1:9")
    assert exchange.asked == []


@pytest.mark.parametrize(
    ("source", "module", "install"),
    [(yahoo, "yfinance", r"'council-simulator\[yahoo\]'"), (alpaca, "alpaca.data.historical", "alpaca-py")],
)
def test_a_missing_package_ends_in_the_command_that_installs_it(
    source: ModuleType, module: str, install: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setenv("ALPACA_API_KEY", KEY)
    monkeypatch.setenv("ALPACA_SECRET_KEY", SECRET)
    with pytest.raises(UsageError, match=f"is not installed; pip install {install}"):
        source.fetch(["SPY"], *SPAN, nothing)


# ---- Yahoo -------------------------------------------------------------------------------------------------------


def yahoo_frame() -> pd.DataFrame:
    """As ``Ticker.history(auto_adjust=False, actions=True)`` of yfinance 1 gives it."""
    days = ["2024-03-07", "2024-03-08", "2024-03-11", "2024-03-12"]
    index = pd.DatetimeIndex(days, tz="America/New_York", name="Date").as_unit("s")
    columns = {
        "Open": [10.0, 11.0, 12.0, np.nan],
        "High": [12.0, 13.0, 14.0, np.nan],
        "Low": [9.0, 10.0, 11.0, np.nan],
        "Close": [11.0, 12.5, 13.0, np.nan],
        "Adj Close": [10.8, 12.3, 13.0, np.nan],
        "Volume": [500, 600, 700, 0],
        "Dividends": [0.0, 0.0, 0.24, 0.0],
        "Stock Splits": [0.0, 0.0, 0.0, 0.0],
    }
    return pd.DataFrame(columns, index=index)


def test_yahoo_frames_become_unadjusted_bars_with_dividends_and_no_empty_rows() -> None:
    table = yahoo.to_table("AAPL", yahoo_frame(), *SPAN)
    days = table.session_of.astype("datetime64[D]").astype(str).tolist()
    assert days == ["2024-03-07", "2024-03-08", "2024-03-11"]
    assert table.close.tolist() == [11.0, 12.5, 13.0]
    assert table.dividend.tolist() == [0.0, 0.0, 0.24]
    assert (table.source, table.frequency) == ("yahoo", "1d")


def test_yahoo_rows_beyond_the_days_asked_for_are_left_out() -> None:
    table = yahoo.to_table("AAPL", yahoo_frame(), date(2024, 3, 8), date(2024, 3, 8))
    assert table.close.tolist() == [12.5]


def test_a_frame_of_yahoo_without_dividends_has_none() -> None:
    table = yahoo.to_table("^VIX", yahoo_frame().drop(columns=["Dividends", "Stock Splits"]), *SPAN)
    assert table.dividend.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("frame", [pd.DataFrame(), yahoo_frame().iloc[:0], yahoo_frame().iloc[3:]])
def test_a_frame_without_bars_is_refused(frame: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="Yahoo Finance gave no bars for AAPL from 2024-03-07 to 2024-03-12"):
        yahoo.to_table("AAPL", frame, *SPAN)
