"""Edges of the broker as a client meets them: answers, streams, clock, keys, and scripts over HTTP and as options."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import requests
from alpaca.data.historical.corporate_actions import CorporateActionsClient
from alpaca.data.requests import CorporateActionsRequest
from alpaca.trading.client import TradingClient
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from simulator.exchange.exchange import Exchange
from simulator.exchange.faults import AFTER, BEFORE, FAULTS, Faults
from simulator.exchange.script import DEEDS
from simulator.exchange.server import Served, serve
from simulator.market.bars import Bars
from simulator.market.calendar import sessions

if TYPE_CHECKING:
    from conftest import Serve
else:
    Serve = Any

HOUR = 3_600_000_000_000
KEYS = {"APCA-API-KEY-ID": "K", "APCA-API-SECRET-KEY": "S"}
BUY = {"symbol": "A", "side": "buy", "type": "market", "time_in_force": "day", "qty": "2"}
DOCS = Path(__file__).parents[2] / "docs" / "exchange.md"


def make_exchange(**more: Any) -> Exchange:
    """Six sessions of A at 100 and B at 50, which pays a dividend on the third; it is 08:00 of the second."""
    days = sessions(date(2024, 6, 3), date(2024, 6, 10))
    o = np.tile([[100.0, 50.0]], (6, 1))
    dividend = np.zeros_like(o)
    dividend[2, 1] = 0.5
    bars = Bars(
        ("A", "B"), days.opens_at, days.closes_at, o, o + 1, o - 1, o, o * 1e4, dividend, days.session_of, ("x",) * 2
    )
    return Exchange(bars, int(days.opens_at[1]) - 3 * HOUR // 2, slippage_bps=0.0, **more)


@pytest.fixture
def served() -> Iterator[Served]:
    with serve(make_exchange()) as running:
        yield running


def ask(served: Served, method: str, path: str, key: str = "K", **more: Any) -> requests.Response:
    headers = {**KEYS, "APCA-API-KEY-ID": key}
    return requests.request(method, f"{served.url}{path}", headers=headers, timeout=10, **more)


def conduct(served: Served, what: str, **body: Any) -> None:
    answer = requests.post(f"{served.url}/rehearsal/{what}", json=body, timeout=10)
    assert answer.ok, answer.text


def orders(served: Served) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ask(served, "GET", "/v2/orders", params={"status": "all"}).json()
    return found


@contextmanager
def listening(served: Served, key: str = "K") -> Iterator[ClientConnection]:
    with connect(served.stream) as stream:
        stream.send(json.dumps({"action": "auth", "key": key, "secret": "S"}))
        assert json.loads(stream.recv(timeout=5))["data"]["status"] == "authorized"
        stream.send(json.dumps({"action": "listen", "data": {"streams": ["trade_updates"]}}))
        yield stream


def told(stream: ClientConnection) -> list[str]:
    """Events that have come, until half a second brings no more."""
    found = []
    while True:
        try:
            data = json.loads(stream.recv(timeout=0.3))["data"]
        except TimeoutError:
            return found
        found += [data["event"]] if "event" in data else []


@pytest.mark.parametrize("fault", [*BEFORE, *AFTER])
def test_an_answer_goes_wrong_before_the_order_is_taken_or_after(served: Served, fault: str) -> None:
    served.wire.hang_s = 0.1
    conduct(served, "faults", **{fault: {"on": "POST /v2/orders", "times": 1}})
    try:
        answer = ask(served, "POST", "/v2/orders", json=BUY)
        status, body = answer.status_code, answer.text
        assert fault != "429" or answer.headers["X-RateLimit-Remaining"] == "0"
    except requests.RequestException:
        status, body = 0, ""
    expected = {"lost": 0, "504": 504, "503": 503, "429": 429, "502": 502, "hang": 504}
    assert status == next(code for word, code in expected.items() if word in fault)
    assert ("<html>" in body) is ("html" in fault)
    assert len(orders(served)) == (fault in AFTER)
    assert ask(served, "POST", "/v2/orders", json=BUY).ok


@pytest.mark.parametrize(("fault", "qty"), [("id-taken", "2"), ("id-stolen", "4")])
def test_an_id_is_refused_and_found_with_the_same_order_or_with_another(served: Served, fault: str, qty: str) -> None:
    conduct(served, "faults", **{fault: 1.0})
    answer = ask(served, "POST", "/v2/orders", json={**BUY, "client_order_id": "mine"})
    assert (answer.status_code, answer.json()["message"]) == (422, "client_order_id must be unique")
    found = ask(served, "GET", "/v2/orders:by_client_order_id", params={"client_order_id": "mine"})
    assert found.json()["qty"] == qty


def test_a_fault_strikes_one_account_one_symbol_and_one_kind_of_request(served: Served) -> None:
    conduct(served, "faults", **{"503": {"on": "POST /v2/orders", "account": "K", "symbol": "A"}})
    assert ask(served, "POST", "/v2/orders", json=BUY).status_code == 503
    assert ask(served, "POST", "/v2/orders", json={**BUY, "symbol": "B"}).ok
    assert ask(served, "POST", "/v2/orders", "OTHER", json=BUY).ok
    assert ask(served, "GET", "/v2/orders").ok
    conduct(served, "faults", **{"503": {"on": "GET /v2/positions*", "times": 1}})
    assert [ask(served, "GET", "/v2/positions").status_code for _ in range(2)] == [503, 200]


def test_a_fill_is_told_before_its_order_is_answered(served: Served) -> None:
    conduct(served, "faults", **{"fill-first": 1.0})
    served.advance(int(served.wire.exchange.bars.opens_at[1]) + HOUR)
    with listening(served) as stream:
        stream.recv(timeout=5)
        assert ask(served, "POST", "/v2/orders", json=BUY).json()["status"] == "filled"
        assert [json.loads(stream.recv(timeout=1))["data"]["event"] for _ in range(2)] == ["new", "fill"]


@pytest.mark.parametrize(
    ("fault", "events"), [("fill-lost", ["accepted"]), ("fill-twice", ["accepted", "fill", "fill"]), ("mute", [])]
)
def test_a_stream_loses_doubles_or_swallows_events(served: Served, fault: str, events: list[str]) -> None:
    conduct(served, "faults", **{fault: 1.0})
    with listening(served) as stream:
        stream.recv(timeout=5)
        ask(served, "POST", "/v2/orders", json=BUY)
        served.advance(served.wire.exchange.now + 2 * HOUR)
        assert told(stream) == events


def test_a_stream_breaks_and_does_not_tell_later_what_came_in_between(served: Served) -> None:
    conduct(served, "faults", **{"stream-cut": {"times": 1}})
    with listening(served) as stream:
        stream.recv(timeout=5)
        ask(served, "POST", "/v2/orders", json=BUY)
        with pytest.raises(ConnectionClosed):
            stream.recv(timeout=5)
    served.advance(served.wire.exchange.now + 2 * HOUR)
    with listening(served) as stream:
        assert told(stream) == []
    assert [one["status"] for one in orders(served)] == ["filled"]


def test_streams_that_refuse_that_do_not_answer_and_that_are_cut(served: Served) -> None:
    conduct(served, "faults", **{"stream-refused": {"times": 1}, "unlistened": {"times": 1}})
    with pytest.raises(InvalidStatus), connect(served.stream):
        pass
    with listening(served) as stream:
        with pytest.raises(TimeoutError):
            stream.recv(timeout=0.3)
        conduct(served, "faults", cut={"account": "K"})
        with pytest.raises(ConnectionClosed):
            stream.recv(timeout=5)


def test_a_key_is_revoked_in_mid_session_for_requests_and_streams(served: Served) -> None:
    with listening(served) as stream:
        stream.recv(timeout=5)
        ask(served, "POST", "/v2/orders", json=BUY)
        assert told(stream) == ["accepted"]
        conduct(served, "faults", script=["at 2024-06-04T13:00Z key-revoked K"])
        served.advance(served.wire.exchange.now + 2 * HOUR)
        with pytest.raises(ConnectionClosed):
            stream.recv(timeout=5)
    assert ask(served, "GET", "/v2/account").status_code == 401
    with connect(served.stream) as stream:
        stream.send(json.dumps({"action": "auth", "key": "K", "secret": "S"}))
        assert json.loads(stream.recv(timeout=5))["data"]["status"] == "unauthorized"


def test_an_account_is_reset_under_another_number(served: Served) -> None:
    before = ask(served, "GET", "/v2/account").json()
    ask(served, "POST", "/v2/orders", json=BUY)
    served.advance(served.wire.exchange.now + 2 * HOUR)
    conduct(served, "faults", reset={})
    after = ask(served, "GET", "/v2/account").json()
    assert before["account_number"] != after["account_number"]
    assert before["id"] != after["id"]
    assert (orders(served), ask(served, "GET", "/v2/positions").json()) == ([], [])


@pytest.mark.parametrize(
    ("block", "field"),
    [
        ("account-blocked", "account_blocked"), ("trading-blocked", "trading_blocked"),
        ("suspend-trade", "trade_suspended_by_user"),
    ],
)  # fmt: skip
def test_a_blocked_account_says_which(served: Served, block: str, field: str) -> None:
    fields = ("account_blocked", "trading_blocked", "trade_suspended_by_user")
    conduct(served, "faults", **{block: {"account": "K"}})
    account = ask(served, "GET", "/v2/account").json()
    assert {one for one in fields if account[one]} == {field}
    assert ask(served, "GET", "/v2/account/configurations").json()["suspend_trade"] is (block == "suspend-trade")
    assert ask(served, "POST", "/v2/orders", json=BUY).status_code == 403
    conduct(served, "faults", **{block: {"account": "K", "chance": 0}})
    assert ask(served, "POST", "/v2/orders", json=BUY).ok


def test_the_user_suspends_trading_and_borrowing(served: Served) -> None:
    ask(served, "PATCH", "/v2/account/configurations", json={"suspend_trade": True, "max_margin_multiplier": "1"})
    account = ask(served, "GET", "/v2/account").json()
    assert (account["trade_suspended_by_user"], account["trading_blocked"]) == (True, False)
    assert (account["multiplier"], account["buying_power"]) == ("1", "100000")


def test_old_fields_on_pattern_day_trading_are_there_or_not(served: Served) -> None:
    client = TradingClient("K", "S", paper=True, url_override=served.url)
    assert (client.get_account().pattern_day_trader, client.get_account_configurations().pdt_check) == (False, "entry")
    conduct(served, "faults", **{"no-pdt-fields": 1})
    told = {one for path in ("", "/configurations") for one in ask(served, "GET", f"/v2/account{path}").json()}
    assert not told & {"pattern_day_trader", "daytrade_count", "daytrading_buying_power", "dtbp_check", "pdt_check"}
    assert client.get_account().pattern_day_trader is None


@pytest.mark.parametrize(("fault", "seconds"), [("clock-ahead", 90), ("clock-behind", -90)])
def test_the_clock_is_ahead_or_behind(served: Served, fault: str, seconds: int) -> None:
    conduct(served, "faults", **{fault: 90})
    answer = ask(served, "GET", "/v2/clock")
    now = np.datetime64(served.wire.exchange.now, "ns").astype("datetime64[us]").item()
    local = np.datetime64(answer.json()["timestamp"][:19]).item()
    assert (local - now).total_seconds() == seconds - 4 * 3600
    assert (parsedate_to_datetime(answer.headers["Date"]).replace(tzinfo=None) - now).total_seconds() == seconds


def test_an_order_by_hand_what_is_hard_to_borrow_and_a_quote_that_stands(served: Served) -> None:
    ask(served, "GET", "/v2/account")
    conduct(served, "order", symbol="B", side="buy", qty=3)
    assert [(one["symbol"], one["qty"]) for one in orders(served)] == [("B", "3")]
    conduct(served, "faults", **{"hard-to-borrow": {"symbol": "B"}, "stale": {"symbol": "B"}})
    client = TradingClient("K", "S", paper=True, url_override=served.url)
    assert [client.get_asset(one).easy_to_borrow for one in "AB"] == [True, False]
    served.advance(served.wire.exchange.now + 2 * HOUR)
    quotes = ask(served, "GET", "/v2/stocks/quotes/latest", params={"symbols": "A,B"}).json()["quotes"]
    assert (quotes["A"]["t"], quotes["B"]["t"]) == ("2024-06-04T14:00:00Z", "2024-06-04T12:00:00Z")


def test_splits_and_dividends_are_told_the_evening_before_and_bars_are_as_traded_or_adjusted() -> None:
    faults = Faults(script=["at 2024-06-05T00:00 split A 10", "at 2024-06-06T00:00 split B 0.5"])
    with serve(make_exchange(), faults) as served:
        client = CorporateActionsClient("K", "S", url_override=served.url)
        wanted = CorporateActionsRequest(start=date(2024, 6, 1), end=date(2024, 6, 30))
        assert client.get_corporate_actions(wanted).data == {}
        served.advance(int(served.wire.exchange.bars.closes_at[1]))
        found = client.get_corporate_actions(wanted).data
        assert [(one.symbol, one.rate, str(one.ex_date)) for one in found["cash_dividends"]] == [
            ("B", 0.25, "2024-06-05")
        ]
        (split,) = found["forward_splits"]
        assert (split.symbol, split.new_rate, split.old_rate, str(split.ex_date)) == ("A", 10.0, 1.0, "2024-06-05")
        served.advance(int(served.wire.exchange.bars.closes_at[3]))
        (back,) = client.get_corporate_actions(wanted).data["reverse_splits"]
        assert (back.symbol, back.new_rate, back.old_rate) == ("B", 1.0, 2.0)

        def closes(symbol: str, adjustment: str) -> list[float]:
            query = {"symbols": symbol, "timeframe": "1Day", "start": "2024-06-03", "adjustment": adjustment}
            bars = ask(served, "GET", "/v2/stocks/bars", params=query).json()["bars"][symbol]
            return [one["c"] for one in bars]

        assert (closes("A", "raw"), closes("A", "split")) == ([1000.0] * 2 + [100.0] * 2, [100.0] * 4)
        assert (closes("B", "raw"), closes("B", "split")) == ([25.0] * 3 + [50.0], [50.0] * 4)
        assert closes("B", "dividend") == [24.75, 24.75, 25.0, 50.0]
        assert closes("B", "all") == [49.5, 49.5, 50.0, 50.0]
        assert ask(served, "GET", "/v2/stocks/bars?symbols=A&timeframe=1Day&adjustment=x").status_code == 400


def test_a_paper_account_is_paid_no_dividend(served: Served) -> None:
    ask(served, "POST", "/v2/orders", json={**BUY, "symbol": "B"})
    served.advance(int(served.wire.exchange.bars.closes_at[3]))
    assert ask(served, "GET", "/v2/account").json()["cash"] == "99900"


def test_faults_that_make_no_sense_are_refused_and_named(served: Served) -> None:
    for body, words in (
        ({"replylost": 1}, "no fault"), ({"reply-lost": 7}, "was 7.0"), ({"script": ["at x cut"]}, "not a date"),
        ({"script": [3]}, ""), ({"split": {"symbol": "A"}}, "ratio"), ({"halt": {"sym": "A"}}, "no sym"),
        ({"script": 5}, ""), ({"order": {"symbol": "A"}}, ""), ({"clock-ahead": "soon"}, "numbers"),
    ):  # fmt: skip
        answer = requests.post(f"{served.url}/rehearsal/faults", json=body, timeout=10)
        assert (answer.status_code, words in answer.json()["message"]) == (422, True), answer.text


@pytest.mark.medium
def test_options_and_a_file_say_the_same_as_requests(serve: Serve, tmp_path: Path) -> None:
    script = tmp_path / "night.txt"
    script.write_text("# the night of a split\nat 2024-01-03T04:00 split SPY 2\n", encoding="utf-8")
    with serve("--fault", "503 on='GET /v2/account' times=1", "--fault", "mute", "--script", str(script)) as running:
        answers = [requests.get(f"{running.url}/v2/account", headers=KEYS, timeout=10) for _ in range(2)]
        assert [one.status_code for one in answers] == [503, 200]
        before = _price(running.url)
        running.conduct("advance", to="2024-01-03T12:00:00Z")
        assert _price(running.url) == pytest.approx(before / 2, rel=0.02)


def _price(url: str) -> float:
    quotes = requests.get(f"{url}/v2/stocks/quotes/latest?symbols=SPY", headers=KEYS, timeout=10).json()["quotes"]
    return float(quotes["SPY"]["bp"])


def test_the_page_names_every_fault_and_every_deed() -> None:
    page = DOCS.read_text(encoding="utf-8")
    assert [name for name in (*FAULTS, *DEEDS) if f"`{name.removesuffix('-after')}" not in page] == []


@pytest.mark.medium
def test_a_slow_machine_gives_the_same_orders_and_fills() -> None:
    assert rehearse(0.003) == rehearse(0.0)


def rehearse(delay: float) -> list[str]:
    """Four accounts side by side through four sessions with faults, each answer and each frame held up at random."""
    luck, lock = np.random.default_rng(), threading.Lock()

    def dawdle() -> None:
        with lock:
            wait = luck.random() * delay
        time.sleep(wait)

    faults = Faults({"partial": 0.4, "reply-lost": 0.2, "order-rejected": 0.2, "fill-wins": 0.5}, seed=1)
    with serve(make_exchange(), faults) as served:
        served.wire.exchange.listeners.append(lambda _: dawdle())

        def trade(key: str, session: int) -> None:
            for number in range(3):
                dawdle()
                body = {
                    **BUY,
                    "symbol": "AB"[number % 2],
                    "qty": 3,
                    "time_in_force": "gtc",
                    "client_order_id": f"{session}-{number}",
                }
                try:
                    order = ask(served, "POST", "/v2/orders", key, json=body)
                    if order.ok and number == 2:
                        ask(served, "DELETE", f"/v2/orders/{order.json()['id']}", key)
                except requests.RequestException:
                    pass

        with ThreadPoolExecutor(4) as accounts:
            for session in range(1, 5):
                list(accounts.map(trade, ["K1", "K2", "K3", "K4"], [session] * 4))
                served.advance(int(served.wire.exchange.bars.closes_at[session]) + HOUR)
        return served.call(_books)


def _books(exchange: Exchange) -> list[str]:
    """Every execution and every order, as they came."""
    accounts = sorted(exchange.accounts.items())
    fills = [f"{key} {one}" for key, account in accounts for one in account.executions]
    return fills + [f"{key} {one.id} {one.status}" for key, account in accounts for one in account.orders.values()]
