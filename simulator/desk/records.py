"""The record of a desk's decisions as JSON, typed: lines of decisions.jsonl whose ``record`` is of kind ``desk``.

Instants are ISO 8601 in New York time, prices in dollars, weights fractions of equity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired, TypedDict, cast


class StepRecord(TypedDict):
    """A transition of the workflow."""

    at: str
    event: str
    before: str
    after: str


class HeldRecord(TypedDict):
    """Protection of one position: `entry` as paid, shares at the entry, the stop its risk is measured to and the one
    now."""

    entry: float
    shares: float
    first_stop: float
    stop: float
    targets: list[float]


class WorkflowRecord(TypedDict):
    """State of the desk after the decision, the day's transitions, and its context: `plans` for the open, `held`,
    `splits` (shares that one has become since the account began, in which both are told), and `error` where the day had
    one."""

    day: str
    state: str
    since: str
    resets: int
    history: list[StepRecord]
    context: Mapping[str, Any]


class WatchRow(TypedDict):
    """A symbol that passed the screener's filters."""

    symbol: str
    score: float
    price: float
    missing: list[str]


class AnalysisRow(TypedDict):
    """Signals of one symbol, their score and class; `agent` is the class an agent gave it, which decides instead."""

    symbol: str
    points: Mapping[str, int]
    score: int
    recommendation: str
    agent: NotRequired[str]


class PlanRecord(TypedDict):
    """A trade that waits for the open: whole shares, dollars a share; `limit` None buys at the market. `support` is
    that of its entry, `lows` are all swing lows, for the price that will be paid."""

    symbol: str
    shares: int
    entry: float
    limit: float | None
    stop: float
    targets: list[float]
    atr: float
    support: float | None
    lows: NotRequired[list[float]]
    binding: str


class VetoRecord(TypedDict):
    """A rule that forbade a trade."""

    rule: str
    symbol: str
    why: str


class ToolCall(TypedDict):
    """A tool that an agent used, and what it was told."""

    tool: str
    arguments: Mapping[str, Any]
    answer: Any


class AgentRecord(TypedDict):
    """Words of one agent, and all it was told; `keys` are those of its answers, `said` its result."""

    agent: str
    seat: str
    keys: list[str]
    said: Any
    tools: list[ToolCall]
    error: str | None


class DeskRecord(TypedDict):
    """A decision of a desk."""

    kind: Literal["desk"]
    point: str
    workflow: WorkflowRecord
    watchlist: NotRequired[list[WatchRow]]
    rejected: NotRequired[Mapping[str, list[str]]]
    limits: NotRequired[Mapping[str, Any]]
    """Caps, filters and exits in force that day."""
    analyses: NotRequired[list[AnalysisRow]]
    plans: NotRequired[list[PlanRecord]]
    vetoes: NotRequired[list[VetoRecord]]
    agents: NotRequired[list[AgentRecord]]
    moves: NotRequired[list[str]]
    """Stops moved and positions left, in words."""
    notes: NotRequired[list[str]]
    report: NotRequired[Mapping[str, Any]]
    """Report of the day or the week."""


def desk_record(record: Mapping[str, Any]) -> DeskRecord | None:
    """Return the record of a decision as a desk's; None where it is another's."""
    return cast(DeskRecord, record) if record.get("kind") == "desk" else None


def last_workflow(records: Sequence[Mapping[str, Any]]) -> WorkflowRecord | None:
    """Return the workflow after the last of `records`; None where there is none."""
    last = desk_record(records[-1]) if records else None
    return None if last is None else last["workflow"]
