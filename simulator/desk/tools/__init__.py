"""The desk's twenty tools: plain typed functions over what is known at one instant, for agents and for MCP clients."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from simulator.desk.tools.registry import TOOLS, Tool

GROUPS = ("market", "position", "risk", "backtest")


def load_tools() -> Mapping[str, Tool]:
    """Return {name: tool} of all tools, by group."""
    for group in GROUPS:
        import_module(f"{__name__}.{group}")
    return TOOLS
