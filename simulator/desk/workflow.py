"""The desk's day as a state machine: ten states, thirteen events, twenty-seven edges.

IDLE ─► PRE_MARKET_SCREENING ─► TRADE_ANALYSIS ─► POSITION_OPTIMIZATION ─► IDLE
IDLE ─► MARKET_EXECUTION ─► INTRADAY_MONITORING ─► END_OF_DAY_REVIEW ─► IDLE ─► WEEKLY_REVIEW ─► BACKTESTING ─► IDLE

Protection of open positions never depends on the state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, get_args

from simulator.errors import UsageError

State = Literal[
    "IDLE",
    "PRE_MARKET_SCREENING",
    "TRADE_ANALYSIS",
    "POSITION_OPTIMIZATION",
    "MARKET_EXECUTION",
    "INTRADAY_MONITORING",
    "END_OF_DAY_REVIEW",
    "WEEKLY_REVIEW",
    "BACKTESTING",
    "ERROR",
]
Event = Literal[
    "START_PRE_MARKET",
    "SCREENING_COMPLETE",
    "ANALYSIS_COMPLETE",
    "PRE_MARKET_COMPLETE",
    "MARKET_OPEN",
    "EXECUTION_COMPLETE",
    "START_MONITORING",
    "MARKET_CLOSE",
    "REVIEW_COMPLETE",
    "START_WEEKLY_REVIEW",
    "START_BACKTEST",
    "ERROR_OCCURRED",
    "RESET",
]
STATES: tuple[State, ...] = get_args(State)
EVENTS: tuple[Event, ...] = get_args(Event)

TRANSITIONS: Mapping[tuple[State, Event], State] = {
    ("IDLE", "START_PRE_MARKET"): "PRE_MARKET_SCREENING",
    ("PRE_MARKET_SCREENING", "SCREENING_COMPLETE"): "TRADE_ANALYSIS",
    ("TRADE_ANALYSIS", "ANALYSIS_COMPLETE"): "POSITION_OPTIMIZATION",
    ("PRE_MARKET_SCREENING", "PRE_MARKET_COMPLETE"): "IDLE",
    ("TRADE_ANALYSIS", "PRE_MARKET_COMPLETE"): "IDLE",
    ("POSITION_OPTIMIZATION", "PRE_MARKET_COMPLETE"): "IDLE",
    ("IDLE", "MARKET_OPEN"): "MARKET_EXECUTION",
    ("MARKET_EXECUTION", "EXECUTION_COMPLETE"): "INTRADAY_MONITORING",
    ("IDLE", "START_MONITORING"): "INTRADAY_MONITORING",
    ("INTRADAY_MONITORING", "MARKET_CLOSE"): "END_OF_DAY_REVIEW",
    ("IDLE", "MARKET_CLOSE"): "END_OF_DAY_REVIEW",
    ("END_OF_DAY_REVIEW", "REVIEW_COMPLETE"): "IDLE",
    ("WEEKLY_REVIEW", "REVIEW_COMPLETE"): "IDLE",
    ("BACKTESTING", "REVIEW_COMPLETE"): "IDLE",
    ("IDLE", "START_WEEKLY_REVIEW"): "WEEKLY_REVIEW",
    ("IDLE", "START_BACKTEST"): "BACKTESTING",
    ("WEEKLY_REVIEW", "START_BACKTEST"): "BACKTESTING",
    **{(state, "ERROR_OCCURRED"): "ERROR" for state in STATES if state != "ERROR"},
    ("ERROR", "RESET"): "IDLE",
}


@dataclass(frozen=True)
class Step:
    """A transition that happened."""

    at: datetime
    event: Event
    before: State
    after: State


@dataclass(frozen=True)
class Workflow:
    """State of a desk, what it has learnt today, and how it came here. A value: `on` returns the next one."""

    state: State = "IDLE"
    context: Mapping[str, Any] = field(default_factory=dict)
    history: tuple[Step, ...] = ()
    resets: int = 0
    """Times it recovered from ERROR today."""

    def on(self, event: Event, at: datetime, **learnt: Any) -> Workflow:
        """Return the workflow after `event`, with what was `learnt` added to its context.

        Raises UsageError naming state and event where the state has no such edge.
        """
        after = TRANSITIONS.get((self.state, event))
        if after is None:
            allowed = ", ".join(name for state, name in TRANSITIONS if state == self.state)
            raise UsageError(f"{event} in state {self.state}", mend=f"this state takes {allowed}")
        step = Step(at, event, self.state, after)
        resets = self.resets + (event == "RESET")
        return replace(
            self, state=after, context={**self.context, **learnt}, history=(*self.history, step), resets=resets
        )

    def new_day(self) -> Workflow:
        """Return the workflow of the next day: an empty context, counters at zero."""
        return Workflow(self.state)
