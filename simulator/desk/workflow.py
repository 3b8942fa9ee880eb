"""The desk's day as a state machine: ten states, thirteen events, twenty-seven edges.

IDLE ─► PRE_MARKET_SCREENING ─► TRADE_ANALYSIS ─► POSITION_OPTIMIZATION ─► IDLE
IDLE ─► MARKET_EXECUTION ─► INTRADAY_MONITORING ─► END_OF_DAY_REVIEW ─► IDLE ─► WEEKLY_REVIEW ─► BACKTESTING ─► IDLE

Protection of open positions never depends on the state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any, Literal, get_args

from simulator.desk.records import StepRecord, WorkflowRecord
from simulator.errors import UsageError
from simulator.market.calendar import NEW_YORK

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


RESETS_A_DAY = 3
"""Times a day that a desk leaves ERROR by itself; then a person's."""

STATE_LIMIT = timedelta(hours=8)
"""Longest stay in one state but IDLE: the review that ends the day was missed where it is passed."""


@dataclass(frozen=True)
class Workflow:
    """State of a desk since when, what it has learnt today, and how it came here. A value: `on` returns the next one.

    `resets` are the times it recovered from ERROR today.
    """

    day: date
    state: State = "IDLE"
    since: datetime | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    history: tuple[Step, ...] = ()
    resets: int = 0

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
        context = {**self.context, **learnt}
        return replace(self, state=after, since=at, context=context, history=(*self.history, step), resets=resets)

    def takes(self, event: Event) -> bool:
        """True where the state has an edge for `event`."""
        return (self.state, event) in TRANSITIONS

    def learn(self, **learnt: Any) -> Workflow:
        """Return the workflow with what was `learnt` added to its context."""
        return replace(self, context={**self.context, **learnt})

    def at(self, now: datetime, is_reviewed: bool = True) -> Workflow:
        """Return the workflow as it stands at `now`: another day begins with counters at zero and what survives of the
        context, and where no review ends one, IDLE; a state that has lasted too long is an ERROR, and ERROR is left by
        itself while it may be."""
        day, found = now.astimezone(NEW_YORK).date(), self
        if day != self.day:
            kept = {name: value for name, value in self.context.items() if name in SURVIVES}
            state = self.state if is_reviewed or self.state == "ERROR" else "IDLE"
            found = replace(self, day=day, state=state, context=kept, history=(), resets=0)
        if found.state not in ("IDLE", "ERROR") and found.since is not None and now - found.since > STATE_LIMIT:
            found = found.on("ERROR_OCCURRED", now, error=f"{found.state} since {_write_instant(found.since)}")
        if found.state == "ERROR" and found.resets < RESETS_A_DAY:
            found = found.on("RESET", now)
        return found

    def as_record(self) -> WorkflowRecord:
        """Return the workflow, JSON-able."""
        steps: list[StepRecord] = [
            {"at": _write_instant(one.at), "event": one.event, "before": one.before, "after": one.after}
            for one in self.history
        ]
        return {
            "day": str(self.day),
            "state": self.state,
            "since": "" if self.since is None else _write_instant(self.since),
            "resets": self.resets,
            "history": steps,
            "context": dict(self.context),
        }

    @classmethod
    def from_record(cls, record: WorkflowRecord) -> Workflow:
        """Return the workflow behind `record`."""
        events = {str(event): event for event in EVENTS}
        states = {str(state): state for state in STATES}
        steps = tuple(
            Step(datetime.fromisoformat(one["at"]), events[one["event"]], states[one["before"]], states[one["after"]])
            for one in record["history"]
        )
        since = datetime.fromisoformat(record["since"]) if record["since"] else None
        day, state = date.fromisoformat(record["day"]), states[record["state"]]
        return cls(day, state, since, record["context"], steps, record["resets"])


SURVIVES = ("held", "splits")
"""What the context keeps from day to day."""


def _write_instant(at: datetime) -> str:
    return at.astimezone(NEW_YORK).isoformat()


def diagram() -> str:
    """Return the state machine in Mermaid's language, made from the table."""
    edges: dict[tuple[State, State], list[str]] = {}
    for (before, event), after in TRANSITIONS.items():
        if event != "ERROR_OCCURRED":
            edges.setdefault((before, after), []).append(event)
    lines = [f"    {before} --> {after}: {', '.join(events)}" for (before, after), events in edges.items()]
    note = "    note right of ERROR: ERROR_OCCURRED leads here from every other state"
    return "\n".join(["stateDiagram-v2", "    [*] --> IDLE", *lines, note])
