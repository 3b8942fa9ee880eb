"""Server of the rehearsal exchange: one process, one loop, all interfaces on one port, and a clock that is advanced.

GET  /rehearsal            clock, bars, accounts, faults that happened
POST /rehearsal/advance    {"to": "2024-06-03T14:00:00Z"} or {"bars": 1} or {"sessions": 1}
POST /rehearsal/faults     {"reply-lost": 0.2, "halt": {"symbol": "SPY"}, "script": ["at 2024-06-07T08:00Z cut"]}
POST /rehearsal/order      {"symbol": "SPY", "side": "buy", "qty": 5}: one entered by hand
POST /rehearsal/halt       {"symbol": "SPY", "halted": true}
"""

from __future__ import annotations

import asyncio
import queue
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from simulator.errors import UsageError
from simulator.exchange import forms
from simulator.exchange.data import data_routes
from simulator.exchange.exchange import Exchange
from simulator.exchange.faults import Faults
from simulator.exchange.journal import Journal
from simulator.exchange.orders import Refusal
from simulator.exchange.rest import PER_MINUTE, Wire, parse_instant, read_body, trading_routes
from simulator.exchange.script import play
from simulator.exchange.streams import stream_routes
from simulator.printing import say

if TYPE_CHECKING:
    import uvicorn

T = TypeVar("T")

TICK_S = 0.2
STARTS_WITHIN_S = 30.0


Started = Callable[[asyncio.AbstractEventLoop], None]


def make_app(wire: Wire, speed: float = 0.0, started: Started | None = None) -> Starlette:
    """Return the application; at a `speed` above 0 its clock runs so many times as fast as the wall's."""

    @asynccontextmanager
    async def running(app: Starlette) -> AsyncIterator[None]:
        if wire.journal is not None:
            limit, wire.per_minute = wire.per_minute, 10**9
            await wire.journal.replay(app, wire.exchange.advance)
            wire.per_minute = limit
            wire.counts.clear()
        if started is not None:
            started(asyncio.get_running_loop())
        pace = asyncio.create_task(_run_clock(wire, speed)) if speed > 0 else None
        yield
        if pace is not None:
            pace.cancel()
            with suppress(asyncio.CancelledError):
                await pace
        if wire.journal is not None:
            wire.journal.close()

    routes = [*trading_routes(wire), *data_routes(wire), *stream_routes(wire), *_control(wire)]
    holding = Middleware(_HoldClock, wire=wire)
    return Starlette(routes=routes, lifespan=running, exception_handlers={Exception: _fail}, middleware=[holding])


@dataclass(frozen=True)
class _HoldClock:
    """Requests of clients hold the clock until they are answered; those that conduct the rehearsal do not."""

    app: ASGIApp
    wire: Wire

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/rehearsal"):
            await self.app(scope, receive, send)
            return
        async with self.wire.clock.request():
            await self.app(scope, receive, send)


