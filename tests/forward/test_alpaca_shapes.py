"""Answers that alpaca-py's own tests hold (alpaca_shapes.json, from github.com/alpacahq/alpaca-py, Apache-2.0), read
as the broker's."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from simulator.errors import BrokerError
from simulator.forward.alpaca import AlpacaAccount
from simulator.forward.market_data import MarketData, Quote
from simulator.forward.messages import read_orders, read_positions
from simulator.forward.mode import make_rehearsal_keys
from simulator.market.sources import alpaca
from simulator.market.table import BarTable

from .conftest import QUICK, run

SHAPES = json.loads((Path(__file__).parent / "alpaca_shapes.json").read_text(encoding="utf-8"))


@contextmanager
def answering(paths: dict[str, Any]) -> Iterator[str]:
    """Address of a server that answers each path (without its query) with a body."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = paths.get(self.path.partition("?")[0])
            data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def open_account(url: str) -> AlpacaAccount:
    return AlpacaAccount(make_rehearsal_keys("COUNCIL"), url=url, patience=QUICK)


def test_an_account_with_debts_and_texts_for_levels_of_options() -> None:
    with answering({"/v2/account": SHAPES["account"]}) as url:
        account = open_account(url)
        state = run(account.state())
        account.close()
    assert (state.number, state.cash, state.equity) == ("PA0000000000", -23_140.2, 103_820.56)
    assert (state.restrictions, state.shorting, state.buying_power) == ((), True, 262_113.632)


def test_a_book_from_an_answer_each() -> None:
    answers = {"account": SHAPES["account"], "positions": SHAPES["positions"], "orders": SHAPES["orders"]}
    with answering({f"/v2/{name}": body for name, body in answers.items()}) as url:
        account = open_account(url)
        book = run(account.account())
        account.close()
    assert (book.positions, book.marks) == ({"AAPL": 5.0}, {"AAPL": 120.0})
    assert [(one.client_order_id, one.status, one.external) for one in book.open_orders] == [("string", "open", True)]


@pytest.mark.parametrize("name", ["limit order", "order", "sold"])
def test_an_order_is_found(name: str) -> None:
    body = SHAPES[name]
    with answering({"/v2/orders:by_client_order_id": body, "/v2/orders": [], f"/v2/orders/{body['id']}": body}) as url:
        account = open_account(url)
        found = run(account.find(body["client_order_id"]))
        account.close()
    assert found is not None
    assert (found.client_order_id, found.symbol, found.status, found.filled) == (
        body["client_order_id"], body["symbol"], "open", 0.0
    )  # fmt: skip


def test_what_is_no_answer_is_an_error_and_never_flat_or_without_orders() -> None:
    for body in ({}, {"positions": []}, "flat", None, [{"symbol": "AAPL"}], [{"symbol": "A", "qty": "NaN"}], [7]):
        with pytest.raises(BrokerError):
            read_positions(body)
    for body in ({}, None, [None], [{"id": "1"}], [SHAPES["closed"][0]]):
        with pytest.raises(BrokerError):
            read_orders(body)
    (crypto,) = read_orders([SHAPES["closed"][0]["body"]])
    assert (crypto.symbol, crypto.sign, crypto.quantity, crypto.order_class) == ("BTC/USD", -1.0, 0.0283, "simple")
    for text in ("", "null", "<html></html>", '{"cash": 1', "[]"):
        with answering({"/v2/positions": text, "/v2/account": text}) as url:
            account = open_account(url)
            if text != "[]":
                with pytest.raises(BrokerError):
                    run(account.positions())
            with pytest.raises(BrokerError):
                run(account.state())
            account.close()


def test_prices() -> None:
    days = date(2022, 3, 1), date(2022, 3, 10)

    def fetch(url: str) -> list[BarTable]:
        pair, wanted = ("key", "secret"), alpaca.BarsRequest(False)
        return alpaca.fetch(["AAPL", "TSLA"], *days, lambda _: None, url=url, pair=pair, wanted=wanted)

    with answering({"/v2/stocks/quotes/latest": SHAPES["quotes"], "/v2/stocks/bars": SHAPES["bars"]}) as url:
        data = MarketData(make_rehearsal_keys("COUNCIL"), url=url, patience=QUICK)
        quotes = run(data.quotes(["AAPL"]))
        data.close()
        tables = fetch(url)
    assert quotes == {"AAPL": Quote(datetime(2022, 3, 18, 14, 2, 43, 651613, UTC), 161.1, 161.11)}
    assert [(one.symbol, one.close.tolist()) for one in tables] == [("AAPL", [162.95]), ("TSLA", [858.97])]
    with answering({"/v2/stocks/bars": SHAPES["no bars"]}) as url:
        assert fetch(url) == []
