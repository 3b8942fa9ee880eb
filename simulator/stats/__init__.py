"""Statistics on plain arrays: what a return series was worth, how sure one can be, and what selection does to that.

metrics, drawdowns, trades                what happened
inference, bootstrap, hac, power          one strategy: how sure
compare, timing                           two strategies; one strategy against its own positions at other times
selection, overfitting, adjust            the best of many
splits                                    which sessions to fit on and which to judge on
series, distributions                     the ground under all of it

Nothing here knows of markets, orders or LLMs. Each module states its conventions at the top, its sources by function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulator.notebook.statistics import summary

__all__ = ["summary"]


def __getattr__(name: str) -> Any:
    """Return ``summary``, which takes pandas objects and so stands rooms above; loaded when it is first used."""
    if name != "summary":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from simulator.notebook.statistics import summary

    return summary
