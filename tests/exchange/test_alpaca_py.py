"""alpaca-py, unmodified, against the rehearsal exchange."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from alpaca.common.exceptions import APIError
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.live import StockDataStream
from alpaca.data.requests import StockBarsRequest, StockLatestQuoteRequest, StockSnapshotRequest, StockTradesRequest
from alpaca.data.timeframe import TimeFrame
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import OrderClass, OrderSide, OrderStatus, QueryOrderStatus, TimeInForce
from alpaca.trading.requests import (
    ClosePositionRequest,
    GetCalendarRequest,
    GetOrdersRequest,
    LimitOrderRequest,
    MarketOrderRequest,
    ReplaceOrderRequest,
    StopLossRequest,
    TakeProfitRequest,
)
from alpaca.trading.stream import TradingStream

pytestmark = pytest.mark.medium
if TYPE_CHECKING:
    from conftest import Running, Serve
else:
    Running = Serve = Any

NUMBERS = itertools.count()
DAY, GTC = TimeInForce.DAY, TimeInForce.GTC


@pytest.fixture
def client(exchange: Running) -> TradingClient:
    """A client with an account of its own."""
    return TradingClient(f"KEY{next(NUMBERS)}", "secret", paper=True, url_override=exchange.url)


def buy(symbol: str = "SPY", qty: float = 10, **more: Any) -> MarketOrderRequest:
    return MarketOrderRequest(symbol=symbol, qty=qty, side=OrderSide.BUY, **{"time_in_force": GTC, **more})


def bracket(stop: float, take: float, qty: float = 10) -> MarketOrderRequest:
    legs = {"take_profit": TakeProfitRequest(limit_price=take), "stop_loss": StopLossRequest(stop_price=stop)}
    return buy(qty=qty, order_class=OrderClass.BRACKET, **legs)


def refusal(call: Callable[[], object]) -> tuple[int, str]:
    with pytest.raises(APIError) as caught:
        call()
    return caught.value.status_code, str(caught.value)


def price_of(exchange: Running, symbol: str = "SPY") -> float:
    data = StockHistoricalDataClient("DATA", "secret", url_override=exchange.url)
    return float(data.get_stock_snapshot(StockSnapshotRequest(symbol_or_symbols=symbol))[symbol].latest_trade.price)


def test_account_clock_calendar_and_assets(client: TradingClient) -> None:
    account, clock = client.get_account(), client.get_clock()
    assert (float(account.cash), float(account.buying_power), account.status.value) == (100_000, 200_000, "ACTIVE")
    assert clock.next_open < clock.next_close or clock.is_open
    days = client.get_calendar(GetCalendarRequest(start="2024-11-27", end="2024-12-02"))
    assert [(str(one.date), f"{one.close:%H:%M}") for one in days] == [
        ("2024-11-27", "16:00"), ("2024-11-29", "13:00"), ("2024-12-02", "16:00")
    ]  # fmt: skip
    assert [one.symbol for one in client.get_all_assets()] == ["SPY", "QQQ"]
    assert client.get_asset(str(client.get_asset("SPY").id)).symbol == "SPY"
    assert client.get_account_configurations().suspend_trade is False


def test_a_bracket_from_entry_to_the_end(client: TradingClient, exchange: Running) -> None:
    price = price_of(exchange)
    order = client.submit_order(bracket(round(price * 0.5, 2), round(price * 1.5, 2)))
    assert [leg.status for leg in order.legs] == [OrderStatus.HELD] * 2
    exchange.conduct("advance", bars=1)
    order = client.get_order_by_id(order.id)
    assert order.status == OrderStatus.FILLED
    assert [leg.status for leg in order.legs] == [OrderStatus.NEW] * 2
    position = client.get_open_position("SPY")
    assert (position.qty, position.qty_available, position.avg_entry_price) == ("10", "0", order.filled_avg_price)
    code, text = refusal(lambda: client.close_position("SPY"))
    assert code == 403
    assert "insufficient qty available for order (requested: 10, available: 0)" in text
    client.cancel_orders()
    client.close_position("SPY", ClosePositionRequest(percentage="50"))
    exchange.conduct("advance", bars=1)
    assert client.get_open_position("SPY").qty == "5"
    closing = client.get_orders(GetOrdersRequest(status=QueryOrderStatus.CLOSED))[0]
    assert (closing.side, closing.position_intent.value) == (OrderSide.SELL, "sell_to_close")
    spent = 10 * float(order.filled_avg_price) - 5 * float(closing.filled_avg_price)
    assert float(client.get_account().cash) == pytest.approx(100_000 - spent, abs=0.01)


def test_a_stop_is_reached_and_its_sibling_ends(client: TradingClient, exchange: Running) -> None:
    price = price_of(exchange)
    client.submit_order(buy())
    exchange.conduct("advance", bars=1)
    exits = {"take_profit": TakeProfitRequest(limit_price=round(price * 1.5, 2)), "order_class": OrderClass.OCO}
    oco = LimitOrderRequest(
        symbol="SPY", qty=10, side=OrderSide.SELL, time_in_force=GTC,
        stop_loss=StopLossRequest(stop_price=round(price * 0.995, 2)), limit_price=round(price * 1.5, 2), **exits,
    )  # fmt: skip
    order = client.submit_order(oco)
    for _ in range(30):
        exchange.conduct("advance", bars=1)
        if not client.get_all_positions():
            break
    order = client.get_order_by_id(order.id)
    assert (order.status, order.legs[0].status) == (OrderStatus.CANCELED, OrderStatus.FILLED)
    assert float(order.legs[0].filled_avg_price) <= price * 0.995


REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({"symbol": "NOPE", "qty": 1}, 422, 'asset \\"NOPE\\" not found'),
    ({"symbol": "SPY", "qty": 0}, 422, "qty must be > 0"),
    ({"symbol": "SPY", "qty": -1}, 422, "qty must be > 0"),
    ({"symbol": "SPY", "qty": "NaN"}, 422, "qty is no number"),
    ({"symbol": "SPY", "qty": "0.1234567891"}, 422, "more than 9 decimals"),
    ({"symbol": "SPY", "notional": 0.5}, 422, "notional amount must be >= 1.00"),
    ({"symbol": "SPY", "qty": 1, "notional": 5}, 422, "qty or notional is required"),
    ({"symbol": "SPY", "qty": 1, "type": "limit", "limit_price": 290.123}, 422, "sub-penny"),
    ({"symbol": "SPY", "qty": 1, "type": "limit"}, 422, "limit orders require limit price"),
    ({"symbol": "SPY", "qty": 0.5, "time_in_force": "gtc"}, 422, "fractional orders must be DAY orders"),
    ({"symbol": "SPY", "qty": 1, "extended_hours": True}, 422, "extended hours order must be DAY limit orders"),
    ({"symbol": "SPY", "qty": 1, "order_class": "bracket"}, 422, "bracket orders require take_profit.limit_price"),
    (
        {
            "symbol": "SPY", "qty": 0.5, "order_class": "bracket", "take_profit": {"limit_price": 9000},
            "stop_loss": {"stop_price": 1},
        }, 422, "fractional orders must be simple orders",
    ),
    (
        {
            "symbol": "SPY", "qty": 1, "order_class": "bracket", "take_profit": {"limit_price": 9000},
            "stop_loss": {"stop_price": 8000},
        }, 422, "stop price must be <= base_price - 0.01",
    ),
    (
        {
            "symbol": "SPY", "qty": 1, "order_class": "bracket", "take_profit": {"limit_price": 1},
            "stop_loss": {"stop_price": 2},
        }, 422, "take_profit.limit_price must lie beyond",
    ),
    ({"symbol": "SPY", "qty": 1, "order_class": "oto"}, 422, "oto orders require take_profit or stop_loss"),
    ({"symbol": "SPY", "qty": 10_000}, 403, "insufficient buying power"),
    ({"symbol": "SPY", "qty": 0.5, "side": "sell"}, 403, "fractional orders cannot be sold short"),
    ({"symbol": "SPY", "qty": 1, "client_order_id": "x" * 129}, 422, "no more than 128 characters"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "status", "words"), REFUSED, ids=[words[:40] for _, _, words in REFUSED])
def test_what_the_broker_refuses(exchange: Running, body: dict[str, Any], status: int, words: str) -> None:
    headers = {"APCA-API-KEY-ID": f"KEY{next(NUMBERS)}", "APCA-API-SECRET-KEY": "secret"}
    whole = {"side": "buy", "type": "market", "time_in_force": "day", **body}
    answer = requests.post(f"{exchange.url}/v2/orders", json=whole, headers=headers, timeout=20)
    assert (answer.status_code, words in answer.text) == (status, True), answer.text
    assert int(answer.json()["code"]) in (40010001, 40310000)
    listed = requests.get(f"{exchange.url}/v2/orders", params={"status": "all"}, headers=headers, timeout=20)
    assert listed.json() == []


def test_an_id_is_taken_once_and_a_wash_trade_never(client: TradingClient, exchange: Running) -> None:
    client.submit_order(buy(client_order_id="once"))
    assert refusal(lambda: client.submit_order(buy(client_order_id="once")))[0] == 422
    assert client.get_order_by_client_id("once").client_order_id == "once"
    exchange.conduct("advance", bars=1)
    price = price_of(exchange)
    client.submit_order(
        LimitOrderRequest(
            symbol="SPY", qty=10, side=OrderSide.SELL, time_in_force=GTC, limit_price=round(price * 1.5, 2)
        )
    )
    code, text = refusal(lambda: client.submit_order(buy()))
    assert (code, "potential wash trade" in text) == (403, True)


def test_an_order_is_replaced_and_cancelled(client: TradingClient, exchange: Running) -> None:
    price = price_of(exchange)
    ask = LimitOrderRequest(
        symbol="SPY", qty=5, side=OrderSide.BUY, time_in_force=GTC, limit_price=round(price * 0.5, 2)
    )
    first = client.submit_order(ask)
    second = client.replace_order_by_id(first.id, ReplaceOrderRequest(qty=7))
    assert (client.get_order_by_id(first.id).replaced_by, second.replaces) == (second.id, first.id)
    assert (second.qty, second.limit_price) == ("7", first.limit_price)
    client.cancel_order_by_id(second.id)
    assert refusal(lambda: client.cancel_order_by_id(second.id))[0] == 422
    assert client.get_orders() == []


def test_the_rate_limit_is_told_and_kept(serve: Serve) -> None:
    with serve("--rate-limit", "5") as running:
        headers = {"APCA-API-KEY-ID": "K", "APCA-API-SECRET-KEY": "S"}
        answers = [requests.get(f"{running.url}/v2/clock", headers=headers, timeout=20) for _ in range(12)]
        assert answers[0].headers["X-RateLimit-Limit"] == "5"
        assert {one.status_code for one in answers} == {200, 429}  # a minute of the wall clock may begin in between


def listen(stream: TradingStream | StockDataStream) -> threading.Thread:
    thread = threading.Thread(target=stream.run, daemon=True)
    thread.start()
    return thread


def wait_for(told: list[Any], count: int) -> None:
    until = time.monotonic() + 20
    while len(told) < count and time.monotonic() < until:
        time.sleep(0.02)


@pytest.fixture
def updates(client: TradingClient, exchange: Running) -> Iterator[list[Any]]:
    """Events of the trading stream of `client`, listened to."""
    told: list[Any] = []
    stream = TradingStream(client._api_key, "secret", url_override=exchange.stream)

    async def keep(update: Any) -> None:
        told.append(update)

    stream.subscribe_trade_updates(keep)
    thread = listen(stream)
    until = time.monotonic() + 20
    while not told and time.monotonic() < until:  # until it listens, events are lost
        order = client.submit_order(buy("QQQ", 1))
        client.cancel_order_by_id(order.id)
        time.sleep(0.1)
    told.clear()
    yield told
    stream.stop()
    thread.join(10)


def test_the_trading_stream_tells_fills(client: TradingClient, exchange: Running, updates: list[Any]) -> None:
    order = client.submit_order(buy(qty=3))
    exchange.conduct("advance", bars=1)
    wait_for(updates, 2)
    mine = [one for one in updates if one.order.id == order.id]
    assert [one.event for one in mine] == ["accepted", "fill"]
    assert (mine[1].qty, mine[1].position_qty) == (3, 3)
    assert mine[1].price == float(client.get_order_by_id(order.id).filled_avg_price)


def test_a_fill_is_told_twice_under_one_execution_id(
    client: TradingClient, exchange: Running, updates: list[Any]
) -> None:
    exchange.conduct("faults", **{"fill-twice": 1.0})
    try:
        client.submit_order(buy(qty=3))
        exchange.conduct("advance", bars=1)
        wait_for(updates, 3)
    finally:
        exchange.conduct("faults", **{"fill-twice": 0.0})
    fills = [one.execution_id for one in updates if one.event == "fill"]
    assert (len(fills), len(set(fills))) == (2, 1)


@pytest.mark.parametrize("fault", ["reply-lost", "504-after"])
def test_an_order_whose_answer_is_lost_was_taken_once(client: TradingClient, exchange: Running, fault: str) -> None:
    client._retry = 0  # else the client itself sends it again
    exchange.conduct("faults", **{fault: 1.0})
    try:
        with pytest.raises((APIError, requests.exceptions.RequestException)):
            client.submit_order(buy(client_order_id=f"lost {fault}"))
    finally:
        exchange.conduct("faults", **{fault: 0.0})
    assert client.get_order_by_client_id(f"lost {fault}").status == OrderStatus.ACCEPTED
    assert len(client.get_orders()) == 1


def test_an_order_fills_in_parts(client: TradingClient, exchange: Running) -> None:
    price = price_of(exchange)
    order = client.submit_order(bracket(round(price * 0.5, 2), round(price * 1.5, 2), qty=9))
    exchange.conduct("faults", partial=1.0)
    exchange.conduct("advance", bars=1)
    exchange.conduct("faults", partial=0.0)
    half = client.get_order_by_id(order.id)
    assert (half.status, half.filled_qty, half.legs[0].status) == (OrderStatus.PARTIALLY_FILLED, "4", OrderStatus.HELD)
    exchange.conduct("advance", bars=1)
    whole = client.get_order_by_id(order.id)
    assert (whole.status, whole.filled_qty, whole.legs[0].status) == (OrderStatus.FILLED, "9", OrderStatus.NEW)


def test_bars_are_paged_and_end_now(exchange: Running) -> None:
    data = StockHistoricalDataClient("DATA", "secret", url_override=exchange.url)
    asked = StockBarsRequest(symbol_or_symbols=["SPY", "QQQ"], timeframe=TimeFrame.Day, start=datetime(2023, 1, 3))
    found = [(symbol, one.timestamp) for symbol, bars in data.get_stock_bars(asked).data.items() for one in bars]
    raw: list[str] = []
    token: str | None = ""
    headers = {"APCA-API-KEY-ID": "DATA", "APCA-API-SECRET-KEY": "secret"}
    while token is not None:
        query = {"symbols": "SPY,QQQ", "timeframe": "1Day", "start": "2023-01-03", "limit": "100", "page_token": token}
        page = requests.get(f"{exchange.url}/v2/stocks/bars", params=query, headers=headers, timeout=20).json()
        raw += [f"{symbol} {bar['t']}" for symbol, bars in page["bars"].items() for bar in bars]
        token = page["next_page_token"]
    assert sorted(raw) == sorted(f"{symbol} {at:%Y-%m-%dT%H:%M:%SZ}" for symbol, at in found)
    now = requests.get(f"{exchange.url}/rehearsal", timeout=20).json()["now"]
    assert str(max(at for _, at in found)) <= now.replace("T", " ")
    quote = data.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols="SPY"))["SPY"]
    assert quote.bid_price < quote.ask_price
    trades = data.get_stock_trades(StockTradesRequest(symbol_or_symbols="SPY", start=datetime(2024, 1, 2, tzinfo=UTC)))
    assert max(str(one.timestamp) for one in trades["SPY"]) <= now.replace("T", " ")


def test_the_data_stream_tells_bars_as_they_close(exchange: Running) -> None:
    stream = StockDataStream(
        "STREAM", "secret", url_override=exchange.url.replace("http://", "ws://") + "/v2/iex"
    )  # fmt: skip
    told: list[Any] = []

    async def keep(bar: Any) -> None:
        told.append(bar)

    stream.subscribe_daily_bars(keep, "SPY")
    thread = listen(stream)
    until = time.monotonic() + 20
    while not told and time.monotonic() < until:
        exchange.conduct("advance", bars=1)
        time.sleep(0.1)
    stream.stop()
    thread.join(10)
    assert told[0].symbol == "SPY"
    assert told[0].low <= told[0].close <= told[0].high


def test_another_secret_is_refused(client: TradingClient, exchange: Running) -> None:
    client.get_account()
    other = TradingClient(client._api_key, "wrong", paper=True, url_override=exchange.url)
    assert refusal(other.get_account)[0] == 401


def test_headlines_are_told_from_their_publication_on_page_by_page(serve: Serve, tmp_path: Path) -> None:
    from alpaca.data.historical.news import NewsClient
    from alpaca.data.requests import NewsRequest

    rows = [f"2024-01-02T0{hour}:{minute:02}:00-05:00,Headline {hour}:{minute:02},{'SPY' if minute % 2 else 'QQQ'},wire"
            for hour in (7, 9) for minute in range(60)]  # fmt: skip
    (tmp_path / "made.csv").write_text("\n".join(["published_at,headline,symbols,source", *rows, ""]))
    with serve("--from", "2024-01-02", "--news", str(tmp_path)) as running:
        client = NewsClient("key", "secret", url_override=running.url)

        def titles(**asked: Any) -> list[str]:
            return [one.headline for one in client.get_news(NewsRequest(**asked)).data["news"]]

        whole = titles(start=datetime(2024, 1, 1, tzinfo=UTC))
        assert (len(whole), whole[0], whole[-1]) == (60, "Headline 7:59", "Headline 7:00"), "two pages, until 08:00"
        assert len(titles(symbols="SPY", limit=50)) == 30
        assert titles(limit=2, sort="asc") == ["Headline 7:00", "Headline 7:01"]
        running.conduct("advance", to="2024-01-02T14:10:00Z")
        assert titles(limit=1) == ["Headline 9:10"]
        assert titles(limit=1, end=datetime(2024, 1, 2, 12, 30, tzinfo=UTC)) == ["Headline 7:30"]
