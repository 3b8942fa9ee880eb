"""The servers as a client starts them, asked by the SDK's own client: over stdio and over HTTP."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
import uvicorn
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from simulator.desk.state import DeskState
from simulator.desk.tools import load_tools
from simulator.mcp.server import http_app, make_server
from simulator.stopping import refuse_if_stopped
from simulator.workspace import make_workspace

pytestmark = pytest.mark.medium

TOKEN = "a-token-of-at-least-sixteen-signs"
AS_OF = ("--as-of", "2024-06-03")

SPOKEN = {"Authorization": f"Bearer {TOKEN}", "Accept": "application/json, text/event-stream"}

NVDA: dict[str, Any] = {"symbol": "NVDA", "entry": 110.0, "stop": 107.0}
SMA: dict[str, Any] = {"strategy": "sma_cross", "symbols": ["SPY"], "start": "2024-01-02"}
GOOD: dict[str, dict[str, dict[str, Any]]] = {
    "market": {
        "get_quote": {"symbol": "NVDA"},
        "get_historical": {"symbol": "NVDA", "bars": 5},
        "get_market_status": {},
        "calculate_indicators": {"symbol": "NVDA"},
        "scan_momentum": {"most": 3},
    },
    "position": {
        "get_positions": {},
        "get_position_details": {"symbol": "SPY"},
        "get_portfolio_summary": {},
        "get_buying_power": {},
        "get_trade_history": {"symbol": "SPY", "most": 5},
    },
    "risk": {
        "calculate_position_risk": {**NVDA, "shares": 10, "target": 120.0},
        "get_portfolio_exposure": {},
        "check_trade_rules": {**NVDA, "shares": 10.0},
        "calculate_max_position_size": NVDA,
        "get_risk_metrics": {},
    },
    "backtest": {
        "run_backtest": {**SMA, "parameters": {"fast": 10}},
        "calculate_metrics": {},
        "compare_strategies": {"backtests": ["buy_and_hold-2024", "sma_cross-2024-01-02-2024-06"]},
        "generate_equity_curve": {"points": 3},
        "test_parameter_sensitivity": {**SMA, "sweep": {"fast": [5, 10]}, "most": 1},
    },
}
BAD: dict[str, list[tuple[str, dict[str, Any], str]]] = {
    "market": [
        ("get_quote", {}, "symbol"),
        ("get_quote", {"symbol": "NVDAA"}, "NVDA"),
        ("get_quote", {"symbol": 7}, "symbol"),
        ("get_quote", {"symbol": "N" * 100_000}, "most is 20000"),
        ("get_quote", {"N" * 10_000: 7, "symbol": "NVDA"}, "…"),
        ("get_historical", {"symbol": "NVDA", "bars": "7"}, "bars"),
        ("get_historical", {"symbol": "NVDA", "bars": 0}, "bars"),
        ("get_historical", {"symbol": "NVDA", "bar": 7}, "bars"),
        ("get_market_status", {"at": "2030-01-01"}, "at"),
        ("calculate_indicators", {"symbol": ""}, "symbol"),
        ("scan_momentum", {"most": 1000}, "most"),
    ],
    "position": [
        ("get_positions", {"account": "COUNCIL"}, "account"),
        ("get_position_details", {"symbol": "GLD"}, "GLD"),
        ("get_portfolio_summary", {"x": None}, "x"),
        ("get_buying_power", {"margin": True}, "margin"),
        ("get_trade_history", {"most": 0}, "most"),
    ],
    "risk": [
        ("calculate_position_risk", {**NVDA, "shares": 10, "stop": 111.0}, "stop"),
        ("calculate_position_risk", {**NVDA, "shares": 1e400}, "shares"),
        ("get_portfolio_exposure", {"by": "sector"}, "by"),
        ("check_trade_rules", {**NVDA, "shares": -1}, "shares"),
        ("calculate_max_position_size", {"symbol": "NVDA", "entry": 110.0}, "stop"),
        ("get_risk_metrics", {"window": 20}, "window"),
    ],
    "backtest": [
        ("run_backtest", {**SMA, "start": "2024-06-04"}, "2024-06-03"),
        ("run_backtest", {**SMA, "strategy": "sma_cros"}, "sma_cross"),
        ("run_backtest", {**SMA, "parameters": {"fats": 10}}, "fast"),
        ("calculate_metrics", {"backtest": "none-such"}, "none-such"),
        ("compare_strategies", {"backtests": ["sma_cross"]}, "backtests"),
        ("generate_equity_curve", {"points": 1}, "points"),
        ("test_parameter_sensitivity", {**SMA, "sweep": {}}, "sweep"),
    ],
}


@pytest.fixture(scope="module")
def run_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a run that holds SPY in June 2024."""
    folder = tmp_path_factory.mktemp("desk") / "workspace"
    make_workspace(folder, git=False)
    for strategy, last in (("buy_and_hold", "2024-05-31"), ("sma_cross", "2024-08-30")):
        words = ("run", "--strategy", strategy, "--from", "2024-01-02", "--to", last, "--symbols", "SPY,QQQ")
        subprocess.run([sys.executable, "-m", "simulator", *words], cwd=folder, check=True, capture_output=True)
    return folder


