"""Backtest-first research simulator for LLM trading.

    import simulator
    run = simulator.run(strategy="macro_council", symbols=["SPY", "QQQ"], start="2024-01-01")
    run, run.returns, run.trades, run.plot(), run.verdict, run.report()

Names are loaded when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "run": "simulator.api",
    "load": "simulator.api",
    "plan": "simulator.api",
    "compare": "simulator.api",
    "sweep": "simulator.api",
    "objective": "simulator.api",
    "Run": "simulator.notebook.run",
    "Bars": "simulator.market.bars",
    "Snapshot": "simulator.market.bars",
    "Sweep": "simulator.notebook.sweep",
    "Strategy": "simulator.trading.strategy",
    "Decision": "simulator.trading.model",
    "Target": "simulator.trading.model",
    "Order": "simulator.trading.model",
    "Fill": "simulator.trading.model",
}

__all__ = [
    "Bars",
    "Decision",
    "Fill",
    "Order",
    "Run",
    "Snapshot",
    "Strategy",
    "Sweep",
    "Target",
    "compare",
    "desk",
    "load",
    "objective",
    "plan",
    "run",
    "runs",
    "stats",
    "sweep",
]

if TYPE_CHECKING:
    from simulator import desk, runs, stats
    from simulator.api import compare, load, objective, plan, run, sweep
    from simulator.market.bars import Bars, Snapshot
    from simulator.notebook.run import Run
    from simulator.notebook.sweep import Sweep
    from simulator.trading.model import Decision, Fill, Order, Target
    from simulator.trading.strategy import Strategy


def __getattr__(name: str) -> Any:
    if name in (
        "desk",
        "runs",
        "stats",
    ):  # rooms that are used as they are: simulator.runs(), stats.summary(r)
        return importlib.import_module(f"simulator.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'simulator' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
