"""The exchange inside another program: its clock stands until it is moved, and waits for requests and frames."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.sync.client import connect

from simulator.exchange.__main__ import open_exchange as served_as
from simulator.exchange.__main__ import parse_options
from simulator.exchange.exchange import Exchange
from simulator.exchange.faults import Faults
from simulator.exchange.rest import PER_MINUTE, Wire
from simulator.exchange.server import Served, _run_clock, serve
from simulator.market.bars import Bars

HOUR = 3_600_000_000_000
DAYS = np.arange(19_725, 19_728)
KEYS = {"APCA-API-KEY-ID": "K", "APCA-API-SECRET-KEY": "S"}
BUY = {"symbol": "A", "side": "buy", "type": "market", "time_in_force": "day", "qty": 1}


def open_exchange() -> Exchange:
    o = np.array([[100.0], [101.0], [102.0]])
    opens = DAYS * 24 * HOUR + 14 * HOUR + HOUR // 2
    bars = Bars(("A",), opens, opens + 13 * HOUR // 2, o, o + 1, o - 1, o, o * 1e4, o * 0, DAYS, ("x",))
    return Exchange(bars, int(opens[1]) - HOUR, slippage_bps=0.0)


def ask(served: Served, path: str, body: Any = None, method: str | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{served.url}{path}", data, KEYS, method=method)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def test_the_clock_stands_until_it_is_moved_and_ends_with_the_program() -> None:
    exchange, running = open_exchange(), set(threading.enumerate())
    began = exchange.now
    with serve(exchange) as served:
        ask(served, "/v2/orders", BUY)
        assert served.call(lambda exchange: exchange.now) == began
        assert served.advance(began + 2 * HOUR) == began + 2 * HOUR
        assert ask(served, "/v2/positions")[0]["avg_entry_price"] == "101"
    assert set(threading.enumerate()) == running


def test_frames_have_gone_out_when_the_clock_has_moved() -> None:
    with serve(open_exchange()) as served, connect(served.stream) as stream:
        for asked in (
            {"action": "auth", "key": "K", "secret": "S"},
            {"action": "listen", "data": {"streams": ["trade_updates"]}},
        ):
            stream.send(json.dumps(asked))
            stream.recv(timeout=10)
        ask(served, "/v2/orders", BUY)
        served.advance(served.wire.exchange.now + 2 * HOUR)
        events = [json.loads(stream.recv(timeout=10))["data"]["event"] for _ in range(2)]
    assert events == ["accepted", "fill"]


def test_a_request_that_is_open_holds_the_clock() -> None:
    body = json.dumps(BUY).encode()
    head = "POST /v2/orders HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + "".join(
        f"{k}: {v}\r\n" for k, v in KEYS.items()
    )
    with (
        serve(open_exchange()) as served,
        socket.create_connection(("127.0.0.1", int(served.url.rsplit(":", 1)[1]))) as slow,
    ):
        began = served.wire.exchange.now
        slow.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:5])
        while not served.wire.clock.requests:
            time.sleep(0.01)
        moving = threading.Thread(target=served.advance, args=(began + 2 * HOUR,))
        moving.start()
        moving.join(0.2)
        assert served.wire.exchange.now == began
        slow.sendall(body[5:])
        moving.join(10)
        assert served.wire.exchange.now == began + 2 * HOUR
        assert json.loads(slow.makefile("rb").read().partition(b"\r\n\r\n")[2])["status"] == "accepted"
        assert [one.at for one in served.call(lambda exchange: exchange.accounts["K"].executions)] == [began + HOUR]


def test_the_clock_stops_at_the_first_event_where_that_is_asked_for() -> None:
    with serve(open_exchange()) as served:
        began = served.wire.exchange.now
        ask(served, "/v2/orders", BUY)
        to = "2024-01-05T22:00:00Z"
        assert ask(served, "/rehearsal/advance", {"to": to, "first_event": True})["now"] == "2024-01-04T14:30:00Z"
        assert ask(served, "/rehearsal/advance", {"to": to, "first_event": True})["now"] == to
        assert served.wire.exchange.now > began


def test_the_clock_comes_to_an_instant_before_what_opens_then_where_that_is_asked_for() -> None:
    with serve(open_exchange()) as served:
        opens = "2024-01-04T14:30:00Z"
        ask(served, "/v2/orders", BUY)
        assert ask(served, "/rehearsal/advance", {"to": opens, "before_open": True})["now"] == opens
        assert ask(served, "/v2/positions") == []
        assert served.wire.exchange.prices.price("A", served.wire.exchange.now) == 100.0, "the close before"
        ask(served, "/v2/orders", BUY)
        ask(served, "/rehearsal/advance", {"to": opens})
        (held,) = ask(served, "/v2/positions")
        assert (held["qty"], held["avg_entry_price"]) == ("2", "101")


def test_a_request_that_hangs_by_fault_does_not_hold_the_clock() -> None:
    with serve(open_exchange(), Faults({"hang": 1.0})) as served:
        began = served.wire.exchange.now
        with pytest.raises(TimeoutError):
            urllib.request.urlopen(urllib.request.Request(f"{served.url}/v2/clock", headers=KEYS), timeout=0.2)
        assert served.advance(began + HOUR) == began + HOUR


def test_at_a_speed_requests_are_limited_by_minutes_of_its_own_clock() -> None:
    wire = served_as(
        parse_options(["--bars", str(Path(__file__).parents[2] / "data"), "--symbols", "SPY", "--speed", "2000"])
    )
    told = [wire._count("KEY") for _ in range(PER_MINUTE + 1)]
    assert [there for _, there in told[-2:]] == [True, False]
    wait = int(told[-1][0]["X-RateLimit-Reset"]) - wire.exchange.now / 1e9
    assert 0.0 < wait <= 60.0
    wire.exchange.advance(wire.exchange.now + int(wait * 1e9))
    assert wire._count("KEY")[1]


def test_a_clock_at_a_speed_goes_on_from_where_it_was_moved_to() -> None:
    async def run() -> int:
        wire = Wire(open_exchange(), PER_MINUTE)
        pace = asyncio.create_task(_run_clock(wire, 1000.0))
        await wire.clock.advance(moved := wire.exchange.now + 24 * HOUR)
        while wire.exchange.now == moved:
            await asyncio.sleep(0.01)
        pace.cancel()
        return wire.exchange.now - moved

    assert 0 < asyncio.run(asyncio.wait_for(run(), 60)) < 24 * HOUR
