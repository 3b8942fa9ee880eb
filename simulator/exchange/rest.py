"""Trading interface of the rehearsal exchange over HTTP: /v2/account, orders, positions, assets, clock, calendar.

request ──► Wire.answer: key ──► account · rate limit · faults ──► a function below ──► JSON
                                                                   └── Refusal ──► {"code", "message"} and a status
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from email.utils import formatdate
from typing import Any, NamedTuple

import numpy as np
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from simulator.exchange import forms
from simulator.exchange.accounts import PaperAccount
from simulator.exchange.clock import LogicalClock
from simulator.exchange.exchange import Exchange
from simulator.exchange.faults import AFTER, BEFORE, ORDERS, About, Faults
from simulator.exchange.journal import Journal
from simulator.exchange.orders import DIGITS, Order, Refusal, read_number
from simulator.exchange.script import play
from simulator.market.calendar import NEW_YORK, day_number

PER_MINUTE = 200
MINUTE_S = 60.0
HANG_STEP_S = 0.05
LONGEST_BODY = 1_000_000


class AccountRequest(NamedTuple):
    """A request: whose account it is about, and what it says."""

    exchange: Exchange
    account: PaperAccount
    request: Request


Handler = Callable[[AccountRequest], Awaitable[Response]]


@dataclass(eq=False)
class Wire:
    """The exchange as HTTP sees it: requests of each account in this minute of `seconds`, and faults."""

    exchange: Exchange
    per_minute: int = PER_MINUTE
    counts: MutableMapping[str, tuple[int, int]] = field(default_factory=dict)
    hang_s: float = MINUTE_S
    seconds: Callable[[], float] = time.time
    journal: Journal | None = None

    def __post_init__(self) -> None:
        self.clock = LogicalClock(self.exchange, passed=None if self.journal is None else self.journal.note_time)
        play(self.exchange, self.faults.script)

    @property
    def faults(self) -> Faults:
        return self.exchange.faults

    def answering(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """Return `handler` behind keys, the rate limit and faults."""

        async def answer(request: Request) -> Response:
            headers: dict[str, str] = {}
            try:
                account = self.exchange.account(*keys_of(request.headers), f"{request.method} {request.url.path}")
                headers, there = self._count(account.key)
                if not there:
                    raise Refusal(429, "too many requests.")
                if self.journal is not None:
                    await self.journal.note_request(request)
                response = await self._carry_out(handler, account, request)
            except Refusal as error:
                body = {"code": error.code, "message": error.message, **error.more}
                response = JSONResponse(body, error.status)
            if response.status_code == 429:
                headers |= {"X-RateLimit-Remaining": "0"}
            response.headers.update({**headers, "Date": formatdate(forms.read_clock(self.exchange) / 1e9, usegmt=True)})
            return response

        return answer

    async def _carry_out(self, handler: Handler, account: PaperAccount, request: Request) -> Response:
        faults, about = self.exchange.faults, await _about(account, request)
        fault = faults.strikes(BEFORE, about)
        if fault is not None:
            return await self._fail(fault, request)
        ordering = about.on == "POST /v2/orders"
        fault = faults.strikes(ORDERS, about) if ordering else None
        if fault == "id-stolen":
            body = await read_body(request)
            more = {name: 2 * float(str(body[name])) for name in ("qty", "notional") if body.get(name)}
            self.exchange.submit(account, {**body, **more})
        first = faults.happened.get("fill-first", 0)
        response = await handler(AccountRequest(self.exchange, account, request))
        if first != faults.happened.get("fill-first", 0):
            await self.clock.flush()
        if fault == "id-taken":
            raise Refusal(422, "client_order_id must be unique")
        fault = faults.strikes(AFTER, about)
        return response if fault is None else await self._fail(fault.removesuffix("-after"), request)

    async def _fail(self, fault: str, request: Request) -> Response:
        """Answer as a fault has it that struck before the effect, or after."""
        if fault == "429":
            raise Refusal(429, "too many requests.")
        if fault == "502-html":
            return HTMLResponse("<html><head><title>502 Bad Gateway</title></head></html>", 502)
        if fault in ("503", "504"):
            message = "service unavailable" if fault == "503" else "gateway timeout"
            return JSONResponse({"message": message}, int(fault))
        if fault == "hang":
            await self._hang(request)
            return Response(status_code=504)
        # More is announced than comes: the server then breaks the connection.
        return StreamingResponse(iter([b'{"id']), headers={"content-length": "4096"})

    async def _hang(self, request: Request) -> None:
        """Wait until the client gives up, `hang_s` at most; the clock goes on."""
        async with self.clock.forgotten():
            with suppress(TimeoutError):
                async with asyncio.timeout(self.hang_s):
                    while not await request.is_disconnected():
                        await asyncio.sleep(HANG_STEP_S)

    def _count(self, key: str) -> tuple[dict[str, str], bool]:
        """Count a request; return headers on what is left in this minute, and False where nothing is."""
        seconds = self.seconds()
        minute = int(seconds // MINUTE_S)
        began, count = self.counts.get(key, (minute, 0))
        count = count + 1 if began == minute else 1
        self.counts[key] = (minute, count)
        left = {
            "Limit": self.per_minute,
            "Remaining": max(0, self.per_minute - count),
            "Reset": int(forms.read_clock(self.exchange) / 1e9 + (minute + 1) * MINUTE_S - seconds),
        }
        return {f"X-RateLimit-{name}": str(value) for name, value in left.items()}, count <= self.per_minute


async def _about(account: PaperAccount, request: Request) -> About:
    """Return what a request is about, as far as faults ask."""
    body: Mapping[str, Any] = {}
    if request.method == "POST":
        with suppress(Refusal):
            body = await read_body(request)
    symbol = str(body.get("symbol") or request.path_params.get("symbol", "")).upper()
    of = str(body.get("client_order_id") or request.url.query)
    return About(account.key, symbol, f"{request.method} {request.url.path}", of)


def keys_of(headers: Mapping[str, str]) -> tuple[str, str]:
    """Return (key id, secret) from the headers of a request, empty where there are none."""
    return headers.get("apca-api-key-id", ""), headers.get("apca-api-secret-key", "")


async def read_body(request: Request) -> Mapping[str, Any]:
    """Return the JSON object of a request. Raises Refusal for what is none."""
    raw = await request.body()
    if len(raw) > LONGEST_BODY:
        raise Refusal(413, "request body is too large")
    try:
        found = json.loads(raw or b"{}")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Refusal(400, "request body format is invalid")
    return found


async def get_account(asked: AccountRequest) -> Response:
    return JSONResponse(forms.account_json(asked.account, asked.exchange))


CONFIGURATION = {
    "dtbp_check": "entry", "fractional_trading": True, "max_margin_multiplier": "2", "no_shorting": False,
    "pdt_check": "entry", "suspend_trade": False, "trade_confirm_email": "all", "ptp_no_exception_entry": False,
    "max_options_trading_level": 0,
}  # fmt: skip


async def configurations(asked: AccountRequest) -> Response:
    """Tell, or change, whether the account may trade, sell short and borrow."""
    account = asked.account
    if asked.request.method == "PATCH":
        body = await read_body(asked.request)
        account.suspended = bool(body.get("suspend_trade", account.suspended))
        account.shorting = not body.get("no_shorting", not account.shorting)
        account.borrowing = str(body.get("max_margin_multiplier", 2 if account.borrowing else 1)) != "1"
    told = {
        **CONFIGURATION, "no_shorting": not account.shorting,
        "max_margin_multiplier": "2" if account.borrowing else "1",
        "suspend_trade": "suspend-trade" in asked.exchange.blocks(account),
    }  # fmt: skip
    return JSONResponse(forms.without_pdt(told, account, asked.exchange))


async def portfolio_history(asked: AccountRequest) -> Response:
    """Equity at the close of each session so far."""
    exchange, base = asked.exchange, asked.account.started_with
    rows = np.searchsorted(exchange.prices.sessions.session_of, list(asked.account.closes))
    worth = list(asked.account.closes.values())
    return JSONResponse(
        {
            "timestamp": [int(exchange.prices.sessions.opens_at[k] // 1_000_000_000) for k in rows],
            "equity": worth,
            "profit_loss": [one - base for one in worth],
            "profit_loss_pct": [one / base - 1.0 for one in worth],
            "base_value": base,
            "timeframe": "1D",
            "cashflow": {},
        }
    )


async def activities(asked: AccountRequest) -> Response:
    """Fills, newest first where nothing else is asked, a page at a time. A paper account books nothing else."""
    query = asked.request.query_params
    kinds = asked.request.path_params.get("kind") or query.get("activity_types", "FILL")
    if "FILL" not in kinds.split(","):
        return JSONResponse([])
    after, until = (parse_instant(query[name]) if name in query else None for name in ("after", "until"))
    made = [
        forms.activity_json(one, asked.account.orders[one.order])
        for one in asked.account.executions
        if (after is None or one.at > after) and (until is None or one.at < until)
    ]
    found = made if query.get("direction") == "asc" else made[::-1]
    begins = 1 + next((k for k, one in enumerate(found) if one["id"] == query.get("page_token")), -1)
    return JSONResponse(found[begins : begins + _whole(asked.request, "page_size", 100, 100)])


async def post_order(asked: AccountRequest) -> Response:
    return JSONResponse(forms.order_json(asked.exchange.submit(asked.account, await read_body(asked.request))))


async def list_orders(asked: AccountRequest) -> Response:
    """Orders by status, symbols, side and time; legs within their parents where nested."""
    query = asked.request.query_params
    nested = query.get("nested", "false").lower() == "true"
    status, symbols = query.get("status", "open"), [s for s in query.get("symbols", "").upper().split(",") if s]
    if status not in ("open", "closed", "all"):
        raise Refusal(422, f"invalid status: {status}")
    after, until = (parse_instant(query[name]) if name in query else None for name in ("after", "until"))

    def is_asked_for(order: Order) -> bool:
        opened = order.is_open or (nested and any(leg.is_open for leg in order.legs))
        return (
            (status == "all" or opened == (status == "open"))
            and (not nested or order.parent is None)
            and (not symbols or order.symbol in symbols)
            and query.get("side", order.side) == order.side
            and (after is None or order.created_at > after)
            and (until is None or order.created_at < until)
        )

    found = [order for order in asked.account.orders.values() if is_asked_for(order)]
    newest_first = query.get("direction", "desc") == "desc"
    found = found[::-1] if newest_first else found
    return JSONResponse([forms.order_json(one, nested) for one in found[: _whole(asked.request, "limit", 50, 500)]])


async def one_order(asked: AccountRequest) -> Response:
    """Tell, replace or cancel one order."""
    order = asked.exchange.find(asked.account, asked.request.path_params["order_id"])
    if asked.request.method == "PATCH":
        return JSONResponse(
            forms.order_json(asked.exchange.replace(asked.account, order, await read_body(asked.request)))
        )
    if asked.request.method == "DELETE":
        asked.exchange.cancel(asked.account, order)
        return Response(status_code=204)
    return JSONResponse(forms.order_json(order))


async def order_by_client_id(asked: AccountRequest) -> Response:
    client_order_id = asked.request.query_params.get("client_order_id", "")
    if client_order_id not in asked.account.ids:
        raise Refusal(404, f"order not found for {client_order_id}")
    return JSONResponse(forms.order_json(asked.account.orders[asked.account.ids[client_order_id]]))


async def cancel_all(asked: AccountRequest) -> Response:
    """Cancel every open order; 207 with a status for each."""
    answers = []
    for order in list(asked.account.open_orders()):
        if order.is_open:  # not ended with one before it
            asked.exchange.cancel(asked.account, order)
            answers.append({"id": order.id, "status": 200})
    return JSONResponse(answers, 207)


async def list_positions(asked: AccountRequest) -> Response:
    return JSONResponse(
        [forms.position_json(s, one, asked.account, asked.exchange) for s, one in asked.account.positions()]
    )


async def one_position(asked: AccountRequest) -> Response:
    """Tell one position, or order its close."""
    symbol = _symbol(asked.exchange, asked.request.path_params["symbol"])
    if asked.request.method == "DELETE":
        query = asked.request.query_params
        percent, shares = (read_number(query, name, DIGITS) for name in ("percentage", "qty"))
        part = None if percent is None else percent / 100.0
        return JSONResponse(forms.order_json(asked.exchange.close_position(asked.account, symbol, shares, part)))
    if not asked.account.shares_of(symbol):
        raise Refusal(404, f"position does not exist: {symbol}", 40410000)
    return JSONResponse(forms.position_json(symbol, asked.account.holdings[symbol], asked.account, asked.exchange))


async def close_all(asked: AccountRequest) -> Response:
    """Order the close of everything, where query with all open orders cancelled first."""
    if asked.request.query_params.get("cancel_orders", "false").lower() == "true":
        await cancel_all(asked)
    answers: list[dict[str, Any]] = []
    for symbol, _ in list(asked.account.positions()):
        try:
            body, status = forms.order_json(asked.exchange.close_position(asked.account, symbol, None, None)), 200
        except Refusal as error:
            body, status = {"code": error.code, "message": error.message, **error.more}, error.status
        answers.append({"symbol": symbol, "status": status, "body": body})
    return JSONResponse(answers, 207)


async def assets(asked: AccountRequest) -> Response:
    listed = asked.request.query_params.get("asset_class", "us_equity") == "us_equity"
    prices = asked.exchange.prices
    return JSONResponse([forms.asset_json(s, prices) for s in prices.bars.columns] if listed else [])


async def one_asset(asked: AccountRequest) -> Response:
    symbol = _symbol(asked.exchange, asked.request.path_params["symbol"])
    return JSONResponse(forms.asset_json(symbol, asked.exchange.prices))


async def clock(asked: AccountRequest) -> Response:
    prices, now = asked.exchange.prices, asked.exchange.now
    return JSONResponse(
        {
            "timestamp": forms.new_york(forms.read_clock(asked.exchange)),
            "is_open": prices.is_open(now),
            "next_open": forms.new_york(prices.next_open(now)),
            "next_close": forms.new_york(prices.next_close(now)),
        }
    )


async def calendar(asked: AccountRequest) -> Response:
    """Sessions of the exchange, those of the bars and a year beyond where no dates are given."""
    on, query = asked.exchange.prices.sessions, asked.request.query_params
    first, last = (day_number(_day(query[name])) if name in query else None for name in ("start", "end"))
    rows = [
        (
            datetime.fromtimestamp(on.opens_at[k] / 1e9, NEW_YORK),
            datetime.fromtimestamp(on.closes_at[k] / 1e9, NEW_YORK),
        )
        for k in range(len(on))
        if (first is None or on.session_of[k] >= first) and (last is None or on.session_of[k] <= last)
    ]
    return JSONResponse(
        [
            {
                "date": str(opens.date()), "open": f"{opens:%H:%M}", "close": f"{closes:%H:%M}", "session_open": "0400",
                "session_close": "2000", "settlement_date": str(opens.date() + timedelta(days=1)),
            }
            for opens, closes in rows
        ]
    )  # fmt: skip


def parse_instant(given: str) -> int:
    """Return nanoseconds since the epoch of a date or time as clients write it. Raises Refusal."""
    try:
        found = datetime.fromisoformat(given.replace(" ", "+"))
    except ValueError:
        raise Refusal(422, f"invalid time: {given}") from None
    known = found if found.tzinfo else found.replace(tzinfo=NEW_YORK if len(given) <= 10 else UTC)
    return int(known.replace(microsecond=0).timestamp()) * 1_000_000_000 + known.microsecond * 1_000


def _day(given: str) -> date:
    try:
        return date.fromisoformat(given[:10])
    except ValueError:
        raise Refusal(422, f"invalid date: {given}") from None


def _whole(request: Request, name: str, default: int, most: int) -> int:
    given = request.query_params.get(name, str(default))
    if not given.isdigit() or not 1 <= int(given) <= most:
        raise Refusal(422, f"{name} must be a number from 1 to {most}")
    return int(given)


def _symbol(exchange: Exchange, given: str) -> str:
    """Return the symbol of a name or asset id. Raises Refusal."""
    listed = exchange.prices.bars.columns
    found = next((s for s in listed if given.upper() == s or given == forms.asset_id(s)), None)
    if found is None:
        raise Refusal(404, f"asset not found for {given}", 40410000)
    return found


def trading_routes(wire: Wire) -> list[Route]:
    """Return the routes under /v2."""
    table: list[tuple[str, str, Handler]] = [
        ("GET", "/account", get_account),
        ("GET PATCH", "/account/configurations", configurations),
        ("GET", "/account/portfolio/history", portfolio_history),
        ("GET", "/account/activities", activities),
        ("GET", "/account/activities/{kind}", activities),
        ("POST", "/orders", post_order),
        ("GET", "/orders", list_orders),
        ("DELETE", "/orders", cancel_all),
        ("GET", "/orders:by_client_order_id", order_by_client_id),
        ("GET PATCH DELETE", "/orders/{order_id}", one_order),
        ("GET", "/positions", list_positions),
        ("DELETE", "/positions", close_all),
        ("GET DELETE", "/positions/{symbol}", one_position),
        ("GET", "/assets", assets),
        ("GET", "/assets/{symbol}", one_asset),
        ("GET", "/clock", clock),
        ("GET", "/calendar", calendar),
    ]
    return [Route(f"/v2{path}", wire.answering(handler), methods=methods.split()) for methods, path, handler in table]