@asynccontextmanager
async def over_stdio(folder: Path, group: str, *words: str) -> AsyncIterator[Client]:
    """A client of `sim mcp` in a process of its own; what that prints beside the protocol breaks it."""
    command = ["-m", "simulator", "mcp", group, *words]
    at = StdioServerParameters(command=sys.executable, args=command, cwd=folder, env=dict(os.environ))
    async with Client(stdio_client(at), read_timeout_seconds=60) as client:
        yield client


@contextmanager
def over_http(folder: Path, group: str, *words: str) -> Iterator[str]:
    """The address of `sim mcp` in a process of its own, on a free port of this machine."""
    with subprocess.Popen(
        [sys.executable, "-m", "simulator", "mcp", group, "--http", "0", *words, *AS_OF],
        cwd=folder, env={**os.environ, "SIM_MCP_TOKEN": TOKEN}, stderr=subprocess.PIPE, text=True,
    ) as server:  # fmt: skip
        assert server.stderr is not None
        said = server.stderr.readline()
        assert TOKEN not in said
        try:
            yield said.split()[0]
        finally:
            server.terminate()


@pytest.fixture(scope="module")
def url(run_in: Path) -> Iterator[str]:
    with over_http(run_in, "position", *account_of("position")) as address:
        yield address


def no_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


async def ask_all(client: Client, group: str) -> None:
    """Ask every tool with good and with bad arguments."""
    offered = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert list(offered) == list(GOOD[group]) == [name for name, one in load_tools().items() if one.group == group]
    for name, given in GOOD[group].items():
        told = await client.call_tool(name, given)
        assert not told.is_error, (name, told.content)
        text = told.content[0].text  # type: ignore[union-attr]
        answer = json.loads(text, parse_constant=no_constant)
        assert answer == told.structured_content
        # The client has held it against this; a tool whose answer is anything would pass.
        assert offered[name].output_schema["additionalProperties"] is False  # type: ignore[index]
        assert offered[name].input_schema["additionalProperties"] is False
    for name, given, reason in BAD[group]:
        told = await client.call_tool(name, given)
        text = told.content[0].text  # type: ignore[union-attr]
        assert (told.is_error, reason in text, "Error executing" in text) == (True, True, False), (name, given, text)
    assert {name for name, _, _ in BAD[group]} == set(offered)
    with pytest.raises(MCPError, match="no tool"):
        await client.call_tool("buy_everything", {})


def account_of(group: str) -> tuple[str, ...]:
    return () if group == "market" else ("--run", "sma_cross-2024-01-02-2024-08-30", "--symbols", "SPY,QQQ,NVDA")


@pytest.mark.parametrize("group", GOOD)
def test_every_tool_answers_over_stdio_and_refuses_with_the_reason(group: str, run_in: Path) -> None:
    async def ask() -> None:
        async with over_stdio(run_in, group, *account_of(group), *AS_OF) as client:
            await ask_all(client, group)

    anyio.run(ask)


@pytest.mark.parametrize("group", GOOD)
def test_every_tool_answers_over_http_to_who_has_the_token(group: str, run_in: Path) -> None:
    async def ask(address: str) -> None:
        given = {"Authorization": f"Bearer {TOKEN}"}
        async with (
            httpx2.AsyncClient(headers=given) as http,
            Client(streamable_http_client(address, http_client=http), read_timeout_seconds=60) as client,
        ):
            await ask_all(client, group)

    with over_http(run_in, group, *account_of(group)) as address:
        anyio.run(ask, address)


