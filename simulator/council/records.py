"""The records of a council as JSON, typed: what a line of decisions.jsonl holds under ``record``, by its ``kind``.

    MeetingRecord            council             the council's account at a meeting
    CheckpointRecord         checkpoint          the council's account between meetings
    MemberRecord             member              one manager's account at a meeting
    MemberCheckpointRecord   member_checkpoint   one manager's account between meetings

Written by write_record.py beside this. Instants are ISO 8601 in New York time, prices in dollars, `_pct` is per cent,
convictions run from −2 to +2, scores from 1 to 10, weights are signed fractions of equity.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, Literal, NotRequired, TypeAlias, TypedDict, TypeVar, cast

B = TypeVar("B")

Direction: TypeAlias = Literal["LONG", "SHORT", "FLAT"]
DecisionRecord: TypeAlias = Mapping[str, Any]
"""The record of any decision, before it is known whose it is."""

# ----------------------------------------------------------------------------------------------------------- facts

SymbolFacts: TypeAlias = Mapping[str, float]
"""Facts of one symbol by name (simulator/council/facts.py). Not a number: ``last_bar``, the date of the newest bar."""


class VixFacts(TypedDict):
    """Level, its change over 5 sessions, and its percentile within 252."""

    level: float
    change_5: NotRequired[float]
    percentile_252: NotRequired[float]


class EventFacts(TypedDict):
    date: str
    time: str
    event: str
    impact: str


class NewsFacts(TypedDict):
    published_at: str
    headline: str
    symbols: NotRequired[list[str]]
    source: NotRequired[str]


class Facts(TypedDict):
    """The market as a council is shown it; ``session`` is missing where no symbol has had a bar yet."""

    as_of: str
    symbols: dict[str, SymbolFacts]
    session: NotRequired[str]
    correlations: NotRequired[dict[str, float]]
    vix: NotRequired[VixFacts]
    cash_yield_pct: NotRequired[float]
    events: NotRequired[list[EventFacts]]
    news: NotRequired[list[NewsFacts]]


# --------------------------------------------------------------------------------------------------------- answers


class ResearchAnswer(TypedDict):
    """Candidates are {ticker, rationale}, events of the calendar {date, event, impact}."""

    macro_regime: str
    top_narratives: list[str]
    consensus_map: dict[str, str]
    tradable_candidates: list[dict[str, str]]
    event_calendar: list[dict[str, str]]


class PickedAnswer(TypedDict):
    symbols: list[str]
    reason: str


class PitchAnswer(TypedDict):
    instrument: str
    direction: Direction
    horizon: str
    thesis_bullets: list[str]
    indicators: list[str]
    conviction: int
    invalidation: str
    stop: float | None
    target: float | None


class ReviewAnswer(TypedDict):
    """``scores`` are those of the seven dimensions."""

    scores: dict[str, int]
    kill_shot: str
    flip_condition: str


class ApprovedRow(TypedDict):
    instrument: str
    direction: Direction
    conviction: int
    position_size: str
    rationale: str


class RejectedRow(TypedDict):
    instrument: str
    direction: Direction
    reason: str


class ChairmanAnswer(TypedDict):
    approved_trades: list[ApprovedRow]
    rejected_trades: list[RejectedRow]
    dissent_summary: str
    monitoring_plan: str


class CheckpointAnswer(TypedDict):
    invalidated: bool
    conviction: int
    stop: float | None
    target: float | None
    reason: str


class AnswerRow(TypedDict, Generic[B]):
    """One seat's answer: ``keys`` of the questions in the LLM cache, and either ``answer`` or ``error``.

    ``about`` stands in reviews only: the seat whose pitch was judged; ``fixes`` where slips of the text were read.
    """

    seat: str
    about: NotRequired[str]
    keys: list[str]
    answer: NotRequired[B]
    error: NotRequired[str | None]
    fixes: NotRequired[list[str]]


# --------------------------------------------------------------------------------------------- theses and execution


class TermsRow(TypedDict):
    at: str
    conviction: int
    order: Literal["market", "limit"]
    limit: NotRequired[float]
    stop: NotRequired[float]
    target: NotRequired[float]


class OpenedThesis(TypedDict):
    """A thesis opened at a meeting; its horizon, bullets and invalidation stand in the pitch of ``author``."""

    seat: str
    author: str
    instrument: str
    score: NotRequired[float]
    terms: list[TermsRow]


class EventRow(TypedDict):
    at: str
    price: float | None


class RevisedThesis(TypedDict):
    """A thesis at a checkpoint, see :func:`simulator.council.write_record.revision_row`."""

    seat: str
    author: str
    instrument: str
    direction: Direction
    horizon: str
    score: NotRequired[float]
    conviction_before: int
    conviction: int
    action: str
    state: str
    entry: EventRow | None
    exit: EventRow | None
    return_since_entry_pct: float | None
    stop: float | None
    target: float | None
    thesis_bullets: list[str]
    invalidation: str
    terms: list[TermsRow]
    reason: str
    keys: list[str]
    answer: NotRequired[CheckpointAnswer]
    error: NotRequired[str | None]
    fixes: NotRequired[list[str]]
    notes: list[str]


class ExecutionRow(TypedDict):
    """A target and the seat whose pitch it rests on; ``notes`` say what was left out of the pitch, and why."""

    symbol: str
    weight: float
    order: Literal["market", "limit"]
    limit: NotRequired[float]
    stop: NotRequired[float]
    take_profit: NotRequired[float]
    conviction: NotRequired[int]
    reason: str
    seat: str | None
    notes: list[str]


# --------------------------------------------------------------------------------------------------------- records


class ShortlistRow(TypedDict):
    """The ``symbols`` a meeting was about, ``of`` so many: ``by`` a rule or the seat of a model, whose ``answer``
    stands here; ``held`` are on it because an account may hold them."""

    by: str
    of: int
    symbols: list[str]
    held: list[str]
    answer: NotRequired[AnswerRow[PickedAnswer]]


class MeetingRecord(TypedDict):
    """The council's account at a meeting, see :func:`simulator.council.write_record.minutes`.

    ``labels`` {reader: {label: seat}}, ``scores`` {seat: mean review score}, ``net_votes`` {symbol: votes}; ``opened``
    with checkpoints only; ``execution`` once an account acted; ``shortlist``, and ``may_hold``, the instruments that
    some account may hold from now on, where the meeting was about a part of the symbols.
    """

    kind: Literal["council"]
    no_decision: str | None
    user_query: str
    facts: Facts
    seats: dict[str, str]
    prompts: str
    research: list[AnswerRow[ResearchAnswer]]
    pitches: list[AnswerRow[PitchAnswer]]
    reviews: list[AnswerRow[ReviewAnswer]]
    chairman: AnswerRow[ChairmanAnswer] | None
    labels: dict[str, dict[str, str]]
    scores: dict[str, float]
    net_votes: dict[str, float]
    opened: NotRequired[list[OpenedThesis]]
    execution: NotRequired[list[ExecutionRow]]
    shortlist: NotRequired[ShortlistRow]
    may_hold: NotRequired[list[str]]


class CheckpointRecord(TypedDict):
    """The council's account between meetings; ``meeting`` is the instant of the one its theses stem from."""

    kind: Literal["checkpoint"]
    meeting: str
    facts: Facts
    seats: dict[str, str]
    prompts: str
    theses: list[RevisedThesis]
    execution: NotRequired[list[ExecutionRow]]
    notes: NotRequired[list[str]]
    may_hold: NotRequired[list[str]]


class MemberRecord(TypedDict):
    kind: Literal["member"]
    no_decision: str | None
    pitch: AnswerRow[PitchAnswer] | None
    execution: list[ExecutionRow]


class MemberCheckpointRecord(TypedDict):
    kind: Literal["member_checkpoint"]
    meeting: str
    thesis: RevisedThesis | None
    execution: list[ExecutionRow]
    notes: NotRequired[list[str]]


CouncilRecord: TypeAlias = MeetingRecord | CheckpointRecord | MemberRecord | MemberCheckpointRecord
"""Compare ``record["kind"]`` with a literal, and mypy knows which one it is."""

KINDS = ("council", "checkpoint", "member", "member_checkpoint")


def council_record(record: DecisionRecord) -> CouncilRecord | None:
    """Return `record` of a decision as what it is, None where no council wrote it. Nothing is checked but its kind."""
    return cast(CouncilRecord, record) if record.get("kind") in KINDS else None


def meeting_record(record: DecisionRecord) -> MeetingRecord | None:
    """Return `record` of a decision where it is that of a meeting, else None. Nothing is checked but its kind."""
    return cast(MeetingRecord, record) if record.get("kind") == "council" else None
