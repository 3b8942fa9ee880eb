"""Trading desk: `simulator.desk.status()` says how that of a workspace stands."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    if name != "status":
        raise AttributeError(f"module 'simulator.desk' has no attribute {name!r}")
    # The room knows neither runs nor forward tests: the function that does is found when it is first used.
    return import_module("simulator.runs.desk_status").status