def test_a_long_backtest_tells_how_far_it_is_and_is_stopped_when_it_is_cancelled(run_in: Path) -> None:
    grid = {**SMA, "start": "2023-01-03", "sweep": {"fast": [*range(5, 21)], "slow": [*range(40, 56)]}}
    told: list[tuple[float, float | None]] = []

    async def hear(progress: float, total: float | None, _message: str | None) -> None:
        told.append((progress, total))

    async def ask() -> None:
        async with over_stdio(run_in, "backtest", *AS_OF) as client:
            before = {path.name for path in (run_in / "reports").iterdir()}
            with anyio.move_on_after(60) as scope:
                async with anyio.create_task_group() as tasks:

                    async def long() -> None:
                        await client.call_tool("test_parameter_sensitivity", grid, progress_callback=hear)
                        raise AssertionError("it was to be cancelled")

                    tasks.start_soon(long)
                    while not told:
                        await anyio.sleep(0.01)
                    tasks.cancel_scope.cancel()
            assert not scope.cancelled_caught
            # The server goes on, and what was stopped is no result.
            answer = await client.call_tool("run_backtest", {**SMA, "start": "2024-02-01"})
            assert not answer.is_error, answer.content
            after = {path.name for path in (run_in / "reports").iterdir()} - before
            assert not [name for name in after if (run_in / "reports" / name / "verdict.json").exists()]

    anyio.run(ask)
    assert told == sorted(set(told))


def test_a_client_that_drops_its_connection_stops_what_it_asked_for() -> None:
    """It says no word of it, and its session stays open: so does one that is killed."""
    began, stopped = threading.Event(), threading.Event()

    def work() -> DeskState:
        began.set()
        try:
            while True:  # as a backtest does between two sessions
                refuse_if_stopped()
                time.sleep(0.001)
        finally:
            stopped.set()

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/mcp"
        server = uvicorn.Server(uvicorn.Config(http_app(make_server("backtest", work), TOKEN), log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            with httpx2.Client(headers=SPOKEN, timeout=60) as client:
                greeting = {
                    "protocolVersion": "2025-06-18",
                    "capabilities": {},
                    "clientInfo": {"name": "x", "version": "1"},
                }
                told = client.post(url, json={"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": greeting})
                client.headers["mcp-session-id"] = told.headers["mcp-session-id"]
                client.post(url, json={"jsonrpc": "2.0", "method": "notifications/initialized"})
                asked = {"name": "run_backtest", "arguments": SMA}
                with client.stream(
                    "POST", url, json={"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": asked}
                ):
                    assert began.wait(60)
                    assert not stopped.is_set()
                assert stopped.wait(60)
                listed = client.post(url, json={"jsonrpc": "2.0", "id": 3, "method": "tools/list"})
                assert "run_backtest" in listed.text, "others are served"
        finally:
            server.should_exit = True
            thread.join()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": f"Bearer {TOKEN}x"}, 401),
        ({"Authorization": TOKEN}, 401),
        ({"Authorization": f"Bearer {TOKEN}", "Host": "example.com"}, 421),
        ({"Authorization": f"Bearer {TOKEN}", "Origin": "https://example.com"}, 403),
    ],
)
def test_strangers_are_refused(url: str, headers: dict[str, str], status: int) -> None:
    asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    accept = {"Accept": "application/json, text/event-stream", **headers}
    answer = httpx2.post(url, json=asked, headers=accept)
    assert (answer.status_code, "get_positions" in answer.text) == (status, False)


@pytest.mark.parametrize(
    ("words", "code", "found"),
    [
        (("--run", "nothing"), 2, "nothing"),
        (("--run", "sma_cross-2024-01-02-2024-08-30", "--account", "X"), 2, '"X"'),
        (("--symbols", "NOPE"), 3, "NOPE"),
        (("--as-of", "soon"), 2, "--as-of"),
    ],
)
def test_what_cannot_be_served_is_one_line(
    words: tuple[str, ...], code: int, found: str, run_in: Path, sim: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    told = sim("mcp", "position", *words, cwd=run_in)
    assert (told.returncode, told.stdout, told.stderr.count("\n")) == (code, "", 1), told.stderr
    assert found in told.stderr
