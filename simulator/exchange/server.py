"""Server of the rehearsal exchange: one process, one loop, all interfaces on one port, and a clock that is advanced.

GET  /rehearsal            clock, bars, accounts, faults that happened
POST /rehearsal/advance    {"to": "2024-06-03T14:00:00Z"} or {"bars": 1} or {"sessions": 1}
POST /rehearsal/faults     {"reply-lost": 0.2}
POST /rehearsal/halt       {"symbol": "SPY", "halted": true}
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from simulator.errors import UsageError
from simulator.exchange import forms
from simulator.exchange.data import data_routes
from simulator.exchange.orders import Refusal
from simulator.exchange.rest import Wire, parse_instant, read_body, trading_routes
from simulator.exchange.streams import stream_routes
from simulator.printing import say

TICK_S = 0.2


def make_app(wire: Wire, speed: float = 0.0) -> Starlette:
    """Return the application; at a `speed` above 0 its clock runs so many times as fast as the wall's."""

    @asynccontextmanager
    async def running(_: Starlette) -> AsyncIterator[None]:
        pace = asyncio.create_task(_run_clock(wire, speed)) if speed > 0 else None
        yield
        if pace is not None:
            pace.cancel()
            with suppress(asyncio.CancelledError):
                await pace

    routes = [*trading_routes(wire), *data_routes(wire), *stream_routes(wire), *_control(wire)]
    return Starlette(routes=routes, lifespan=running, exception_handlers={Exception: _fail})


async def _fail(request: Request, error: Exception) -> Response:
    """Answer a fault of the exchange itself, which is also said on stderr."""
    if not isinstance(error, ConnectionResetError):
        say(f"rehearsal exchange: {request.method} {request.url.path}: {type(error).__name__}: {error}", err=True)
    return JSONResponse({"code": 50010000, "message": "internal server error occurred"}, 500)


async def _run_clock(wire: Wire, speed: float) -> None:
    began, at = time.monotonic(), wire.exchange.now
    while True:
        await asyncio.sleep(TICK_S)
        wire.exchange.advance(at + int((time.monotonic() - began) * speed * 1e9))


def _control(wire: Wire) -> list[Route]:
    """Return the routes by which a rehearsal is conducted; they are for this machine and ask for no key."""
    exchange = wire.exchange

    async def state(_: Request) -> Response:
        return JSONResponse(
            {
                "now": forms.utc(exchange.now),
                "symbols": list(exchange.bars.symbols),
                "first": str(exchange.bars.dates[0]),
                "last": str(exchange.bars.dates[-1]),
                "accounts": [one.number for one in exchange.accounts.values()],
                "faults": wire.faults.happened,
            }
        )

    async def advance(request: Request) -> Response:
        exchange.advance(_target(wire, await read_body(request)))
        return await state(request)

    async def faults(request: Request) -> Response:
        try:
            wire.faults.set({str(name): float(chance) for name, chance in (await read_body(request)).items()})
        except (UsageError, ValueError, TypeError) as error:
            raise Refusal(422, str(error)) from None
        return await state(request)

    async def halt(request: Request) -> Response:
        body = await read_body(request)
        change = exchange.prices.halted.add if body.get("halted", True) else exchange.prices.halted.discard
        change(str(body.get("symbol", "")).upper())
        return await state(request)

    return [
        Route("/rehearsal", state),
        Route("/rehearsal/advance", _refusing(advance), methods=["POST"]),
        Route("/rehearsal/faults", _refusing(faults), methods=["POST"]),
        Route("/rehearsal/halt", _refusing(halt), methods=["POST"]),
    ]


def _refusing(handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except Refusal as error:
            return JSONResponse({"message": error.message}, error.status)

    return answer


def _target(wire: Wire, body: Any) -> int:
    """Return the instant that `body` asks to advance to. Raises Refusal."""
    exchange = wire.exchange
    if "to" in body:
        to = parse_instant(str(body["to"]))
        if to < exchange.now:
            raise Refusal(422, f"it is {forms.utc(exchange.now)} already")
        return to
    count = body.get("bars", body.get("sessions", 1))
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise Refusal(422, "bars and sessions are whole numbers of 1 or more")
    ends = exchange.bars.closes_at if "bars" in body else exchange.prices.sessions.closes_at
    later = ends[ends > exchange.now]
    if len(later) < count:
        raise Refusal(422, "there are no bars left")
    return int(later[count - 1])
