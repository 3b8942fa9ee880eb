"""Streams of the rehearsal exchange: trade updates of an account (JSON), bars of the market (msgpack).

What happened while nobody listened is not sent later, as at the broker.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import msgpack
import numpy as np
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from simulator.exchange import forms
from simulator.exchange.accounts import PaperAccount
from simulator.exchange.clock import StreamConnection
from simulator.exchange.exchange import Update
from simulator.exchange.faults import About
from simulator.exchange.orders import Refusal
from simulator.exchange.rest import Wire

Message = dict[str, Any]


async def _receive(socket: WebSocket) -> bytes:
    """Return the next frame, text or binary. Raises WebSocketDisconnect."""
    frame = await socket.receive()
    if frame["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(frame.get("code", 1000))
    content = frame.get("bytes") or (frame.get("text") or "").encode()
    return bytes(content)


async def trade_updates(wire: Wire, socket: WebSocket) -> None:
    """Speak the trading stream: authenticate, listen, then an event for each change of an order."""
    if wire.exchange.faults.strikes(["stream-refused"], About(on="/stream")):
        await socket.close(1013)
        return
    await socket.accept()
    with wire.clock.line(socket) as line:
        await _trade_updates(wire, line)


async def _trade_updates(wire: Wire, line: StreamConnection) -> None:
    def send(stream: str, data: Message) -> None:
        line.send(json.dumps({"stream": stream, "data": data}).encode())

    def listen(update: Update) -> None:
        faults, order = wire.exchange.faults, update.order
        about = About(update.account.key, order.symbol, order.role, f"{order.id} {update.event}")
        if update.account is not line.account or faults.rule("mute", about):
            return
        if faults.rule("key-revoked", about) or faults.strikes(["stream-cut"], about):
            line.cut()
            return
        filled = update.execution is not None
        if filled and faults.strikes(["fill-lost"], about):
            return
        data = forms.update_json(update)
        for _ in range(2 if filled and faults.strikes(["fill-twice"], about) else 1):
            send("trade_updates", data)

    try:
        while True:
            asked = _parse(await _receive(line.socket))
            action = asked.get("action")
            if action in ("authenticate", "auth"):
                keys = asked.get("data") or {"key_id": asked.get("key"), "secret_key": asked.get("secret")}
                line.account = _find_account(wire, keys.get("key_id"), keys.get("secret_key"))
                status = "unauthorized" if line.account is None else "authorized"
                send("authorization", {"status": status, "action": "authenticate"})
            elif action == "listen" and line.account is not None:
                streams = [one for one in (asked.get("data") or {}).get("streams", []) if one == "trade_updates"]
                if listen in wire.exchange.listeners:
                    wire.exchange.listeners.remove(listen)
                if streams:
                    wire.exchange.listeners.append(listen)
                if not wire.exchange.faults.strikes(["unlistened"], About(line.account.key)):
                    send("listening", {"streams": streams})
            else:
                send("authorization", {"status": "unauthorized", "action": str(action)})
    except WebSocketDisconnect:
        pass
    finally:
        with suppress(ValueError):
            wire.exchange.listeners.remove(listen)


async def market_data(wire: Wire, socket: WebSocket) -> None:
    """Speak the data stream: connected, auth, subscribe, then bars as they close."""
    if wire.exchange.faults.strikes(["stream-refused"], About(on=socket.url.path)):
        await socket.close(1013)
        return
    await socket.accept()
    with wire.clock.line(socket) as line:
        await _market_data(wire, line)


async def _market_data(wire: Wire, line: StreamConnection) -> None:
    wanted: dict[str, set[str]] = {"trades": set(), "quotes": set(), "bars": set(), "dailyBars": set()}
    known = False

    def send(*messages: Message) -> None:
        line.send(msgpack.packb(list(messages), datetime=True))

    def listen(t: int) -> None:
        found = _messages(wire, t, wanted)
        if found:
            send(*found)

    wire.exchange.bar_listeners.append(listen)
    send({"T": "success", "msg": "connected"})
    try:
        while True:
            asked = _unpack(await _receive(line.socket))
            action = asked.get("action")
            if action == "auth":
                known = _find_account(wire, asked.get("key"), asked.get("secret")) is not None
                send(
                    {"T": "success", "msg": "authenticated"}
                    if known
                    else {"T": "error", "code": 402, "msg": "auth failed"}
                )
            elif action in ("subscribe", "unsubscribe") and known:
                for channel, symbols in wanted.items():
                    named = set(asked.get(channel) or ())
                    symbols.update(named) if action == "subscribe" else symbols.difference_update(named)
                send({"T": "subscription", **{channel: sorted(symbols) for channel, symbols in wanted.items()}})
            else:
                send(
                    {
                        "T": "error",
                        "code": 401 if not known else 400,
                        "msg": "not authenticated" if not known else "invalid",
                    }
                )
    except WebSocketDisconnect:
        pass
    finally:
        wire.exchange.bar_listeners.remove(listen)


def _messages(wire: Wire, t: int, wanted: dict[str, set[str]]) -> list[Message]:
    """Return what the closing of bar `t` tells: the bar, and the trade and quote at its close."""
    prices, bars = wire.exchange.prices, wire.exchange.bars
    daily = bars.frequency == "1d"
    found: list[Message] = []
    for n, symbol in enumerate(bars.symbols):
        if not np.isfinite(bars.close[t, n]):
            continue
        at = int(bars.opens_at[t])
        o, h, l, c, v = (float(column[t, n]) for column in (bars.open, bars.high, bars.low, bars.close, bars.volume))  # noqa: E741
        bar = {
            "S": symbol,
            "o": o,
            "h": h,
            "l": l,
            "c": c,
            "v": int(np.nan_to_num(v)),
            "n": 0,
            "vw": c,
            "t": _stamp(at),
        }
        if _is_subscribed(wanted["dailyBars" if daily else "bars"], symbol) or (
            daily and _is_subscribed(wanted["bars"], symbol)
        ):
            found.append({"T": "d" if daily else "b", **bar})
        closes, price = int(bars.closes_at[t]), c
        if _is_subscribed(wanted["trades"], symbol):
            found.append(
                {
                    "T": "t",
                    "S": symbol,
                    "i": t,
                    "x": "V",
                    "p": price,
                    "s": 100,
                    "c": ["@"],
                    "z": "A",
                    "t": _stamp(closes),
                }
            )
        quote = prices.quote(symbol, closes)
        if quote is not None and _is_subscribed(wanted["quotes"], symbol):
            found.append(
                {
                    "T": "q", "S": symbol, "ax": "V", "ap": quote[2], "as": 1, "bx": "V", "bp": quote[1], "bs": 1,
                    "c": ["R"], "z": "A", "t": _stamp(closes),
                }
            )  # fmt: skip
    return found


def _is_subscribed(symbols: set[str], symbol: str) -> bool:
    return symbol in symbols or "*" in symbols


def _stamp(at: int) -> msgpack.Timestamp:
    return msgpack.Timestamp(*divmod(at, 1_000_000_000))


def _find_account(wire: Wire, key: object, secret: object) -> PaperAccount | None:
    try:
        return wire.exchange.account(str(key or ""), str(secret or ""), "/stream")
    except Refusal:
        return None


def _parse(frame: bytes) -> Message:
    with suppress(ValueError):
        found = json.loads(frame)
        if isinstance(found, dict):
            return found
    return {}


def _unpack(frame: bytes) -> Message:
    """Return a message of the data stream, msgpack as clients send it, or JSON."""
    with suppress(ValueError, msgpack.exceptions.UnpackException):
        found = msgpack.unpackb(frame)
        if isinstance(found, dict):
            return found
    return _parse(frame)


def stream_routes(wire: Wire) -> list[WebSocketRoute]:
    """Return the routes of both streams."""

    async def trading(socket: WebSocket) -> None:
        await trade_updates(wire, socket)

    async def data(socket: WebSocket) -> None:
        await market_data(wire, socket)

    return [
        *(WebSocketRoute(path, trading) for path in ("/stream", "/stream/")),
        *(WebSocketRoute(f"/v2/{feed}", data) for feed in ("iex", "sip", "delayed_sip", "test")),
    ]