@dataclass(frozen=True)
class Served:
    """An exchange that is served by a thread of this process. Touch it only by what stands here, or by requests."""

    url: str
    wire: Wire
    loop: asyncio.AbstractEventLoop

    @property
    def stream(self) -> str:
        """Address of the trading stream."""
        return self.url.replace("http://", "ws://") + "/stream"

    def advance(self, to: int, first_event: bool = False) -> int:
        """Let time pass until `to` (nanoseconds since the epoch), as POST /rehearsal/advance; return the instant."""
        asyncio.run_coroutine_threadsafe(self.wire.clock.advance(to, first_event), self.loop).result()
        return self.wire.exchange.now

    def call(self, work: Callable[[Exchange], T]) -> T:
        """Return `work(exchange)`, done between requests."""

        async def do() -> T:
            return work(self.wire.exchange)

        return asyncio.run_coroutine_threadsafe(do(), self.loop).result()


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that takes connections at once; port 0 takes any that is free. Raises OSError."""
    # With its protocol named asyncio sends at once what is written: else each answer waits forty milliseconds.
    listening = socket.socket(proto=socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen()
    except OSError:
        listening.close()
        raise
    return listening


def make_server(app: Starlette) -> uvicorn.Server:
    """Return the server of an application, which stops within a second whatever hangs."""
    import uvicorn

    config = uvicorn.Config(app, log_level="critical", ws="websockets-sansio", lifespan="on", date_header=False)
    config.timeout_graceful_shutdown = 1
    return uvicorn.Server(config)


@contextmanager
def serve(
    exchange: Exchange, faults: Faults | None = None, per_minute: int = PER_MINUTE, journal: Journal | None = None
) -> Iterator[Served]:
    """Serve `exchange` on a free port of this machine, by a thread that ends with the context.

    Its clock stands until `Served.advance` or POST /rehearsal/advance moves it; requests are limited by its minutes.
    With a `journal` it goes on where that ended.
    """
    if faults is not None:
        exchange.faults = faults
        exchange.show(exchange.bars, *exchange.splits)
    wire = Wire(exchange, per_minute, seconds=lambda: exchange.now / 1e9, journal=journal)
    loops: queue.Queue[asyncio.AbstractEventLoop] = queue.Queue()
    with listen("127.0.0.1", 0) as listening:
        server = make_server(make_app(wire, started=loops.put))
        thread = threading.Thread(target=server.run, args=([listening],), name="rehearsal exchange", daemon=True)
        thread.start()
        try:
            yield Served("http://{}:{}".format(*listening.getsockname()), wire, loops.get(timeout=STARTS_WITHIN_S))
        finally:
            server.should_exit = True
            thread.join()


async def _fail(request: Request, error: Exception) -> Response:
    """Answer a fault of the exchange itself, which is also printed on stderr."""
    if not isinstance(error, ConnectionResetError) and "Content-Length" not in str(error):  # cut off on purpose
        say(f"rehearsal exchange: {request.method} {request.url.path}: {type(error).__name__}: {error}", err=True)
    return JSONResponse({"code": 50010000, "message": "internal server error occurred"}, 500)


async def _run_clock(wire: Wire, speed: float) -> None:
    since = time.monotonic()
    while True:
        await asyncio.sleep(TICK_S)
        now, passed = time.monotonic(), time.monotonic() - since
        since = now
        await wire.clock.advance(wire.exchange.now + int(passed * speed * 1e9))  # from where others have moved it, too


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
                "faults": exchange.faults.happened,
                "refused": [{**one, "at": forms.utc(one["at"])} for one in exchange.refused],
            }
        )

    async def advance(request: Request) -> Response:
        body = await read_body(request)
        how = (bool(body.get(name, False)) for name in ("first_event", "before_open"))
        await wire.clock.advance(_target(wire, body), *how)
        return await state(request)

    async def faults(request: Request) -> Response:
        body = dict(await read_body(request))
        script = body.pop("script", [])
        play(exchange, [*script, *({name: given} for name, given in body.items())])
        return await state(request)

    async def order(request: Request) -> Response:
        play(exchange, [{"order": await read_body(request)}])
        return await state(request)

    async def halt(request: Request) -> Response:
        body = await read_body(request)
        play(exchange, [{"halt": {"symbol": body.get("symbol", ""), "chance": float(bool(body.get("halted", True)))}}])
        return await state(request)

    return [
        Route("/rehearsal", state),
        Route("/rehearsal/advance", _refusing(advance), methods=["POST"]),
        Route("/rehearsal/faults", _refusing(faults, wire.journal), methods=["POST"]),
        Route("/rehearsal/order", _refusing(order, wire.journal), methods=["POST"]),
        Route("/rehearsal/halt", _refusing(halt, wire.journal), methods=["POST"]),
    ]


def _refusing(
    handler: Callable[[Request], Awaitable[Response]], journal: Journal | None = None
) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            if journal is not None:
                await journal.note_request(request)
            return await handler(request)
        except Refusal as error:
            return JSONResponse({"message": error.message}, error.status)
        except (UsageError, TypeError) as error:
            return JSONResponse({"message": str(error)}, 422)

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
