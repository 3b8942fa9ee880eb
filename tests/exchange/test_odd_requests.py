"""Requests that make no sense are answered, and leave nothing behind."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest
import requests

if TYPE_CHECKING:
    from conftest import Running
else:
    Running = Any

pytestmark = pytest.mark.medium
HEADERS = {"APCA-API-KEY-ID": "ODD", "APCA-API-SECRET-KEY": "secret"}
ODD: list[Any] = [
    None, True, 0, -1, 0.5, 1e300, 10**30, "", "SPY", "NaN", "inf", "1e400", "abc", "１", "\u0000", "x" * 200, [], {},
    {"limit_price": 1}, {"stop_price": []}, "gtc", "sell", "limit", "stop_limit", "bracket", "oco", "oto", 450.5,
]  # fmt: skip
FIELDS = (
    "symbol", "side", "type", "time_in_force", "qty", "notional", "limit_price", "stop_price", "order_class",
    "take_profit", "stop_loss", "client_order_id", "extended_hours",
)  # fmt: skip
QUERIES = ("status", "limit", "after", "until", "symbols", "start", "end", "timeframe", "page_token", "sort", "qty")
READ = ("orders", "calendar", "stocks/bars", "stocks/SPY/trades", "account/activities", "positions", "stocks/snapshots")


def test_no_request_breaks_the_exchange(exchange: Running) -> None:
    luck, session, made = random.Random(5), requests.Session(), []
    sound = {"symbol": "SPY", "side": "buy", "type": "market", "time_in_force": "day", "qty": 1}

    def send(method: str, path: str, **more: Any) -> requests.Response:
        answer = session.request(method, f"{exchange.url}/v2/{path}", headers=HEADERS, timeout=20, **more)
        assert answer.status_code < 500, (method, path, more, answer.text)
        return answer

    for _ in range(300):
        body = sound | {luck.choice(FIELDS): luck.choice(ODD) for _ in range(luck.randint(0, 3))}
        answer = send("POST", "orders", data=json.dumps(body))
        made += [answer.json()["id"]] if answer.ok else []
        change = {luck.choice(("qty", "limit_price", "time_in_force", "client_order_id")): luck.choice(ODD)}
        send("PATCH", f"orders/{luck.choice(made or ['none'])}", data=json.dumps(change))
        send("GET", luck.choice(READ), params={luck.choice(QUERIES): str(luck.choice(ODD)) for _ in range(3)})
        send("DELETE", f"positions/{luck.choice(('SPY', 'NOPE'))}", params={"percentage": str(luck.choice(ODD))})
    for raw in (b"[]", b"null", b"\xff", b'"x"', b"{", b"1" * 2_000_000):
        for method, path in (("POST", "orders"), ("PATCH", "account/configurations")):
            assert send(method, path, data=raw).status_code in (400, 413)
        for what in ("advance", "faults", "halt"):
            answer = session.post(f"{exchange.url}/rehearsal/{what}", data=raw, timeout=20)
            assert answer.status_code in (400, 413)
    told = send("GET", "orders", params={"status": "all", "limit": "500"}).json()
    assert {one["id"] for one in told} >= set(made[-20:])
