"""A server of the Model Context Protocol for one group of the desk's tools, over stdio or loopback HTTP.

client ──tools/call──► Tool.call(state) ──► structured answer, and the same as text; what cannot be answered: the reason
"""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError

import simulator
from simulator.desk.state import DeskState
from simulator.desk.tools import load_tools
from simulator.desk.tools.registry import Answer, Group, Tool, brief
from simulator.errors import SimError
from simulator.stopping import CHECK

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

ABOUT: dict[Group, str] = {
    "market": "Quotes, bars, indicators and the scan for momentum, as of one instant.",
    "position": "What the account holds, is worth, may buy and has traded.",
    "risk": "What a trade may lose, where the account is exposed, and which rules forbid it.",
    "backtest": "Backtests over the bars of the workspace, and what they prove.",
}

RECORDED = ("run_backtest", "test_parameter_sensitivity")
"""Tools that leave something on record."""
SECONDS_BETWEEN = 0.25
LONGEST_ANSWER, LONGEST_ERROR = 1_000_000, 2_000
"""Characters of an answer, and of why there is none."""


def make_server(group: Group, state: Callable[[], DeskState]) -> Server[Any]:
    """Return the server of the tools of `group`; `state` is asked at each call, so that it is never stale."""
    tools = {name: one for name, one in load_tools().items() if one.group == group}

    async def list_tools(_ctx: Any, _params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[describe(one) for one in tools.values()])

    async def call_tool(ctx: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        if params.name not in tools:
            raise MCPError(types.INVALID_PARAMS, f'no tool "{brief(params.name)}"; there are {", ".join(tools)}')
        tool, given, tell = tools[params.name], params.arguments or {}, ctx.session.report_progress
        with while_connected(ctx.request):
            try:
                answer = await call_apart(tool, state, given, tell)
            except SimError as error:
                return refuse(str(error))
            text = answer.model_dump_json()
            if len(text) > LONGEST_ANSWER:
                return refuse(
                    f"{tool.name}: the answer has {len(text)} characters, most is {LONGEST_ANSWER}: ask for less"
                )
            content = answer.model_dump(mode="json")
            return types.CallToolResult(content=[types.TextContent(text=text)], structured_content=content)
        raise MCPError(types.INTERNAL_ERROR, "stopped: its client has dropped the connection")

    name = f"simulator-{group}"
    return Server(
        name, version=simulator.__version__, instructions=ABOUT[group], on_list_tools=list_tools, on_call_tool=call_tool
    )


def refuse(why: str) -> types.CallToolResult:
    """Return the result of a call that is not answered."""
    return types.CallToolResult(content=[types.TextContent(text=brief(why, LONGEST_ERROR))], is_error=True)


async def call_apart(
    tool: Tool, state: Callable[[], DeskState], given: Mapping[str, Any], tell: Callable[..., Coroutine[Any, Any, None]]
) -> Answer:
    """Return the answer of `tool`, worked out in a thread of its own while others are served; `tell` hears of progress.

    Where the client cancels the call, or goes, the work is stopped as Ctrl-C stops it: it leaves what that leaves.
    """
    loop, gone, progress = asyncio.get_running_loop(), threading.Event(), Progress()

    def refuse_if_gone() -> None:
        if gone.is_set():
            raise KeyboardInterrupt

    def report(done: int, total: int, what: str) -> None:
        refuse_if_gone()
        if progress.is_news(done, total):
            asyncio.run_coroutine_threadsafe(tell(done, total, what), loop)

    def work() -> Answer:
        CHECK.set(refuse_if_gone)
        return tool.call(replace(state(), report=report), given)

    try:
        return await anyio.to_thread.run_sync(work, abandon_on_cancel=True)
    finally:
        gone.set()


class Progress:
    """Progress of one call as a client sees it: it only ever rises, a few times a second at most."""

    def __init__(self) -> None:
        self.told, self.next = -1, 0.0

    def is_news(self, done: int, total: int) -> bool:
        """Return True where `done` of `total` is worth a message."""
        now = time.monotonic()
        if done <= self.told or (now < self.next and done < total):
            return False
        self.told, self.next = done, now + SECONDS_BETWEEN
        return True


def describe(tool: Tool) -> types.Tool:
    """Describe `tool` to a client: what it takes and gives, and that it changes nothing; a backtest leaves a
    run or a sweep on record."""
    return types.Tool(
        name=tool.name,
        description=tool.description,
        input_schema=tool.arguments.model_json_schema(),
        output_schema=tool.answer.model_json_schema(),
        annotations=types.ToolAnnotations(
            read_only_hint=tool.group != "backtest", destructive_hint=False, open_world_hint=False
        ),
    )


async def serve_stdio(server: Server[Any]) -> None:
    """Serve one client on stdin and stdout, until it closes them."""
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


def http_app(server: Server[Any], token: str) -> ASGIApp:
    """Return the streamable HTTP application of `server`, for this machine alone and whoever brings `token`."""
    return Bearer(Watched(server.streamable_http_app()), token)


CONNECTED = "simulator.connected"
"""Key of the scope of a request: what is cancelled once its client has gone."""


def while_connected(request: Any) -> anyio.CancelScope:
    """Return the scope that is left early where the client of `request` drops its connection; None is stdin, whose end
    is that of the server. No answer could reach such a client any more: nothing is kept for one that comes again."""
    found = None if request is None else request.scope.get(CONNECTED)
    return found if isinstance(found, anyio.CancelScope) else anyio.CancelScope()


class Watched:
    """Requests carry what is cancelled at their end, also where the protocol leaves that to whoever serves."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connected = anyio.CancelScope()

        async def heed() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect":
                connected.cancel()
            return message

        await self.app({**scope, CONNECTED: connected}, heed, send)


class Bearer:
    """Requests with ``Authorization: Bearer TOKEN`` go through, all others are answered 401."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app, self.expected = app, f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = dict(scope.get("headers", ())).get(b"authorization", b"")
        if scope["type"] == "lifespan" or secrets.compare_digest(given, self.expected):
            await self.app(scope, receive, send)
            return
        headers = [(b"www-authenticate", b"Bearer"), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
