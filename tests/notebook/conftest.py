"""One run of a function over the sample and one of the shipped council, shared by the tests of this folder."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import simulator
from simulator.workspace import make_workspace


def trend(market, fast=20, slow=60, window=60, cadence="weekly"):  # noqa: ARG001
    """Half in each symbol whose short average is above its long one."""
    closes = {symbol: market.history(symbol, last=slow) for symbol in market.symbols}
    return {symbol: 0.5 for symbol, c in closes.items() if len(c) >= slow and c[-fast:].mean() > c.mean()}


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("notebook") / "lab"
    make_workspace(folder, git=False)
    return folder


@pytest.fixture(scope="session")
def made(lab: Path) -> simulator.Run:
    """Made where an event loop runs, as in every notebook."""

    async def within() -> simulator.Run:
        return simulator.run(trend, "SPY,QQQ", "2023-01-03", "2024-03-28", workspace=lab)

    return asyncio.run(within())


@pytest.fixture(scope="session")
def council(lab: Path) -> simulator.Run:
    return simulator.run("macro_council", "SPY,QQQ", "2024-01-02", "2024-05-31", workspace=lab)
